"""Mistakes: what a model got wrong, as rows to read, the surest first."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, overload

import numpy as np

from seqclf.data.dataset import SequenceDataset
from seqclf.errors import InvalidArgumentError
from seqclf.files import PathLike, write_atomically
from seqclf.notebook import html_table, text_table

__all__ = ["Mistake", "Mistakes"]

_SHOWN = 20  # rows of a table that is printed
_WIDEST = 40  # letters of a sequence that is printed
_KINDS = (".csv", ".tsv", ".jsonl")


@dataclass(frozen=True)
class Mistake:
    """A sequence that got a wrong answer.

    Attributes:
        index: Where it stands in the dataset that was measured, from 0; of several equal ones with the same label, the
            first.
        sequence: As `SequenceDataset.decode` gives it.
        label: What is true: a label, or a tuple of them where a sequence may have several.
        predicted: What the model answered.
        probability: What the model gave its answer.
        label_probability: What it gave the truth.
        count: How many sequences are equal to this one and have the same label.
    """

    index: int
    sequence: Any
    label: Any
    predicted: Any
    probability: float
    label_probability: float
    count: int


class Mistakes(Sequence[Mistake]):
    """What a model got wrong, the surest first: `Evaluation.mistakes` makes it.

    `pandas.DataFrame(list(mistakes))` makes a frame of it.

    Attributes:
        total: How many different mistakes there are, those that were left out included.

    Example:
        >>> row = Mistake(3, "Ito", "Japanese", "Italian", 0.9, 0.05, 2)
        >>> Mistakes([row])
        1 mistake:
        sequence  label     predicted  probability  of the label  count
        Ito       Japanese  Italian          0.900         0.050      2
    """

    def __init__(self, rows: Sequence[Mistake], total: int | None = None) -> None:
        self._rows = tuple(rows)
        self.total = len(self._rows) if total is None else total

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Mistake: ...

    @overload
    def __getitem__(self, index: slice) -> "Mistakes": ...

    def __getitem__(self, index: int | slice) -> "Mistake | Mistakes":
        return Mistakes(self._rows[index], self.total) if isinstance(index, slice) else self._rows[index]

    def __iter__(self) -> Iterator[Mistake]:
        return iter(self._rows)

    def write(self, path: PathLike, columns: Mapping[str, Sequence[Any]] | None = None) -> None:
        """Write all rows, whole or not at all, as CSV, TSV or JSON lines, by the end of the name.

        Words stand in a CSV file with blanks between them, other sequences that are no text as JSON.

        Args:
            path: The file.
            columns: Further columns, which come first: a value for each row.

        Raises:
            InvalidArgumentError: The name ends otherwise.
            FileFormatError: The file cannot be written.
        """
        kind = Path(path).suffix.lower()
        if kind not in _KINDS:
            raise InvalidArgumentError(f"path must end in {', '.join(_KINDS)}; got {str(path)!r}.")
        further = columns or {}
        rows = [
            {name: values[place] for name, values in further.items()} | asdict(row)
            for place, row in enumerate(self._rows)
        ]
        text = io.StringIO()
        if kind == ".jsonl":
            text.writelines(json.dumps(row, default=_as_json, ensure_ascii=False) + "\n" for row in rows)
        else:
            names = [*further, *(field.name for field in fields(Mistake))]
            writer = csv.writer(text, delimiter="\t" if kind == ".tsv" else ",", lineterminator="\n")
            writer.writerow(names)
            writer.writerows([_as_cell(row[name]) for name in names] for row in rows)
        write_atomically(path, text.getvalue().encode("utf-8", "backslashreplace"))

    def _table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Return header and cells of what is shown."""
        header = ("sequence", "label", "predicted", "probability", "of the label", "count")
        rows: list[tuple[str, ...]] = [
            (
                _shorten(_as_cell(row.sequence)),
                str(row.label),
                str(row.predicted),
                f"{row.probability:.3f}",
                f"{row.label_probability:.3f}",
                f"{row.count}",
            )
            for row in self._rows[:_SHOWN]
        ]
        return header, rows

    @property
    def _caption(self) -> str:
        shown = min(_SHOWN, len(self))
        if self.total == 1:
            return "1 mistake:"
        return f"{self.total:,} mistakes" + (f", the {shown} surest:" if shown < self.total else ", the surest first:")

    def __repr__(self) -> str:
        return f"{self._caption}\n{text_table(*self._table(), left=3)}" if self._rows else "no mistakes"

    def _repr_html_(self) -> str:
        return html_table([self._caption], *self._table())


def find_mistakes(result: Any, dataset: SequenceDataset, most: int | None = None) -> Mistakes:
    """Return what an `Evaluation` of a dataset got wrong."""
    places = _places_of(result, dataset)
    wrong = np.flatnonzero(~result.hits)
    first: dict[tuple[int, int], int] = {}
    counts: dict[tuple[int, int], int] = {}
    groups, answers = dataset.groups, dataset.answers
    for row in wrong.tolist():  # equal sequences of one label are told once
        key = int(groups[places[row]]), int(answers[places[row]])
        first.setdefault(key, row)
        counts[key] = counts.get(key, 0) + 1
    of_answer, of_truth = _probabilities(result)
    order = sorted(first.items(), key=lambda item: (-of_answer[item[1]], item[1]))
    return Mistakes(
        [
            Mistake(
                index=int(places[row]),
                sequence=dataset.decode(int(places[row])),
                label=_named(result.classes, result.labels[row]),
                predicted=_named(result.classes, result.predictions[row]),
                probability=float(of_answer[row]),
                label_probability=float(of_truth[row]),
                count=counts[key],
            )
            for key, row in order[:most]
        ],
        len(order),
    )


def _places_of(result: Any, dataset: SequenceDataset) -> Any:
    """Return where the sequences that were measured stand in a dataset; raise where they are of another."""
    if not isinstance(dataset, SequenceDataset):
        raise InvalidArgumentError(
            f"dataset must be the SequenceDataset that was measured; got {type(dataset).__name__}."
        )
    places = np.arange(len(dataset))
    if len(dataset) != result.n:
        places = np.flatnonzero(dataset.sequences.sizes.numpy())  # those that are empty were left out
    if len(places) != result.n or not np.array_equal(dataset.labels.numpy()[places], result.labels):
        raise InvalidArgumentError(
            f"dataset must be the one that was measured, of {result.n} sequences; got one of {len(dataset)}, or with "
            "other labels."
        )
    return places


def _probabilities(result: Any) -> tuple[Any, Any]:
    """Return what the model gave its answer and the truth; several labels are taken for independent."""
    if not result.multi_label:
        of_truth = np.exp(-result.losses)
        return (of_truth if result.confidences is None else result.confidences), of_truth
    own = [
        np.where(chosen == 1, result.probabilities, 1 - result.probabilities).prod(1)
        for chosen in (result.predictions, result.labels)
    ]
    return own[0], own[1]


def _named(classes: tuple[Any, ...], answer: Any) -> Any:
    if np.ndim(answer):
        return tuple(classes[place] for place in np.flatnonzero(answer))
    return classes[int(answer)]


def _as_json(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else str(value)


def _as_cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return " ".join(value)
    if isinstance(value, tuple):
        return "; ".join(map(str, value))
    if isinstance(value, list | dict | np.ndarray):
        return json.dumps(value, default=_as_json, ensure_ascii=False)
    return str(value)


def _shorten(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _WIDEST else text[: _WIDEST - 1] + "…"
