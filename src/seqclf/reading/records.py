"""Records: sequences whose steps have several fields, each a category or a number, as columns.

Legend: n sequences, N steps in all, T steps of one sequence.
"""

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from torch import Tensor

from seqclf.errors import InvalidDataError
from seqclf.reading.plain import is_missing, plain

FieldKind = Literal["category", "number"]
Column = npt.NDArray[Any] | list[Any]

_SECONDS = np.timedelta64(1, "s")
_PLAIN = {str, int, bytes, bool, type(None)}
_TIMES: tuple[type, ...] = (datetime.date, datetime.timedelta, np.datetime64, np.timedelta64)  # a datetime is a date
_NUMBERS: tuple[type, ...] = (int, float, Decimal, np.integer, np.floating, *_TIMES)
_EPOCH = datetime.datetime(1970, 1, 1)  # what has no zone is counted from one without


class Records:
    """One sequence of records.

    Attributes:
        columns: The values of each field, by its name: as many as there are steps.
    """

    def __init__(self, columns: dict[str, Column], length: int) -> None:
        self.columns, self._length = columns, length

    def __len__(self) -> int:
        return self._length


@dataclass(frozen=True)
class Table:
    """The records of many sequences, one behind the other.

    Attributes:
        columns: The values of each field, (N,).
        offsets: Where each sequence starts, and where the last one ends, int64 (n + 1,).
        is_context: Whether the rows are of whole sequences, one of each.
    """

    columns: dict[str, Column]
    offsets: npt.NDArray[np.int64]

    is_context: bool = False

    def place(self, row: int) -> str:
        """Say where a row stands."""
        if self.is_context:
            return f"(sequence {row})"
        index = int(np.searchsorted(self.offsets, row, side="right")) - 1
        return f"(sequence {index}, step {row - int(self.offsets[index])})"


def is_record_sequence(item: Any, names: Sequence[str] | None) -> bool:
    """Tell whether a sequence is one of records: columns, a frame, or a list of mappings or of tuples with names."""
    if isinstance(item, Records | Mapping) or hasattr(item, "columns") or hasattr(item, "column_names"):
        return True
    if isinstance(item, np.ndarray) and item.dtype.names is not None:
        return True
    if not isinstance(item, list | tuple) or not item:
        return False
    return isinstance(item[0], Mapping) or hasattr(item[0], "_fields") or (names is not None and _is_row(item[0]))


def _is_row(item: Any) -> bool:
    return isinstance(item, list | tuple)


def read_records(item: Any, index: int, names: Sequence[str] | None) -> Records:
    """Return one sequence of records by columns.

    Args:
        item: A mapping of columns; a frame of pandas, polars or pyarrow; a structured array; or a list of mappings, of
            named tuples, or of tuples with a value for each of `names`.
        index: Its number, for errors.
        names: The fields that are wanted, in order; None takes those that there are.

    Raises:
        InvalidDataError: A field is missing, or not all columns are of one length.
    """
    if isinstance(item, list | tuple):
        return _read_rows(list(item), index, names)
    if isinstance(item, Records):
        _check_names(item.columns, names, index)
        kept = item.columns if names is None else {name: item.columns[name] for name in names}
        return Records(kept, len(item))
    columns = {str(name): as_column(item[name], str(name), f" (sequence {index})") for name in _names_of(item)}
    _check_names(columns, names, index)
    wanted = list(columns) if names is None else names
    lengths = {name: len(columns[name]) for name in wanted}
    if len(set(lengths.values())) > 1:
        raise InvalidDataError(f"fields must have a value for each step; got {lengths} values (sequence {index}).")
    return Records({name: columns[name] for name in wanted}, next(iter(lengths.values()), 0))


def _names_of(item: Any) -> list[Any]:
    if isinstance(item, np.ndarray):
        return list(item.dtype.names or ())
    if isinstance(item, Mapping):
        return list(item)
    return list(item.column_names if hasattr(item, "column_names") else item.columns)


