"""From plain sequences to the ragged store, each checked on the way."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqclf.data.ragged import Ragged, compact
from seqclf.errors import InvalidArgumentError, InvalidDataError
from seqclf.fields import Fields, check_fields, find_fields
from seqclf.reading.records import FieldKind, Table, join, read_context
from seqclf.reading.sequences import LARGEST, Sequences, read_sequence, warn, warn_of_likely_mistakes
from seqclf.reading.tokenizers import as_tokenizer
from seqclf.vocabulary import Vocabulary, check_is_vocabulary, split_texts


class Means(NamedTuple):
    """What encodes sequences: what is known of them before, or how to find it out.

    Attributes:
        vocabulary: The ids of symbols, where they are settled.
        tokenizer: What splits texts, for a vocabulary that is to be built.
        fields: The fields of records, where they are settled.
        kinds: What is said of fields that are not.
    """

    vocabulary: Vocabulary | None = None
    tokenizer: Any = None
    fields: Fields | None = None
    kinds: Mapping[str, FieldKind] = {}


def encode(
    read: Sequences, means: Means, *, allow_empty: bool, allow_missing: bool
) -> tuple[Ragged, Vocabulary | None, Fields | None]:
    """Encode plain sequences by what is known, or by what they tell; return the store, vocabulary and fields.

    Raises:
        InvalidDataError: A sequence cannot be encoded; the message says which.
        InvalidArgumentError: What is known is about another kind of sequences.
    """
    vocabulary, tokenizer, fields, kinds = means
    if vocabulary is not None and tokenizer is not None:
        raise InvalidArgumentError(
            f"tokenizer must be None beside a vocabulary, which has its own; got {tokenizer!r:.80}. Leave it out."
        )
    if read.kind in {"features", "records"}:
        kind = "float sequences" if read.kind == "features" else "records"
        for name, value in (("vocabulary", vocabulary), ("tokenizer", tokenizer)):
            if value is not None:
                raise InvalidArgumentError(f"{name} must be None for {kind}; got one. Leave it out.")
    if read.kind == "records":
        table = join(read.items)
        fields = fields or find_fields(table, kinds, allow_missing=allow_missing)
        return encode_table(table, fields, allow_empty=allow_empty, allow_missing=allow_missing), None, fields
    if read.kind == "features":
        warn_of_likely_mistakes(read)
        return encode_features(read, allow_empty=allow_empty, allow_missing=allow_missing), None, None
    if vocabulary is not None:
        store = encode_tokens(read, check_is_vocabulary(vocabulary), allow_empty=allow_empty)
        warn_of_unknown(store)
        return store, vocabulary, None
    if tokenizer is None:
        warn_of_likely_mistakes(read)
    splitter = as_tokenizer(tokenizer)
    read = split_texts(read, splitter)  # once, for counting and for encoding
    vocabulary = Vocabulary.of(read, tokenizer=splitter)
    return encode_tokens(read, vocabulary, allow_empty=allow_empty), vocabulary, None


def add_context(store: Ragged, context: Any, fields: Any) -> tuple[Ragged, Fields | None]:
    """Return a store with facts about its sequences, and what they are; as it is where there are none.

    Raises:
        InvalidDataError: There are more facts than sequences, or fewer, or some are of no kind that is known.
        InvalidArgumentError: Fields are given and no context.
    """
    names, kinds, known = check_fields(fields)
    if context is None:
        if known is not None or names:
            raise InvalidArgumentError("context must be given with context_fields; got None. Pass a frame.")
        return store, None
    table = read_context(context, len(store), names)
    known = known or find_fields(table, kinds, allow_missing=True)
    rows = torch.from_numpy(known.encode(table, allow_missing=True))
    refuse_infinite_context(rows, known)
    return replace(store, context=rows), known


def refuse_infinite_context(rows: Tensor, fields: Fields) -> None:
    """Raise where a fact is infinite or beyond float32."""
    wrong = torch.nonzero(~(rows.abs() <= LARGEST) & ~rows.isnan())
    if len(wrong):
        index, place = wrong[0].tolist()
        raise InvalidDataError(
            f"context must hold numbers that fit float32; got {float(rows[index, place]):.3g} for "
            f"{fields.names[place]!r} (sequence {index}). Correct or scale it."
        )


def encode_tokens(read: Sequences, vocabulary: Vocabulary, *, allow_empty: bool = False) -> Ragged:
    """Encode strings or lists of symbols into a compact store.

    Raises:
        InvalidDataError: A sequence is empty, or is not of the vocabulary's kind.
    """
    values, offsets = vocabulary.encode_plain(read)
    store = Ragged(compact(values, len(vocabulary)), offsets)
    if not allow_empty:
        refuse_empty(store)
    return store


def warn_of_unknown(store: Ragged) -> None:
    """Warn where of some sequences no symbol at all is known: they were probably meant otherwise."""
    wrong = find_unknown(store)
    if len(wrong):
        warn_unknown(len(wrong), len(store), int(wrong[0]))


def find_unknown(store: Ragged) -> npt.NDArray[np.int64]:
    """Return which sequences have steps, and none of a symbol that is known."""
    known = np.concatenate([np.zeros(1, np.int64), (store.values.numpy() != Vocabulary.unknown_id).cumsum()])
    ends = store.offsets.numpy()
    found: npt.NDArray[np.int64] = np.flatnonzero((known[ends[1:]] == known[ends[:-1]]) & (ends[1:] > ends[:-1]))
    return found


def warn_unknown(count: int, of: int, first: int | str) -> None:
    """Warn of sequences without a known symbol, of which the first is named by its number or otherwise."""
    name = first if isinstance(first, str) else f"sequence {first}"
    warn(
        f"no symbol is known of {count} of {of} sequences, such as {name}: they all look the same to the "
        "model. Pass raw sequences as the training data were, not ids; or leave these out."
    )


def encode_records(
    read: Sequences, fields: Fields, *, allow_empty: bool = False, allow_missing: bool = False
) -> Ragged:
    """Encode records into a store of rows (N, F), float64: what they are read as depends on no other sequence.

    Raises:
        InvalidDataError: A sequence is empty, has no records, or has values that its fields do not take.
    """
    if read.kind != "records":
        raise InvalidDataError(
            f"sequences must be records of {fields.names}; got {read.kind} (sequence 0). Pass a list of mappings, a "
            "mapping of columns, or a frame for each sequence."
        )
    return encode_table(join(read.items), fields, allow_empty=allow_empty, allow_missing=allow_missing)


def encode_table(table: Table, fields: Fields, *, allow_empty: bool = False, allow_missing: bool = False) -> Ragged:
    """Encode the records of a table; otherwise as `encode_records`."""
    rows = fields.encode(table, allow_missing=allow_missing)
    store = Ragged(torch.from_numpy(rows), torch.from_numpy(table.offsets))
    if not allow_empty:
        refuse_empty(store)
    refuse_non_finite(store, allow_missing=allow_missing, names=fields.names)
    return store


def encode_one(sequence: Any, vocabulary: Vocabulary) -> list[int]:
    """Return the ids of one string or token sequence, which may be empty.

    Raises:
        InvalidDataError: As `encode_tokens`.
    """
    if type(sequence) is not str or not vocabulary.is_text:
        _, sequence = vocabulary.check_kind(*read_sequence(sequence, 0), 0)
    ids = vocabulary.to_plain_ids(sequence)
    if ids and ids.count(Vocabulary.unknown_id) == len(ids):
        warn_unknown(1, 1, 0)
    return ids


def encode_features(
    read: Sequences, input_size: int | None = None, *, allow_empty: bool = False, allow_missing: bool = False
) -> Ragged:
    """Join float arrays of shape (T, F) into one store: of float64 where any came with so many digits.

    Args:
        read: The arrays, as many features wide as the first, or as `input_size` where given.
        input_size: The number of features F that every sequence must have.
        allow_empty: Whether sequences may have no step.
        allow_missing: Whether features may be NaN.

    Raises:
        InvalidDataError: A sequence is empty, not a float array, of another width, or has NaN or infinite features, or
            some beyond float32.
    """
    if read.kind != "features":
        raise InvalidDataError(
            f"float sequences must be float arrays or tensors; got {read.kind} (sequence 0). "
            "Convert it, for instance with numpy.asarray(sequence, dtype='float32')."
        )
    input_size = read.items[0].shape[1] if input_size is None else input_size
    for index, array in enumerate(read.items):
        if array.shape[1] != input_size:
            raise InvalidDataError(
                f"float sequences must all have {input_size} features; got shape "
                f"{array.shape[::-1] if read.channels_first else array.shape} (sequence {index}). Give each sequence "
                f"the shape {'(F, T)' if read.channels_first else '(T, F)'} with one F."
            )
    lengths = torch.tensor([len(array) for array in read.items])
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    store = Ragged(torch.from_numpy(np.concatenate(read.items)), offsets)
    if not allow_empty:
        refuse_empty(store)
    refuse_non_finite(store, allow_missing=allow_missing)
    if allow_missing:
        warn_of_padding(read.items)
    return store


def warn_of_padding(arrays: Sequence[Any]) -> None:
    """Warn where arrays of one length end in steps of which nothing is known: probably padding."""
    if len(arrays) > 1 and len({len(array) for array in arrays}) == 1:
        wrong = [index for index, array in enumerate(arrays) if len(array) > 1 and np.isnan(array[-1]).all()]
        if wrong:
            warn(
                f"{len(wrong)} of {len(arrays)} sequences, such as sequence {wrong[0]}, end in steps of which nothing "
                "is known (NaN), as padding does. If it is padding, cut it off with trailing_missing='end' in the "
                "dataset, or array[:length]."
            )


def cut_padding(read: Sequences) -> Sequences:
    """Cut off the steps at the end of each sequence of which nothing is known."""
    if read.kind != "features":
        return read
    items = []
    for array in read.items:
        known = np.flatnonzero(~np.isnan(array).all(1))
        items.append(array[: known[-1] + 1 if len(known) else 0])
    return replace(read, items=items)


def refuse_empty(store: Ragged) -> None:
    """Raise where a sequence has no step."""
    sizes = store.sizes.numpy()
    if not sizes.all():
        raise InvalidDataError(
            f"sequences must not be empty; got length 0 (sequence {int((sizes == 0).argmax())}). Remove it; or keep it "
            "with allow_empty=True in the dataset, and empty='zero' or 'skip' in the model."
        )


def refuse_non_finite(store: Ragged, *, allow_missing: bool, names: Sequence[str] = ()) -> None:
    """Raise where a feature is infinite or beyond float32, or NaN where that is not allowed."""
    is_wrong: Tensor = ~(store.values.abs() <= LARGEST)
    wrong = torch.nonzero(is_wrong & ~store.values.isnan() if allow_missing else is_wrong)
    if len(wrong):
        row, feature = (int(number) for number in wrong[0])
        index = int(torch.searchsorted(store.offsets, row, right=True)) - 1
        value = float(store.values[row, feature])
        what = f"field {names[feature]!r}" if names else f"feature {feature}"
        place = f"(sequence {index}, step {row - int(store.offsets[index])}, {what})"
        if abs(value) < float("inf"):
            raise InvalidDataError(
                f"features must fit float32, which ends at {LARGEST:.3g}; got {value:.3g} {place}. Scale them."
            )
        raise InvalidDataError(
            f"features must be finite numbers; got {value} {place}. Correct it; or keep NaN with allow_missing=True in "
            "the dataset, and missing='mean', 'forward' or 'indicator' in the model; where NaN is padding at the end, "
            "with trailing_missing='end'."
        )
