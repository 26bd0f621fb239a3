"""DataReport: what is to be known of a dataset before any figure measured on it is believed."""

from collections.abc import Hashable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from seqclf.data.baseline import can_fit, linear_probabilities
from seqclf.data.duplicates import duplicate_groups
from seqclf.data.labelled import LabelledSequences
from seqclf.data.ragged import Ragged, concatenate
from seqclf.errors import InvalidArgumentError, InvalidDataError
from seqclf.notebook import html_table
from seqclf.vocabulary import Vocabulary

__all__ = ["DataReport", "Leakage"]

Counts = npt.NDArray[np.int64]
_HEADER = ("class", "count", "distinct", "share")


@dataclass(frozen=True)
class Leakage:
    """How much of a second dataset occurs in the first as well.

    Attributes:
        n: The number of sequences of the second dataset.
        shared: How many of them equal a sequence of the first.
        shared_with_label: How many of them equal a sequence of the first that has the same label there.
        unseen_steps: How many of its steps are symbols that never occur in the first. A vocabulary that was made before
            the data were split knows them, but nothing is learned about them.
    """

    n: int
    shared: int
    shared_with_label: int
    unseen_steps: int


@dataclass(frozen=True, repr=False)
class DataReport:
    """What `SequenceDataset.report` found, to be printed: duplicates, ambiguity, balance, lengths, leakage.

    Attributes:
        n: The number of sequences.
        distinct: The number of distinct ones.
        most_repeated: How often the most frequent sequence occurs.
        ambiguous: How many of the distinct sequences have several labels.
        ceiling: The best accuracy that any classifier can reach on these data, as it can answer each sequence in one
            way only, at best with the most frequent of its labels.
        class_counts: The number of sequences of each class.
        class_distinct: The number of distinct sequences of each class.
        majority: The accuracy of always answering the most frequent class.
        steps: The number of steps, all sequences together.
        unknown_steps: How many of them are symbols that the vocabulary does not know.
        unknown_sequences: How many sequences have such a symbol.
        missing_values: How many features of all steps are NaN.
        missing_sequences: How many sequences have such a step.
        empty: How many sequences have no step.
        length_quartiles: The least length, the three quartiles, and the greatest.
        length_outliers: The indices of sequences whose length is an outlier: more than three times the distance
            between the quartiles above the upper or below the lower one.
        leakage: How much of the other dataset occurs in this one, where one was given.
        linear: The accuracy on the other dataset of a linear model that is trained on this one, as `linear_baseline`
            has it; None where there is no other, or no scikit-learn.
        tokenizer: What split the texts, where there is a tokenizer.
        fields: What the columns of records, and of context, were read as, where there are any.

    Example:
        >>> from seqclf import SequenceDataset
        >>> train = SequenceDataset.from_pairs([("ab", "x"), ("ba", "y"), ("aba", "x")])
        >>> test = SequenceDataset.from_pairs(
        ...     [("ab", "y"), ("ba", "y"), ("bac", "x")], vocabulary=train.vocabulary, classes=train.classes
        ... )
        >>> train.report(test).leakage
        Leakage(n=3, shared=2, shared_with_label=1, unseen_steps=1)
        >>> test.report().unknown_steps
        1
    """

    n: int
    distinct: int
    most_repeated: int
    ambiguous: int
    ceiling: float
    class_counts: dict[Hashable, int]
    class_distinct: dict[Hashable, int]
    majority: float
    steps: int
    unknown_steps: int
    unknown_sequences: int
    missing_values: int
    missing_sequences: int
    empty: int
    length_quartiles: tuple[float, ...]
    length_outliers: tuple[int, ...]
    leakage: Leakage | None = None
    linear: float | None = None
    tokenizer: str | None = None
    fields: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return all figures as strings, numbers, lists and dicts alone, ready for JSON."""
        content = asdict(self)
        for name in ("class_counts", "class_distinct"):
            content[name] = {str(label): count for label, count in content[name].items()}
        for name in ("length_quartiles", "length_outliers"):
            content[name] = list(content[name])
        return content

    def __repr__(self) -> str:
        facts = [f"{name:<11}  {fact}" for name, fact in self._facts()]
        width = max(len(str(label)) for label in [*self.class_counts, "class"])
        lines = [
            f"{label!s:<{width}}  {count:>8}  {distinct:>8}  {share:>7}"
            for label, count, distinct, share in [_HEADER, *self._rows()]
        ]
        return "\n".join([*facts, "", *lines])

    def _repr_html_(self) -> str:
        return html_table([f"{name}: {fact}" for name, fact in self._facts()], _HEADER, self._rows())

    def _rows(self) -> list[tuple[Hashable, str, str, str]]:
        """Return the lines of the table of classes, the largest first."""
        return [
            (label, f"{count:,}", f"{self.class_distinct[label]:,}", _percent(count / self.n))
            for label, count in sorted(self.class_counts.items(), key=lambda item: -item[1])
        ]

    def _facts(self) -> list[tuple[str, str]]:
        """Return what is said above the table of classes."""
        least, *middle, greatest = self.length_quartiles
        quartiles = ", ".join(f"{length:g}" for length in middle)
        often = f"the most frequent occurs {self.most_repeated:,} times"
        facts = [
            ("sequences", f"{self.n:,}, {self.distinct:,} of them distinct; {often}"),
            ("ambiguous", f"{self.ambiguous:,} have several labels, so accuracy is {_percent(self.ceiling)} at most"),
            ("majority", f"{_percent(self.majority)} is the accuracy of always answering the largest class"),
            ("lengths", f"{least:g} to {greatest:g}, quartiles {quartiles}; {len(self.length_outliers):,} outliers"),
            ("unknown", f"{self.unknown_steps:,} of {self.steps:,} steps, in {self.unknown_sequences:,} sequences"),
        ]
        if self.tokenizer is not None:
            facts.append(("tokenizer", f"{self.tokenizer}, which makes {self.steps / self.n:.1f} tokens of a text"))
        if self.fields is not None:
            facts.append(("fields", self.fields))
        if self.missing_values:
            facts.append(("missing", f"{self.missing_values:,} values, in {self.missing_sequences:,} sequences"))
        if self.empty:
            facts.append(("empty", f"{self.empty:,} sequences have no step"))
        if self.leakage is not None:
            other = self.leakage
            here = f"{other.shared:,} of {other.n:,} sequences of the other set ({_percent(other.shared / other.n)})"
            alike = f"{other.shared_with_label:,} ({_percent(other.shared_with_label / other.n)}) with the same label"
            facts.append(("leakage", f"{here} occur here too, {alike}"))
            if other.unseen_steps:
                facts.append(
                    ("unseen", f"{other.unseen_steps:,} steps of the other set are symbols that never occur here")
                )
        if self.linear is not None:
            facts.append(("linear", f"{_percent(self.linear)} is the accuracy of a linear model on the other set"))
        return facts


def build_report(dataset: LabelledSequences, other: LabelledSequences | None, *, linear: bool = True) -> DataReport:
    """Examine `dataset`, and how much of `other` occurs in it; the linear model takes time, and can be left out."""
    if len(dataset) == 0:
        raise InvalidDataError("dataset must hold at least one sequence; got none. Check where the data come from.")
    labels, groups = dataset.answers, dataset.groups
    num_groups = int(groups.max()) + 1
    # One row for each pair of a different sequence and a label that it has; there are no more than sequences.
    base = int(labels.max()) + 1
    pairs, counts = np.unique(groups * base + labels, return_counts=True)
    of_pair = pairs // base
    most = np.zeros(num_groups, np.int64)
    np.maximum.at(most, of_pair, counts)
    class_counts, class_distinct = _count_classes(dataset, groups * base + labels)
    values = dataset.sequences.values.numpy()
    unknown = values == 1 if dataset.vocabulary is not None else np.zeros(len(values), dtype=bool)
    missing = np.isnan(values) if dataset.input_size is not None else np.zeros((len(values), 1), dtype=bool)
    lengths = dataset.lengths.numpy()
    quartiles = np.quantile(lengths, [0, 0.25, 0.5, 0.75, 1])
    reach = 3 * (quartiles[3] - quartiles[1])
    far = (lengths < quartiles[1] - reach) | (lengths > quartiles[3] + reach)
    owners = np.repeat(np.arange(len(dataset)), lengths)
    return DataReport(
        n=len(dataset),
        distinct=num_groups,
        most_repeated=int(np.bincount(groups).max()),
        ambiguous=int((np.bincount(of_pair) > 1).sum()),
        ceiling=float(most.sum() / len(dataset)),
        class_counts=dict(zip(dataset.classes, class_counts.tolist(), strict=True)),
        class_distinct=dict(zip(dataset.classes, class_distinct.tolist(), strict=True)),
        majority=float(np.bincount(labels).max() / len(dataset)),
        steps=int(lengths.sum()),
        unknown_steps=int(unknown.sum()),
        unknown_sequences=len(np.unique(owners[unknown])),
        missing_values=int(missing.sum()),
        missing_sequences=len(np.unique(owners[missing.any(1)])),
        empty=int((lengths == 0).sum()),
        length_quartiles=tuple(quartiles.tolist()),
        length_outliers=tuple(np.flatnonzero(far).tolist()),
        leakage=None if other is None else _leakage(dataset, other),
        tokenizer=_tokenizer_name(dataset.vocabulary),
        fields=_name_fields(dataset),
        linear=None if other is None or not linear or not can_fit() else _linear_accuracy(dataset, other),
    )


def _count_classes(dataset: LabelledSequences, pairs: Counts) -> tuple[Counts, Counts]:
    """Return how many sequences each class has, and how many distinct ones, (C,) each."""
    _, firsts = np.unique(pairs, return_index=True)
    labels, count = dataset.labels.numpy(), len(dataset.classes)
    found = [one.sum(0) if one.ndim == 2 else np.bincount(one, minlength=count) for one in (labels, labels[firsts])]
    return found[0], found[1]


def _name_fields(dataset: LabelledSequences) -> str | None:
    told = [] if dataset.fields is None else [", ".join(map(str, dataset.fields.fields))]
    if dataset.context_fields is not None:
        told.append(f"context: {', '.join(map(str, dataset.context_fields.fields))}")
    return "; ".join(told) or None


def _tokenizer_name(vocabulary: Vocabulary | None) -> str | None:
    return None if vocabulary is None or vocabulary.tokenizer is None else vocabulary.tokenizer.name


def _linear_accuracy(dataset: LabelledSequences, other: LabelledSequences) -> float | None:
    if not len(other):
        return None
    probabilities, labels = linear_probabilities(dataset, other), other.labels.numpy()
    hits = ((probabilities >= 0.5) == labels).all(1) if labels.ndim == 2 else probabilities.argmax(1) == labels
    return float(hits.mean())


def _leakage(dataset: LabelledSequences, other: LabelledSequences) -> Leakage:
    if not isinstance(other, type(dataset)):
        raise InvalidArgumentError(
            f"other must be a SequenceDataset; got {type(other).__name__}. Make it with from_pairs."
        )
    fits = dataset.vocabulary == other.vocabulary and dataset.input_size == other.input_size
    fits = fits and (dataset.fields, dataset.context_fields) == (other.fields, other.context_fields)
    fits = fits and dataset.labels.ndim == other.labels.ndim
    if not fits or dataset.classes != other.classes:
        raise InvalidArgumentError(
            f"other must be encoded like this dataset; got {other!r} beside {dataset!r}. "
            "Pass vocabulary=train.vocabulary, classes=train.classes where it is made."
        )
    both: Ragged = concatenate(dataset.sequences, other.sequences)
    groups = duplicate_groups(both)
    labels = np.concatenate([dataset.labels.numpy(), other.labels.numpy()])
    answers = np.unique(labels, axis=0, return_inverse=True)[1].reshape(-1)
    pairs = groups * (int(answers.max()) + 1) + answers
    own = len(dataset)
    return Leakage(
        n=len(other),
        shared=int(np.isin(groups[own:], groups[:own]).sum()),
        shared_with_label=int(np.isin(pairs[own:], pairs[:own]).sum()),
        unseen_steps=_unseen(dataset, other),
    )


def _unseen(dataset: LabelledSequences, other: LabelledSequences) -> int:
    """Count the steps of `other` whose symbol never occurs in `dataset`."""
    if dataset.vocabulary is None:  # features, or ids without a table
        return 0
    stands = np.zeros(len(dataset.vocabulary), bool)
    stands[dataset.sequences.values.numpy()] = True
    return int((~stands[other.sequences.values.numpy()]).sum())


def _percent(part: float) -> str:
    return f"{100 * part:.1f} %"
