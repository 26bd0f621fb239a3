"""Events: one long table with a row for each event, to sequences of records in the order of time."""

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seqclf.errors import InvalidArgumentError, InvalidDataError, did_you_mean
from seqclf.files import as_path
from seqclf.reading.records import Column, Records, as_categories, as_column
from seqclf.reading.tables import read_columns

GAP = "gap"  # the field that tells how long the event before is ago

Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Events:
    """Sequences of events, as a long table tells of them, in the order in which the table first names them.

    Attributes:
        keys: What each sequence belongs to, such as a customer.
        sequences: Their records, in the order of time, as `predict` and `SequenceDataset.from_sequences` take them.
        context: The facts about each, by columns; None where none were asked for.
        labels: The label of each; None where none was asked for.

    Example:
        >>> from seqclf.reading import read_events
        >>> table = {"user": [7, 8, 7], "page": ["home", "help", "cart"]}
        >>> events = read_events(table, by="user")
        >>> events.keys, len(events)
        ([7, 8], 2)
    """

    keys: list[Any]
    sequences: list[Records]
    context: dict[str, list[Any]] | None
    labels: list[Any] | None

    def __len__(self) -> int:
        return len(self.keys)


def read_events(
    table: Any,
    *,
    by: str,
    order: str | None = None,
    fields: Sequence[str] | None = None,
    context: Sequence[str] | None = None,
    label: str | None = None,
) -> Events:
    """Gather the events of each customer, patient or session from one long table.

    Args:
        table: A frame of pandas, polars or pyarrow, a mapping of columns, or the path of a CSV, TSV, JSON lines or
            Parquet file.
        by: The column that says what an event belongs to.
        order: The column of numbers or times by which the events of a sequence are sorted; equal ones stay in the order
            of the table, and so do all where it is None. Where it holds times, each record gets a field `"gap"`: the
            logarithm of 1 and the seconds since the event before.
        fields: The columns that make up a record; None takes all others.
        context: Columns of facts that are the same for all events of a sequence.
        label: The column of the label, likewise.

    Raises:
        InvalidDataError: A column is missing, or not one value for each sequence where that is wanted, or times or keys
            are missing.
        FileFormatError: The file cannot be read.

    Example:
        >>> from seqclf.reading import read_events
        >>> table = {"who": ["a", "b", "a"], "at": [2, 1, 1], "what": ["x", "y", "z"], "left": ["no", "yes", "no"]}
        >>> events = read_events(table, by="who", order="at", fields=["what"], label="left")
        >>> events.keys, events.labels, events.sequences[0].columns
        (['a', 'b'], ['no', 'yes'], {'what': ['z', 'x']})
    """
    given = [name for name in (by, order, label) if name is not None]
    wanted = None if fields is None else [*given, *(name for name in fields if name != GAP), *(context or ())]
    columns = _columns_of(table, wanted, by)
    for name in (*given, *(context or ()), *(fields or ())):
        if name not in columns and name != GAP:
            raise InvalidDataError(
                f"table must have the column {name!r}; got {list(columns)}.{did_you_mean(name, list(columns))}"
            )
    apart = {*given, *(context or ())}
    names = [name for name in columns if name not in apart] if fields is None else list(fields)
    keys, owners = _number_keys(columns[by], by)
    times, are_times = (None, False) if order is None else _read_order(columns[order], order)
    places = np.argsort(owners, kind="stable") if times is None else np.lexsort((times, owners))
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.bincount(owners, minlength=len(keys)))])
    if are_times and times is not None and (fields is None or GAP in names) and GAP not in columns:
        columns[GAP] = _gaps(times, places, offsets)
        names = [*names, *([GAP] if GAP not in names else [])]
    if not names or (missing := [name for name in names if name not in columns]):
        raise InvalidDataError(
            f"records must have one field at least, and 'gap' times in order; got {names if not names else missing}."
        )
    sorted_columns = {name: _take(columns[name], places) for name in names}
    sequences = [
        Records({name: column[start:end] for name, column in sorted_columns.items()}, end - start)
        for start, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)
    ]
    facts = None if context is None else {name: _only(columns[name], owners, keys, name) for name in context}
    labels = None if label is None else _only(columns[label], owners, keys, label)
    return Events(keys, sequences, facts, labels)


