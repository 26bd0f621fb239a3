"""SequenceDataset: labelled sequences of many lengths in one ragged store."""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from typing import Any, Literal, TypedDict, overload

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset
from typing_extensions import Self, Unpack

from seqclf.checks import check_choice, check_seed
from seqclf.choices import TokenizerName
from seqclf.data.batch import Batch
from seqclf.data.duplicates import Groups, duplicate_groups, join_groups, members
from seqclf.data.encode import EncodingOptions, add_context, cut_padding, encode
from seqclf.data.ragged import Indices, Ragged
from seqclf.data.report import DataReport, build_report
from seqclf.data.split import ALL, check_size, choose_groups
from seqclf.data.store import StoreWriter, open_store
from seqclf.errors import InvalidArgumentError, InvalidDataError
from seqclf.fields import Fields, check_fields, text_fields
from seqclf.files import PathLike
from seqclf.reading.columns import as_list, refuse_unordered
from seqclf.reading.events import GAP, read_events
from seqclf.reading.indices import is_several, read_index, read_indices
from seqclf.reading.labels import index_label_sets, index_labels, read_groups, read_order, warn_of_likely_labels
from seqclf.reading.plain import canonical
from seqclf.reading.records import FieldKind
from seqclf.reading.sequences import read_sequences
from seqclf.reading.tokenizers import as_tokenizer
from seqclf.vocabulary import Vocabulary

__all__ = ["SequenceDataset"]

_HASHED = 1 << 20  # how many numbers are hashed at once
_CHUNK = 1 << 16  # how many sequences of a stream are written at once


class ReadingOptions(TypedDict, total=False):
    """How sequences and labels are read: the keyword arguments of `SequenceDataset.from_sequences`."""

    vocabulary: Vocabulary | None
    tokenizer: TokenizerName | Any
    fields: Sequence[str] | Mapping[str, FieldKind | None] | Fields | None
    context: Any
    context_fields: Sequence[str] | Mapping[str, FieldKind | None] | Fields | None
    classes: Sequence[Any] | None
    channels_first: bool
    allow_empty: bool
    allow_missing: bool
    trailing_missing: Literal["keep", "end"]
    multi_label: bool