def _read_rows(rows: list[Any], index: int, names: Sequence[str] | None) -> Records:
    first = rows[0]
    if isinstance(first, Mapping):
        wanted = list(map(str, first)) if names is None else list(names)
        as_rows: Iterable[Any] = (_of_mapping(row, wanted, index, step) for step, row in enumerate(rows))
    else:
        wanted = list(getattr(first, "_fields", names or ())) if names is None else list(names)
        as_rows = (_of_tuple(row, wanted, index, step) for step, row in enumerate(rows))
    columns = zip(*as_rows, strict=True)
    return Records({name: list(column) for name, column in zip(wanted, columns, strict=True)}, len(rows))


def _of_mapping(row: Any, names: Sequence[str], index: int, step: int) -> list[Any]:
    if not isinstance(row, Mapping) or (len(row) != len(names) and any(name not in row for name in names)):
        got = sorted(map(str, row)) if isinstance(row, Mapping) else type(row).__name__
        raise InvalidDataError(
            f"records must all have the fields {list(names)}; got {got} (sequence {index}, step {step})."
        )
    try:
        return [row[name] for name in names]
    except KeyError as error:
        raise InvalidDataError(
            f"records must all have the fields {list(names)}; got none of the name {error} (sequence {index}, step "
            f"{step})."
        ) from None


def _of_tuple(row: Any, names: Sequence[str], index: int, step: int) -> Any:
    own = getattr(row, "_fields", None)
    if own is not None and set(names) <= set(own):
        return [getattr(row, name) for name in names]
    if not _is_row(row) or len(row) != len(names):
        raise InvalidDataError(
            f"records must have a value for each of the fields {list(names)}; got {row!r:.80} (sequence {index}, step "
            f"{step})."
        )
    return row


def _check_names(columns: Mapping[str, Any], names: Sequence[str] | None, index: int) -> None:
    for name in names or ():
        if name not in columns:
            raise InvalidDataError(f"records must have the field {name!r}; got {sorted(columns)} (sequence {index}).")


def join(items: Sequence[Records]) -> Table:
    """Return the records of several sequences, one behind the other.

    Raises:
        InvalidDataError: They do not have the same fields.
    """
    first = next((item for item in items if len(item)), items[0])
    names = list(first.columns)
    for index, item in enumerate(items):
        if len(item) and set(item.columns) != set(names):
            raise InvalidDataError(
                f"records must all have the fields {names}; got {sorted(item.columns)} (sequence {index})."
            )
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum([len(item) for item in items], dtype=np.int64)])
    columns = {name: _concatenate([item.columns[name] for item in items if len(item)]) for name in names}
    return Table(columns, offsets)


def read_context(context: Any, count: int, names: Sequence[str] | None) -> Table:
    """Return facts about `count` sequences, a row for each.

    Args:
        context: A frame, a mapping of columns, a structured array, a list of mappings or of tuples, or an array (n, K),
            whose columns are then called by their numbers.
        count: The number of sequences.
        names: The fields that are wanted.

    Raises:
        InvalidDataError: It is none of these, or has another number of rows.
    """
    if isinstance(context, Tensor):
        context = context.detach().cpu().numpy()
    if isinstance(context, np.ndarray) and context.dtype.names is None and context.ndim in {1, 2}:
        array = context[:, None] if context.ndim == 1 else context
        given = [str(number) for number in range(array.shape[1])] if names is None else names
        if len(given) != array.shape[1]:
            raise InvalidDataError(
                f"context must have a column for each of {list(given)}; got the shape {context.shape}."
            )
        context = {name: array[:, number] for number, name in enumerate(given)}
    if not is_record_sequence(context, names):
        raise InvalidDataError(
            "context must be a frame, a mapping of columns, a list of mappings, or an array (n, K); got "
            f"{type(context).__name__}."
        )
    records = read_records(context, 0, names)
    if len(records) != count:
        raise InvalidDataError(
            f"context must have a row for each of the {count} sequences; got {len(records)}. Give each its own."
        )
    return Table(records.columns, np.arange(count + 1), is_context=True)


def _concatenate(parts: list[Column]) -> Column:
    arrays = [part for part in parts if isinstance(part, np.ndarray)]
    if arrays and len(arrays) == len(parts) and len({part.dtype.kind for part in arrays}) == 1:
        whole: npt.NDArray[Any] = np.concatenate(arrays)
        return whole
    return [value for part in parts for value in part]