def _columns_of(table: Any, names: Sequence[str] | None, key: str) -> dict[str, Column]:
    if isinstance(table, str | Path):
        return read_columns(as_path(table), names, texts=(key,))
    if isinstance(table, Mapping):
        known: Iterable[Any] = table
    elif hasattr(table, "column_names") or hasattr(table, "columns"):
        known = table.column_names if hasattr(table, "column_names") else table.columns
    else:
        raise InvalidArgumentError(
            f"table must be a frame, a mapping of columns, or a path; got {type(table).__name__}."
        )
    columns = {str(name): as_column(table[name], str(name)) for name in known if names is None or name in names}
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1 or not any(lengths.values()):
        raise InvalidDataError(f"table must have columns of one length, and a row at least; got {lengths}.")
    return columns


def _number_keys(column: Column, name: str) -> tuple[list[Any], Places]:
    """Return the keys in the order in which they first come, and the number of each row's."""
    values = as_categories(column)
    if None in values:
        raise InvalidDataError(f"{name!r} must be known for each event; got a missing one (row {values.index(None)}).")
    keys = list(dict.fromkeys(values))
    numbers = {key: number for number, key in enumerate(keys)}
    return keys, np.fromiter(map(numbers.__getitem__, values), np.int64, len(values))


def _read_order(column: Column, name: str) -> tuple[npt.NDArray[Any], bool]:
    """Return what events are sorted by, and whether it is times, then in nanoseconds."""
    if isinstance(column, np.ndarray) and column.dtype.kind in "iu":
        return column, False
    values: list[Any] = list(column)
    try:
        if all(isinstance(value, str) for value in values):
            values = [datetime.datetime.fromisoformat(value) for value in values]
        if any(isinstance(value, datetime.datetime) and value.tzinfo is not None for value in values):
            values = [value.astimezone(datetime.timezone.utc).replace(tzinfo=None) for value in values]
        are_times = isinstance(values[0], datetime.date | np.datetime64)
        found: npt.NDArray[Any] = np.array(values, "datetime64[ns]" if are_times else np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidDataError(
            f"{name!r} must hold numbers or times (such as 2024-05-01 12:00) to sort events by; got {error!s:.100}."
        ) from None
    wrong = np.flatnonzero(np.isnat(found) if are_times else np.isnan(found))
    if len(wrong):
        raise InvalidDataError(f"{name!r} must be known for each event; got {column[int(wrong[0])]} (row {wrong[0]}).")
    return found.astype(np.int64) if are_times else found, are_times


def _gaps(times: npt.NDArray[Any], places: Places, offsets: Places) -> npt.NDArray[np.float64]:
    """Return for each row the logarithm of 1 and the seconds since the event before; 0 for the first."""
    seconds = np.diff(times[places], prepend=times[places[:1]]) / 1e9
    seconds[offsets[:-1]] = 0.0
    gaps = np.empty(len(times))
    gaps[places] = np.log1p(seconds)
    return gaps


def _take(column: Column, places: Places) -> Column:
    return column[places] if isinstance(column, np.ndarray) else [column[place] for place in places.tolist()]


def _only(column: Column, owners: Places, keys: list[Any], name: str) -> list[Any]:
    """Return the one value that all events of each key have."""
    values = as_categories(column)
    found: list[Any] = [_NONE] * len(keys)
    for owner, value in zip(owners.tolist(), values, strict=True):
        if found[owner] is _NONE:
            found[owner] = value
        elif found[owner] != value:
            raise InvalidDataError(
                f"{name!r} must be the same for all events of one sequence; got {found[owner]!r} and {value!r} for "
                f"{keys[owner]!r}. Make it a field of the records, or correct it."
            )
    return found


_NONE = object()