class SequenceDataset(Dataset[tuple[Tensor, int]]):
    """Labelled sequences: encoded once, stored end to end, gathered into batches by index.

    Make one with `from_pairs` or `from_sequences`. It is a map-style torch `Dataset`, so any `DataLoader` takes it,
    with `pad_collate` or `pack_collate`. Inside this library batches are gathered without work for each sample.

    Attributes:
        sequences: The ragged store.
        compact_labels: The class indices, (len,), in whatever type of integers they are kept: int64, or less in files.
        classes: The class labels; index i stands for `classes[i]`.
        vocabulary: What encoded the sequences; None for float sequences and records.
        channels_first: Whether the float arrays came as (F, T); inside, they are (T, F).
        fields: What the columns of records are; None for others.
        context_fields: What the facts about whole sequences are, which `sequences.context` holds; None without.

    Example:
        >>> dataset = SequenceDataset.from_pairs([("Satoshi", "Japanese"), ("Rossi", "Italian"), ("Mori", "Japanese")])
        >>> dataset
        SequenceDataset(3 sequences, 2 classes, lengths 4-7, 12 ids)
        >>> dataset.classes, dataset.lengths
        (('Italian', 'Japanese'), tensor([7, 5, 4]))
        >>> sequence, label = dataset[1]
        >>> dataset.vocabulary.decode(sequence), dataset.classes[label]
        ('Rossi', 'Italian')
    """

    def __init__(
        self,
        sequences: Ragged,
        labels: Tensor,
        classes: tuple[Any, ...],
        vocabulary: Vocabulary | None,
        channels_first: bool = False,
        *,
        fields: Fields | None = None,
        context_fields: Fields | None = None,
    ) -> None:
        self.fields, self.context_fields = fields, context_fields
        self.sequences = sequences
        self.compact_labels = labels
        self.classes = classes
        self.vocabulary = vocabulary
        self.channels_first = channels_first

    @classmethod
    def from_pairs(cls, pairs: Iterable[tuple[Any, Any]], **options: Unpack[ReadingOptions]) -> Self:
        """Encode (sequence, label) pairs.

        Args:
            pairs: Each a sequence and its label, as `from_sequences` takes them side by side.
            **options: As for `from_sequences`; test data take the `vocabulary`, or the `fields`, and the `classes` of
                the training data.

        Raises:
            InvalidDataError: There are no pairs; an item is not a pair; a sequence is empty, of another kind or width,
                or has NaN or infinite features; a label is not in `classes`; a strict vocabulary misses a symbol.

        Example:
            >>> train = SequenceDataset.from_pairs([("ab", "x"), ("ba", "y")])
            >>> test = SequenceDataset.from_pairs([("abc", "y")], vocabulary=train.vocabulary, classes=train.classes)
            >>> test[0]
            (tensor([2, 3, 1]), 1)
        """
        return cls.from_sequences(*read_pairs(pairs), **options)

    @classmethod
    def from_sequences(
        cls,
        sequences: Iterable[Any],
        labels: Iterable[Any],
        *,
        vocabulary: Vocabulary | None = None,
        tokenizer: TokenizerName | Any = None,
        fields: Sequence[str] | Mapping[str, FieldKind | None] | Fields | None = None,
        context: Any = None,
        context_fields: Sequence[str] | Mapping[str, FieldKind | None] | Fields | None = None,
        classes: Sequence[Any] | None = None,
        channels_first: bool = False,
        allow_empty: bool = False,
        allow_missing: bool = False,
        trailing_missing: Literal["keep", "end"] = "keep",
        multi_label: bool = False,
    ) -> Self:
        """Encode sequences and their labels, given side by side.

        Args:
            sequences: A list, an array of which each row is a sequence, a column of a data frame (pandas, polars,
                pyarrow, Hugging Face datasets), or a jagged nested tensor. Each sequence is a string, a list of tokens,
                a float array (T, F), or records: a list of mappings or of tuples, a mapping of columns, or a frame. All
                are of one kind. A float array of shape (T,) counts as one feature.
            labels: As many labels: strings, numbers, bytes, dates, or tuples of these.
            vocabulary: What encodes strings or tokens; without it, one is built from these very sequences. Test data
                take the vocabulary of the training data.
            tokenizer: What splits strings, for a vocabulary that is built here: `"characters"`, as where none is given,
                `"words"`, `"lowercase_words"`, `"bytes"`, a function that returns the symbols of a text, or a tokenizer
                of Hugging Face. The vocabulary keeps it.
            fields: What the steps of records have: names, or a mapping from names to `"category"` or `"number"`; what
                is not said follows from the types of the values, of which numbers and times are numbers. Test data
                take the `fields` of the training data.
            context: Facts about each whole sequence, which the model reads beside it: a frame, a mapping of columns, a
                list of mappings, or an array (n, K). Values may be missing.
            context_fields: As `fields`, for the context.
            classes: The labels that may occur, in the order of their indices; by default those that do occur, sorted.
            channels_first: Whether float arrays are (F, T), one row for each feature, in place of (T, F).
            allow_empty: Whether sequences without a step are let in; the model's `empty` says what to do with them.
            allow_missing: Whether features may be NaN, for which the model's `missing` says what to do, and fields
                missing.
            trailing_missing: What steps at the end are of which no feature is known: missing, which is to `"keep"`
                them, or padding behind the `"end"`, which is cut off.
            multi_label: Whether a sequence may have several labels, or none: each item of `labels` is then a list,
                tuple or set of them; or `labels` is an array (n, C) or a frame of 0 and 1.

        Raises:
            InvalidDataError: There are no sequences, or more labels than sequences, or fewer; or as `from_pairs`.
            InvalidArgumentError: An option does not go with the kind of sequences.

        Example:
            >>> import numpy as np
            >>> traces = [np.zeros((5, 2)), np.ones((3, 2))]
            >>> SequenceDataset.from_sequences(traces, ["rest", "run"])
            SequenceDataset(2 sequences, 2 classes, lengths 3-5, 2 features)
            >>> visits = [[("home", 3.5), ("cart", 9.0)], [("cart", 1.0)]]
            >>> SequenceDataset.from_sequences(visits, ["buys", "leaves"], fields=["page", "seconds"])
            SequenceDataset(2 sequences, 2 classes, lengths 1-2, page (2 categories), seconds (number))
        """
        sequences = as_list(sequences)
        known_classes = None if classes is None else as_list(classes, "classes")
        classes, indices = (
            index_label_sets(labels, known_classes)
            if multi_label
            else index_labels(as_list(labels, "labels"), known_classes)
        )
        if known_classes is None and not multi_label:
            warn_of_likely_labels(len(classes), len(indices))
        if len(sequences) != len(indices):
            raise InvalidDataError(
                f"labels must be as many as sequences; got {len(indices)} labels for {len(sequences)} sequences. "
                "Give each sequence one label."
            )
        if not sequences:
            raise InvalidDataError(
                "a dataset must hold at least one sequence; got none. Check where the data come from."
            )
        names, kinds, known = check_fields(fields)
        read = read_sequences(sequences, channels_first=channels_first, names=names)
        cuts = check_choice("trailing_missing", trailing_missing, ("keep", "end")) == "end"
        for name, given, kind in (
            ("trailing_missing", cuts, "features"),
            ("channels_first", channels_first, "features"),
            ("fields", fields is not None, "records"),
        ):
            if given and read.kind != kind:
                meant = "float arrays" if kind == "features" else kind
                raise InvalidArgumentError(f"{name} must be left alone for {read.kind}; it is for {meant}.")
        if cuts:
            read = cut_padding(read)
        store, vocabulary, known = encode(
            read,
            EncodingOptions(vocabulary, tokenizer, known, kinds),
            allow_empty=allow_empty,
            allow_missing=allow_missing,
        )
        store, known_of_context = add_context(store, context, context_fields)
        return cls(store, indices, classes, vocabulary, channels_first, fields=known, context_fields=known_of_context)

    @classmethod
    def from_events(
        cls,
        table: Any,
        *,
        by: str,
        label: str,
        order: str | None = None,
        fields: Sequence[str] | Mapping[str, FieldKind | None] | Fields | None = None,
        context: Sequence[str] | None = None,
        context_fields: Sequence[str] | Mapping[str, FieldKind | None] | Fields | None = None,
        classes: Sequence[Any] | None = None,
        allow_missing: bool = False,
    ) -> Self:
        """Encode one long table of events, a row for each.

        Args:
            table: A frame of pandas, polars or pyarrow, a mapping of columns, or the path of a CSV, TSV, JSON lines or
                Parquet file.
            by: The column that says what an event belongs to, such as a customer: each is a sequence.
            label: The column of the label, which is the same for all events of a sequence.
            order: The column of numbers or times by which the events of a sequence are sorted. Where it holds times,
                each record gets a field `"gap"`: the logarithm of 1 and the seconds since the event before.
            fields: The columns that make up a record, as for `from_sequences`; None takes all others. Test data take
                the `fields` of the training data. In CSV and TSV files a `"category"` stays text, so that `007` is not
                `7`; what is not said is a number where all values are.
            context: Columns of facts that are the same for all events of a sequence.
            context_fields: As for `from_sequences`.
            classes: As for `from_sequences`.
            allow_missing: As for `from_sequences`.

        Raises:
            InvalidDataError: A column is missing; a label or a fact is not the same for all events of a sequence; or as
                `from_sequences`.
            FileFormatError: The file cannot be read.

        Example:
            >>> table = {
            ...     "customer": ["ann", "bob", "ann", "bob"],
            ...     "time": ["2024-05-01", "2024-05-01", "2024-05-03", "2024-05-02"],
            ...     "amount": [10.0, 3.5, 12.0, 4.0],
            ...     "shop": ["books", "food", "books", "food"],
            ...     "churned": ["yes", "no", "yes", "no"],
            ... }
            >>> SequenceDataset.from_events(table, by="customer", order="time", label="churned")
            SequenceDataset(2 sequences, 2 classes, lengths 2-2, amount (number), shop (2 categories), gap (number))
        """
        names, _, _ = check_fields(fields)
        texts = text_fields(fields) | text_fields(context_fields)
        events = read_events(table, by=by, order=order, fields=names, context=context, label=label, texts=texts)
        if isinstance(fields, Mapping) and GAP not in fields and GAP in events.sequences[0].columns:
            fields = {**fields, GAP: "number"}
        assert events.labels is not None
        known = {str(label): label for label in classes or ()} if isinstance(table, str | os.PathLike) else {}
        return cls.from_sequences(
            events.sequences,
            [known.get(label, label) if isinstance(label, str) else label for label in events.labels],
            fields=fields,
            context=events.context,
            context_fields=context_fields,
            classes=classes,
            allow_missing=allow_missing,
        )

    @classmethod
    def write(
        cls,
        folder: PathLike,
        pairs: Iterable[tuple[Any, Any]],
        *,
        resume: bool = False,
        **options: Unpack[ReadingOptions],
    ) -> Self:
        """Write (sequence, label) pairs into a folder, as a stream, and return them as `open` does.

        Memory does not grow with the number of pairs, so there may be more than it would hold. Training reads them
        where they lie.

        Args:
            folder: Where to; it is made if need be.
            pairs: As for `from_pairs`; of any kind of iterable, no more than 65,536 are taken at once.
            resume: Whether to go on where a call for this folder was cut off. The same pairs must come once more; those
                that are in already are passed over.
            **options: As for `from_pairs`. Records need `fields` that are settled, such as those of a dataset of some
                of them; context cannot be written.

        Raises:
            InvalidDataError: As `from_pairs`; the message says from which item on it counts.
            InvalidArgumentError: The folder holds a store already, or one that was begun and `resume` is False.
            FileFormatError: The folder cannot be written to, or the disk is full. What is in stays, for `resume`.

        Example:
            >>> import tempfile
            >>> pairs = ((word, "long" if len(word) > 3 else "short") for word in ["a", "abcd", "ab", "dcbab"])
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     SequenceDataset.write(f"{folder}/words", pairs)
            SequenceDataset(4 sequences, 2 classes, lengths 1-5, 6 ids)
        """
        refuse_unordered(pairs, "pairs")
        if options.get("context") is not None:
            raise InvalidArgumentError("context must be None in a folder, which has no place for it; got some.")
        vocabulary, tokenizer = options.get("vocabulary"), options.get("tokenizer")
        writer = StoreWriter(folder, resume=resume)
        remaining = islice(pairs, writer.progress.done, None)
        while chunk := list(islice(remaining, _CHUNK)):
            try:
                part = cls.from_pairs(chunk, **options)
            except InvalidDataError as error:
                raise InvalidDataError(f"{error} (Counted from item {writer.progress.done}.)") from None
            if part.fields is not None and part.fields is not options.get("fields"):
                raise InvalidArgumentError(
                    "fields must be settled to write records, as the first of them cannot tell all categories; got "
                    f"{options.get('fields')!r:.80}. Pass SequenceDataset.from_pairs(some).fields."
                )
            writer.append(part.sequences, part.labels, part.classes, part.vocabulary)
        if not writer.progress.done:
            raise InvalidDataError(
                "a dataset must hold at least one sequence; got none. Check where the data come from."
            )
        writer.finish(
            vocabulary,
            options.get("classes"),
            channels_first=options.get("channels_first", False),
            tokenizer=as_tokenizer(tokenizer),
            fields=options.get("fields"),
        )
        own = tokenizer if vocabulary is None else vocabulary.tokenizer and vocabulary.tokenizer.source
        return cls.open(folder, check=False, tokenizer=own if callable(own) else None)

    @classmethod
    def open(cls, folder: PathLike, *, check: bool = True, tokenizer: Any = None) -> Self:
        """Open what `write` wrote.

        The files are memory-mapped: the system reads what is asked for, and lets go of it where memory is short.
        Batches, training and prediction read a little at a time. `subset`, `split`, `report` and `groups` make arrays
        in memory.

        Args:
            folder: Where it lies.
            check: Whether to read everything once, to see whether it is as it was written.
            tokenizer: The function that splits texts, where it is one of your own, which no file holds.

        Raises:
            FileFormatError: There is nothing, or its writing was cut off, or it is damaged.
            InvalidArgumentError: A `tokenizer` is needed and not given, or given and not needed.

        Example:
            >>> import tempfile
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     _ = SequenceDataset.write(f"{folder}/words", [("ab", "x"), ("b", "y")])
            ...     SequenceDataset.open(f"{folder}/words")[0]
            (tensor([3, 2]), 0)
        """
        store = open_store(folder, check=check, tokenizer=tokenizer)
        known = (store.classes, store.vocabulary, store.channels_first)
        return cls(store.sequences, store.labels, *known, fields=store.fields)

    @property
    def labels(self) -> Tensor:
        """The class indices: int64 of shape (len,); or 0 and 1 for each class, (len, C), where `multi_label`."""
        return self.compact_labels.long()

    @property
    def multi_label(self) -> bool:
        """Whether a sequence may have several labels."""
        return self.compact_labels.ndim == 2

    @property
    def lengths(self) -> Tensor:
        """The number of steps of each sequence: int64 of shape (len,), on the CPU."""
        return self.sequences.lengths

    @property
    def input_size(self) -> int | None:
        """The number of features, or of fields, of each step; None for strings and tokens."""
        return None if self.sequences.is_tokens else self.sequences.values.shape[1]

    @cached_property
    def groups(self) -> Groups:
        """Which sequences are equal: int64 of shape (len,), the same number for each, from 0 by first appearance.

        Example:
            >>> SequenceDataset.from_pairs([("ab", "x"), ("ba", "y"), ("ab", "z")]).groups
            array([0, 1, 0])
        """
        return duplicate_groups(self.sequences)

    @property
    def answers(self) -> Groups:
        """A number for what each sequence is labelled with: its class index, or that of its set of labels, (len,)."""
        labels = self.labels.numpy()
        return np.unique(labels, axis=0, return_inverse=True)[1].reshape(-1) if self.multi_label else labels

    @cached_property
    def fingerprint(self) -> str:
        """A hash of all that is in the dataset: sequences, labels, classes and vocabulary; 64 hexadecimal digits.

        Example:
            >>> one, same, other = (SequenceDataset.from_pairs([("ab", label)]) for label in ("x", "x", "y"))
            >>> one.fingerprint == same.fingerprint, one.fingerprint == other.fingerprint
            (True, False)
        """
        digest = hashlib.sha256()
        values = self.sequences.values
        context = self.sequences.context
        for tensor, dtype in (
            (values, values.dtype),
            (self.sequences.offsets, torch.int64),
            (self.compact_labels, torch.int64),
            *([] if context is None else [(context, context.dtype)]),
        ):
            digest.update(f"{dtype}{tuple(tensor.shape)}".encode())
            for part in torch.split(tensor, _HASHED):
                digest.update(part.to(dtype).contiguous().numpy().data)
        vocabulary = self.vocabulary
        known: tuple[Any, ...] = () if vocabulary is None else vocabulary.parts
        digest.update(repr(canonical((self.classes, known))).encode("utf-8", "surrogatepass"))
        for fields in (self.fields, self.context_fields):
            if fields is not None:
                digest.update(json.dumps(fields.to_dict()).encode("utf-8", "surrogatepass"))
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self.compact_labels)

    @overload
    def __getitem__(self, index: int) -> tuple[Tensor, int]: ...

    @overload
    def __getitem__(self, index: slice | list[Any] | npt.NDArray[Any] | Tensor) -> Self: ...

    def __getitem__(self, index: Any) -> tuple[Tensor, int] | Self:
        if type(index) is not int and is_several(index):
            return self.subset(index)
        place = read_index(index, len(self))
        sequence, label = self.sequences[place], self._label(place)
        if self.sequences.context is not None:  # the third part of a sample, which collate functions take too
            return sequence, label, self.sequences.context[place]  # type: ignore[return-value]
        return sequence, label

    def _label(self, place: int) -> Any:
        """Return the class index of a sequence; 0 and 1 for each class, (C,), where there may be several."""
        return self.compact_labels[place].long() if self.multi_label else int(self.compact_labels[place])

    def decode(self, index: int) -> Any:
        """Return a sequence as a reader would write it, as far as it is known.

        Returns:
            A string, or the list of symbols, in which those that are unknown are `"<unk>"`; a float array (T, F), or
            (F, T) where it came so; or a list of mappings for records.

        Example:
            >>> dataset = SequenceDataset.from_pairs([("Satoshi", "Japanese"), ("Rossi", "Italian")])
            >>> dataset.decode(1)
            'Rossi'
        """
        steps = self.sequences[read_index(index, len(self))]
        if self.fields is not None:
            return self.fields.decode(steps.numpy())
        if self.input_size is not None:
            return (steps.T if self.channels_first else steps).numpy()
        return steps.tolist() if self.vocabulary is None else self.vocabulary.decode(steps)

    def __iter__(self) -> Iterator[tuple[Tensor, int]]:
        return (self[index] for index in range(len(self)))

    def __getitems__(self, indices: list[int]) -> list[tuple[Tensor, int]]:
        """Return the samples at `indices`; a `DataLoader` asks for a batch at once in this way."""
        return [self[index] for index in indices]

    def batch(self, indices: Indices) -> Batch:
        """Gather the samples at `indices` into a padded `Batch`, with no work for each sample.

        Raises:
            InvalidDataError: There are no indices.

        Example:
            >>> dataset = SequenceDataset.from_pairs([("ab", "x"), ("a", "y"), ("aba", "x")])
            >>> dataset.batch([2, 1]).inputs
            tensor([[2, 3, 2],
                    [2, 0, 0]])
        """
        chosen = torch.from_numpy(read_indices(indices, len(self)))
        if len(chosen) == 0:
            raise InvalidDataError("indices must hold at least one index to make a batch; got none.")
        inputs, lengths = self.sequences.pad(chosen)
        context = self.sequences.context
        return Batch(
            inputs, lengths, self.compact_labels[chosen].long(), chosen, None if context is None else context[chosen]
        )

    def subset(self, indices: Indices) -> Self:
        """Return the samples at `indices`, in that order, with the same vocabulary and classes.

        Args:
            indices: Integers, of which those below zero count from the end; a mask, one boolean for each sample; or a
                slice. `dataset[indices]` is the same.

        Raises:
            InvalidIndexError: They are none of these, or beyond the end.

        Example:
            >>> dataset = SequenceDataset.from_pairs([("ab", "x"), ("a", "y"), ("aba", "x")])
            >>> dataset.subset(dataset.lengths > 1).lengths, dataset[:2].lengths
            (tensor([2, 3]), tensor([2, 1]))
        """
        chosen = torch.from_numpy(read_indices(indices, len(self)))
        return type(self)(
            self.sequences.select(chosen),
            self.compact_labels[chosen].long(),
            self.classes,
            self.vocabulary,
            self.channels_first,
            fields=self.fields,
            context_fields=self.context_fields,
        )

    def drop_empty(self) -> Self:
        """Return the samples whose sequences have a step; this very dataset where all have.

        Example:
            >>> dataset = SequenceDataset.from_pairs([("ab", "x"), ("", "y")], allow_empty=True)
            >>> len(dataset), len(dataset.drop_empty())
            (2, 1)
        """
        sizes = self.sequences.sizes
        return self if bool(sizes.all()) else self.subset(torch.nonzero(sizes)[:, 0])

    def drop_duplicates(self) -> Self:
        """Return each distinct pair of a sequence and a label once, in order of its first appearance.

        Example:
            >>> pairs = [("ab", "x"), ("ba", "y"), ("ab", "x"), ("ab", "y")]
            >>> len(SequenceDataset.from_pairs(pairs).drop_duplicates())
            3
        """
        pairs = self.groups * (int(self.answers.max()) + 1) + self.answers
        _, firsts = np.unique(pairs, return_index=True)
        return self.subset(np.sort(firsts))

    def report(self, other: "SequenceDataset | None" = None) -> DataReport:
        """Examine the data for what flatters or limits any figure measured on them.

        Args:
            other: A second dataset, encoded with the same vocabulary and classes, such as the test data: the report
                then says how much of it occurs in this one.

        Raises:
            InvalidArgumentError: `other` is encoded otherwise.

        Example:
            >>> pairs = [("ab", "x"), ("ab", "x"), ("ab", "y"), ("ba", "y")]
            >>> report = SequenceDataset.from_pairs(pairs).report()
            >>> report.n, report.distinct, report.ambiguous, report.ceiling
            (4, 2, 1, 0.75)
            >>> print(report)  # doctest: +ELLIPSIS
            sequences    4, 2 of them distinct; the most frequent occurs 3 times
            ambiguous    1 have several labels, so accuracy is 75.0 % at most
            majority     50.0 % is the accuracy of always answering the largest class
            ...
        """
        return build_report(self, other)

    @overload
    def split(
        self,
        test_size: float = 0.2,
        *,
        validation_size: None = None,
        seed: int = 0,
        stratify: bool = True,
        group_duplicates: bool = True,
        groups: Iterable[Any] | None = None,
        order: Iterable[Any] | None = None,
    ) -> tuple[Self, Self]: ...

    @overload
    def split(
        self,
        test_size: float = 0.2,
        *,
        validation_size: float,
        seed: int = 0,
        stratify: bool = True,
        group_duplicates: bool = True,
        groups: Iterable[Any] | None = None,
        order: Iterable[Any] | None = None,
    ) -> tuple[Self, Self, Self]: ...

    def split(
        self,
        test_size: float = 0.2,
        *,
        validation_size: float | None = None,
        seed: int = 0,
        stratify: bool = True,
        group_duplicates: bool = True,
        groups: Iterable[Any] | None = None,
        order: Iterable[Any] | None = None,
    ) -> tuple[Self, ...]:
        """Split at random, or by time, into a training and a test part, or into training, validation and test.

        Args:
            test_size: The part of the samples that goes to the test side, between 0 and 1; or their number. Where
                sequences stay together, it is met as nearly as they allow.
            validation_size: The same for a validation part, between the two others in what is returned; None is none.
            seed: The seed. The same data and seed give the same split.
            stratify: Whether all parts keep the shares of the classes, to within one sample where no sequences stay
                together. No class loses its last training sequence.
            group_duplicates: Whether equal sequences, whatever their labels, stay on one side. Otherwise the test side
                can hold sequences that were trained on, and its accuracy flatters.
            groups: What each sequence comes from (a person, a device, a day), any values, as many as sequences: those
                of one group stay on one side, too.
            order: When each sequence came, numbers or times, as many as sequences: the last part then tests, the one
                before validates, and nothing is drawn at random. Equal times stay on one side. Later sequences that
                equal earlier ones stay where they are, as they will come so; `train.report(test)` counts them.

        Returns:
            The training part, the validation part if one was asked for, and the test part, each in the order of this
            dataset.

        Raises:
            InvalidArgumentError: A size is out of range, or leaves one of the sides empty; `groups` or `order` are more
                or fewer than the sequences; or both are given.

        Example:
            >>> pairs = [("ab", "x"), ("ba", "x"), ("ab", "x"), ("c", "y"), ("d", "y"), ("cd", "y")]
            >>> train, test = SequenceDataset.from_pairs(pairs).split(test_size=1 / 3)
            >>> len(train), len(test)
            (4, 2)
            >>> digits = SequenceDataset.from_pairs([(format(i, "b"), i % 2) for i in range(100)])
            >>> [len(part) for part in digits.split(validation_size=0.1, test_size=0.2)]
            [70, 10, 20]
        """
        sizes = {"test_size": test_size}
        if validation_size is not None:
            sizes = {"validation_size": validation_size, "test_size": test_size}
        if order is not None:
            if groups is not None:
                raise InvalidArgumentError("groups must be None beside order, which splits by time; got both.")
            return tuple(self.subset(part) for part in self._split_by_order(sizes, order))
        parts = self._split(sizes, seed, stratify=stratify, group_duplicates=group_duplicates, groups=groups)
        return tuple(self.subset(part) for part in parts)

    def split_indices(
        self,
        test_size: float = 0.2,
        *,
        seed: int = 0,
        stratify: bool = True,
        group_duplicates: bool = True,
        groups: Iterable[Any] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return where the two sides of `split` stand in this dataset: int64 tensors, ascending.

        Example:
            >>> dataset = SequenceDataset.from_pairs([("ab", "x"), ("ba", "x"), ("ab", "x"), ("b", "x")])
            >>> train, test = dataset.split_indices(test_size=1)
            >>> sorted(train.tolist() + test.tolist())
            [0, 1, 2, 3]
        """
        sizes = {"test_size": test_size}
        train, test = self._split(sizes, seed, stratify=stratify, group_duplicates=group_duplicates, groups=groups)
        return train, test

    def _split(
        self,
        sizes: dict[str, float],
        seed: int,
        *,
        stratify: bool,
        group_duplicates: bool,
        groups: Iterable[Any] | None,
    ) -> list[Tensor]:
        wanted = {name: check_size(name, size, len(self)) for name, size in sizes.items()}
        seed = check_seed("seed", seed)
        numbers = self.groups if group_duplicates else np.arange(len(self))
        if groups is not None:
            numbers = join_groups(numbers, read_groups(groups, len(self)))
        left, parts = members(numbers), []
        strata: list[tuple[int, ...]] = self._strata() if stratify else [(0,)] * len(self)
        for name in reversed(wanted):
            chosen = choose_groups(left, strata, wanted[name], seed)
            parts.append(chosen)
            taken = set(chosen)
            left = [group for group in left if group[0] not in taken]
        parts.append(sorted(member for group in left for member in group))
        parts.reverse()
        self._refuse_empty_parts(parts, sizes, len(members(numbers)), strata)
        return [torch.tensor(part, dtype=torch.int64) for part in parts]

    def _split_by_order(self, sizes: dict[str, float], order: Iterable[Any]) -> list[Tensor]:
        """Return the parts, the earliest first; equal times stay in the later part."""
        times = read_order(order, len(self))
        ranks, ends = np.sort(times), [len(self)]
        for name, size in reversed(sizes.items()):
            at = max(ends[0] - check_size(name, size, len(self)), 0)
            ends.insert(0, int(np.searchsorted(ranks, ranks[min(at, len(self) - 1)])))
        places = np.argsort(times, kind="stable")
        starts = [0, *ends[:-1]]
        parts = [np.sort(places[start:end]).tolist() for start, end in zip(starts, ends, strict=True)]
        self._refuse_empty_parts(parts, sizes, len(np.unique(times)), [(0,)] * len(self))
        return [torch.tensor(part, dtype=torch.int64) for part in parts]

    def _strata(self) -> list[tuple[int, ...]]:
        """Return what each sequence has a share of: its class; or all sequences, and each of its labels."""
        if not self.multi_label:
            return [(label,) for label in self.labels.tolist()]
        return [(ALL, *map(int, np.flatnonzero(row))) for row in self.compact_labels.numpy()]

    def _refuse_empty_parts(
        self, parts: list[list[int]], sizes: dict[str, float], distinct: int, strata: list[tuple[int, ...]]
    ) -> None:
        sides = ["training", *(name.removesuffix("_size") for name in sizes)]
        for side, part in zip(sides, parts, strict=True):
            if not part:
                name = "test_size" if side == "training" else f"{side}_size"
                raise InvalidArgumentError(
                    f"{name} must leave something on all sides; got {sizes[name]!r}, which leaves the {side} side of "
                    f"{len(self)} samples empty (distinct: {distinct}; the largest of {len(self.classes)} classes has "
                    f"{max(Counter(one[-1] for one in strata).values())}). Choose another size, or stratify=False."
                )

    def __repr__(self) -> str:
        shortest, longest = int(self.sequences.sizes.min()), int(self.sequences.sizes.max())
        width = f"{len(self.vocabulary)} ids" if self.vocabulary is not None else f"{self.input_size} features"
        width = width if self.fields is None else ", ".join(map(str, self.fields.fields))
        width += "" if self.context_fields is None else f"; context: {', '.join(map(str, self.context_fields.fields))}"
        size = f"{len(self):,} sequences, {len(self.classes)} classes"
        return f"SequenceDataset({size}, lengths {shortest}-{longest}, {width})"


def read_pairs(pairs: Iterable[tuple[Any, Any]]) -> tuple[list[Any], list[Any]]:
    """Return the sequences and the labels of (sequence, label) pairs.

    Raises:
        InvalidDataError: An item is not a pair.
    """
    pairs = as_list(pairs, "pairs")
    for index, pair in enumerate(pairs):
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise InvalidDataError(
                f"pairs must be (sequence, label) pairs; got {pair!r:.80} (item {index}). Give each sequence one label."
            )
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]
