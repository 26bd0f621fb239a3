"""Fields: what the columns of records are, and how records become rows of numbers.

A row has a number for each field: a category's id in its own vocabulary, or the number itself, NaN where it is missing.
So records are stored, batched and written as measurements are. Legend: N steps in all, F fields.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from seqclf.checks import check_choice
from seqclf.errors import InvalidArgumentError, InvalidDataError
from seqclf.reading.plain import is_savable
from seqclf.reading.records import Column, FieldKind, Table, as_categories, as_floats, kind_of
from seqclf.reading.sequences import warn
from seqclf.vocabulary import Vocabulary

__all__ = ["Field", "Fields"]

MISSING = "<missing>"  # what a missing category is read as, where missing values are let in
_MOST_CATEGORIES = 1 << 24  # ids that float32 holds
_LIKE_CODES, _REPEATED = 1_000, 20  # integers up to so many different ones, each so often, may be codes
_CODE = re.compile(r"(^|_)(id|code|type|kind|mcc|category|class)s?$", re.IGNORECASE)


@dataclass(frozen=True)
class Field:
    """One field of records.

    Attributes:
        name: Its name.
        vocabulary: The ids of its categories; None for numbers.

    Example:
        >>> from seqclf import SequenceDataset
        >>> visits = [([{"page": "home", "seconds": 3.5}], "leaves"), ([{"page": "cart", "seconds": 9.0}], "buys")]
        >>> page, seconds = SequenceDataset.from_pairs(visits).fields.fields
        >>> page.kind, str(page), seconds.kind
        ('category', 'page (2 categories)', 'number')
    """

    name: str
    vocabulary: Vocabulary | None = None

    @property
    def kind(self) -> FieldKind:
        """What it holds."""
        return "number" if self.vocabulary is None else "category"

    def __str__(self) -> str:
        return f"{self.name} ({self.kind if self.vocabulary is None else f'{len(self.vocabulary.symbols)} categories'})"


@dataclass(frozen=True)
class Fields:
    """The fields of records, in the order in which rows have them.

    Example:
        >>> from seqclf import SequenceDataset
        >>> first = [{"page": "home", "seconds": 3.5}, {"page": "cart", "seconds": 9.0}]
        >>> visits = [first, [{"page": "cart", "seconds": 1}]]
        >>> dataset = SequenceDataset.from_sequences(visits, ["buys", "leaves"])
        >>> dataset.fields
        Fields(page (2 categories), seconds (number))
        >>> dataset[0][0]
        tensor([[3.0000, 3.5000],
                [2.0000, 9.0000]], dtype=torch.float64)
    """

    fields: tuple[Field, ...]

    @property
    def names(self) -> list[str]:
        """Their names."""
        return [field.name for field in self.fields]

    @property
    def numbers(self) -> list[int]:
        """Which columns of rows hold numbers."""
        return [place for place, field in enumerate(self.fields) if field.vocabulary is None]

    @property
    def categories(self) -> list[int]:
        """Which columns of rows hold ids of categories."""
        return [place for place, field in enumerate(self.fields) if field.vocabulary is not None]

    @property
    def sizes(self) -> list[int]:
        """How many ids each category has, in the order of `categories`."""
        return [len(field.vocabulary) for field in self.fields if field.vocabulary is not None]

    def __len__(self) -> int:
        return len(self.fields)

    def encode(self, table: Table, *, allow_missing: bool = False) -> npt.NDArray[np.float64]:
        """Return records as rows (N, F).

        Raises:
            InvalidDataError: A value is missing where that is not allowed, or is no number where one is wanted.
        """
        rows = np.empty((int(table.offsets[-1]), len(self.fields)))
        for place, field in enumerate(self.fields):
            column = table.columns.get(field.name, [])  # of empty sequences alone
            if field.vocabulary is None:
                rows[:, place] = as_floats(column, field.name, table)
            else:
                rows[:, place] = self._ids(field, column, table, allow_missing=allow_missing)
        return rows

    def decode(self, rows: npt.NDArray[np.float64]) -> list[dict[str, Any]]:
        """Return rows (T, F) as records; what is missing is None, and a category that is unknown `"<unk>"`."""
        records = []
        for row in rows.tolist():
            record: dict[str, Any] = {}
            for field, value in zip(self.fields, row, strict=True):
                if field.vocabulary is None:
                    record[field.name] = None if math.isnan(value) else value
                else:
                    symbol = next(iter(field.vocabulary.decode([int(value)])), None)
                    record[field.name] = None if symbol == MISSING else symbol
            records.append(record)
        return records

    @staticmethod
    def _ids(field: Field, column: Column, table: Table, *, allow_missing: bool) -> list[int]:
        assert field.vocabulary is not None
        values = as_categories(column)
        if None in values:
            if not allow_missing and MISSING not in field.vocabulary:
                raise InvalidDataError(
                    f"{field.name!r} must be known; got a missing one {table.place(values.index(None))}. Correct it; "
                    "or keep it with allow_missing=True in the dataset."
                )
            values = [MISSING if value is None else value for value in values]
        return field.vocabulary.to_plain_ids(_hashable(values, field.name, table))

    def to_dict(self) -> list[dict[str, Any]]:
        """Return them as a value that is ready for JSON."""
        return [
            {"name": field.name, "vocabulary": None if field.vocabulary is None else field.vocabulary.to_dict()}
            for field in self.fields
        ]

    @classmethod
    def from_dict(cls, content: Any) -> "Fields":
        """Make what `to_dict` described.

        Raises:
            InvalidDataError: It is no such description.
        """
        try:
            return cls(
                tuple(
                    Field(
                        str(one["name"]), None if one["vocabulary"] is None else Vocabulary.from_dict(one["vocabulary"])
                    )
                    for one in content
                )
            )
        except (TypeError, KeyError) as error:
            raise InvalidDataError(
                f"fields must be those that seqclf wrote; got {error!r}. Restore the file."
            ) from None

    def __repr__(self) -> str:
        return f"Fields({', '.join(map(str, self.fields))})"


def check_fields(fields: Any) -> tuple[list[str] | None, Mapping[str, FieldKind], Fields | None]:
    """Return the names of fields that are wanted, what is said of their kinds, and fields that are settled.

    Args:
        fields: None, names, a mapping from names to kinds, or to None where types tell, or `Fields`.

    Raises:
        InvalidArgumentError: They are none of these.
    """
    if fields is None:
        return None, {}, None
    if isinstance(fields, Fields):
        return fields.names, {}, fields
    if isinstance(fields, Mapping):
        kinds = {
            str(name): check_choice("fields", kind, get_args(FieldKind))
            for name, kind in fields.items()
            if kind is not None
        }
        return [str(name) for name in fields], kinds, None
    names = list(fields) if isinstance(fields, Iterable) and not isinstance(fields, str | bytes) else []
    if not names or not all(isinstance(name, str) for name in names) or len(set(names)) != len(names):
        raise InvalidArgumentError(
            f"fields must be distinct names, or a mapping from names to 'category' or 'number'; got {fields!r:.80}."
        )
    return names, {}, None


def find_fields(table: Table, kinds: Mapping[str, FieldKind], *, allow_missing: bool = False) -> Fields:
    """Return what the columns of training data are: what is said of them, else what the types of values say.

    Raises:
        InvalidDataError: A column is neither of numbers nor of categories; there are none; or too many categories.
    """
    if not table.columns:
        raise InvalidDataError("records must have one field at least; got none.")
    found = []
    for name, column in table.columns.items():
        kind = kinds.get(name) or kind_of(column, name)
        if kind == "number" and name not in kinds:
            _warn_of_codes(column, name)
        found.append(Field(name, None if kind == "number" else _vocabulary_of(column, name, table, allow_missing)))
    return Fields(tuple(found))


def _vocabulary_of(column: Column, name: str, table: Table, allow_missing: bool) -> Vocabulary:
    values = as_categories(column)
    counts = Counter(_hashable(values, name, table))
    missing = counts.pop(None, 0)
    if allow_missing and missing:
        counts[MISSING] += missing
    wrong = next((value for value in counts if not is_savable(value)), None)
    if wrong is not None or len(counts) >= _MOST_CATEGORIES:
        got = f"{len(counts)} different ones" if wrong is None else f"{wrong!r:.60}"
        raise InvalidDataError(
            f"categories must be strings, integers, bytes or dates, fewer than {_MOST_CATEGORIES}; got {got} for "
            f"{name!r}. Map them to strings."
        )
    return Vocabulary.from_counts(counts, is_text=False)


def _hashable(values: Sequence[Any], name: str, table: Table) -> Sequence[Any]:
    """Return values that all can be counted; raise where one cannot."""
    for row, value in enumerate(values):
        try:
            hash(value)
        except TypeError:
            raise InvalidDataError(
                f"fields must hold numbers, or categories; got {type(value).__name__} for {name!r} {table.place(row)}."
            ) from None
    return values


def _warn_of_codes(column: Column, name: str) -> None:
    """Warn where integers are probably codes: by their name, and as there are few, each of them often."""
    if not _CODE.search(name) or not len(column):
        return
    whole = column.dtype.kind in "iu" if isinstance(column, np.ndarray) else all(type(value) is int for value in column)
    distinct = len(set(np.asarray(column).tolist())) if whole else 0
    if 0 < distinct <= _LIKE_CODES and distinct * _REPEATED <= len(column):
        warn(
            f"{name!r} holds {distinct} different integers, and is read as numbers. If they are codes, pass "
            f"fields={{{name!r}: 'category', ...}}."
        )