def as_column(values: Any, name: str, place: str = "") -> Column:
    """Return a column as an array of numbers, times or truths where it is one; else as a list.

    Args:
        values: A list, an array, a tensor, or a column of pandas, polars or pyarrow.
        name: Its name, for errors.
        place: Where it stands, likewise.

    Raises:
        InvalidDataError: It is no column.
    """
    if isinstance(values, Tensor):
        values = values.detach().cpu().numpy()
    is_one = isinstance(values, np.ndarray) and values.ndim != 1
    if is_one or isinstance(values, str | bytes | Mapping | set | frozenset) or not isinstance(values, Iterable):
        got = f"an array of shape {values.shape}" if isinstance(values, np.ndarray) else type(values).__name__
        raise InvalidDataError(
            f"fields must be columns, lists or arrays with a value for each step; got {got} for {name!r}{place}. Put "
            "single values into lists."
        )
    column: Any = values
    kind = getattr(getattr(column, "dtype", None), "kind", None)
    if hasattr(column, "to_numpy") and kind is not None and kind in "fiuMmb":  # a plain column of pandas
        values = column.to_numpy()
    elif not isinstance(values, np.ndarray):
        for method in ("to_pylist", "to_list"):
            if hasattr(values, method):
                return list(getattr(values, method)())
        return list(values)
    return values if values.dtype.kind in "fiuMmb" else list(values.tolist())


def kind_of(column: Column, name: str) -> FieldKind:
    """Return what a column holds by the types of its values: numbers or times; or categories.

    Raises:
        InvalidDataError: It holds both, or lists.
    """
    if isinstance(column, np.ndarray):
        return "category" if column.dtype.kind == "b" else "number"
    kinds = set(map(type, column)) - {type(None)}
    if float in kinds or not kinds <= _PLAIN:  # NaN, NaT and NA are missing, too
        kinds = {type(value) for value in column if not is_missing(value)}
    number = {kind for kind in kinds if _is_number(kind)}
    if not number or (len(number) == len(kinds)):
        return "number" if number else "category"
    named = sorted(kind.__name__ for kind in kinds)
    raise InvalidDataError(
        f"fields must hold numbers, or categories; got {', '.join(named)} for {name!r}. Say which it is: "
        f"fields={{{name!r}: 'category'}}."
    )


def _is_number(kind: type) -> bool:
    return issubclass(kind, _NUMBERS) and not issubclass(kind, bool)


def as_floats(column: Column, name: str, table: Table) -> npt.NDArray[np.float64]:
    """Return numbers, or times in seconds, as float64 (N,); NaN for what is missing.

    Raises:
        InvalidDataError: A value is none; the message says which, and where.
    """
    if isinstance(column, np.ndarray):
        return _array_as_floats(column)
    found = np.empty(len(column), np.float64)
    for row, value in enumerate(column):
        try:
            found[row] = np.nan if is_missing(value) else _as_float(value)
        except (TypeError, ValueError, OverflowError):
            raise InvalidDataError(
                f"{name!r} must hold numbers; got {value!r:.60} {table.place(row)}. Correct it, or say that it holds "
                f"categories: fields={{{name!r}: 'category'}}."
            ) from None
    return found


def _array_as_floats(column: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    if column.dtype.kind not in "Mm":
        return column.astype(np.float64)
    since = column - np.datetime64(0, "s") if column.dtype.kind == "M" else column
    seconds: npt.NDArray[np.float64] = since / _SECONDS  # NaN for what is no time
    return seconds


def _as_float(value: Any) -> float:
    if isinstance(value, np.datetime64 | np.timedelta64):
        return float(_array_as_floats(np.array([value]))[0])
    if isinstance(value, datetime.datetime):
        return value.timestamp() if value.tzinfo is not None else (value - _EPOCH).total_seconds()
    if isinstance(value, datetime.date):
        return (datetime.datetime.combine(value, datetime.time()) - _EPOCH).total_seconds()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    return float(value)


def as_categories(column: Column) -> list[Any]:
    """Return categories as plain values, None for what is missing."""
    if isinstance(column, np.ndarray):
        return [None if is_missing(value) else value for value in column.tolist()]
    if set(map(type, column)) <= _PLAIN:  # as most are
        return column
    return [None if is_missing(value) else plain(value) for value in column]
