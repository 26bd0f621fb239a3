"""Writers of tables: rows as they were read, and columns beside them, as CSV, TSV, JSON lines or Parquet."""

import csv
import datetime
import decimal
import gzip
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TextIO

from seqclf.choices import Quoting
from seqclf.errors import FileFormatError, InvalidArgumentError, InvalidDataError
from seqclf.files import open_atomically
from seqclf.reading.rows import JSON_LINES, KINDS, RowFile, Rows, import_parquet, kind_of_name

Kind = Literal["text", "integer", "number", "texts", "numbers"]
Kinds = Mapping[str, Kind]  # what the columns hold that are added, by name
Columns = Mapping[str, Sequence[Any]]  # by name, with a value for each row

_SEPARATOR = ";"  # between several labels in one cell
_AT_ONCE = 4096  # rows that are read at once to know their types


class TableWriter(Protocol):
    """Takes the rows of a table, some at a time."""

    def write(self, rows: Rows, added: Columns) -> None:
        """Write rows, and the columns that are added to them."""


@dataclass
class TextForm:
    """How a CSV or TSV file is written."""

    delimiter: str = ","
    quoting: Quoting = "minimal"
    header: bool = True


def check_is_table(path: Path) -> str:
    """Return what kind of table a name stands for.

    Raises:
        InvalidArgumentError: It is none that can be written.
    """
    kind = kind_of_name(path)
    if kind is None or path.name.lower().endswith(".parquet.gz"):
        raise InvalidArgumentError(
            f"output must end in one of {', '.join(KINDS)}, or one of these but .parquet and .gz; got {path.name!r}."
        )
    return kind


@contextmanager
def open_table(path: Path, added: Kinds, form: TextForm, source: RowFile | None) -> Iterator[TableWriter]:
    """Open a table that is written whole or not at all.

    Args:
        path: Where to; the ending says what kind of file it becomes.
        added: The columns that are added to those of the source, and what they hold.
        form: How a CSV file is written.
        source: Where the rows come from, of which JSON lines are read once before to know the types of their columns
            where these are needed; None for rows of strings.
    """
    kind = check_is_table(path)
    with open_atomically(path) as file:
        if kind == ".parquet":
            writer = _ParquetWriter(file, added, source)
            yield writer
            writer.close()
            return
        # No name and no time go into a packed file: the same table gives the same bytes.
        packed = gzip.GzipFile("", "wb", fileobj=file, mtime=0) if path.suffix.lower() == ".gz" else None
        text = io.TextIOWrapper(packed or file, encoding="utf-8", newline="")
        try:
            yield JsonWriter(text) if kind in JSON_LINES else CsvWriter(text, form)
        finally:  # the file below is closed by whoever opened it
            text.detach()
            if packed is not None:
                packed.close()


class JsonWriter:
    """Writes an object on each line, with whatever it was read with."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, rows: Rows, added: Columns) -> None:
        """Write rows, and the columns that are added to them."""
        lines = []
        for index, row in enumerate(rows.rows()):
            _refuse_taken(rows, row, added)
            whole = row | {name: values[index] for name, values in added.items()}
            try:
                lines.append(json.dumps(whole, default=_as_json))
            except TypeError as error:
                raise _no_form(error, "JSON", rows, index) from None
        self._file.write("".join(line + "\n" for line in lines))


class CsvWriter:
    """Writes values in columns, those of the first row."""

    def __init__(self, file: TextIO, form: TextForm) -> None:
        self._file, self._form = file, form
        self._names: list[str] | None = None
        quotes = form.quoting == "minimal"
        mode: Any = csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE
        self._writer = csv.writer(
            file, delimiter=form.delimiter, quoting=mode, quotechar='"' if quotes else None, lineterminator="\n"
        )

    def write(self, rows: Rows, added: Columns) -> None:
        """Write rows, and the columns that are added to them."""
        if self._names is None:
            _refuse_taken(rows, rows.names, added)
            self._names = list(rows.names)
            if self._form.header:
                self._write([*self._names, *added], f"the names of the columns, for {rows.path}")
        for index, row in enumerate(rows.rows()):
            _refuse_others(rows, index, row, self._names)
            place = rows.place(index)
            try:
                cells = [_as_cell(row.get(name)) for name in self._names]
            except TypeError as error:
                raise _no_form(error, "CSV", rows, index) from None
            self._write([*cells, *(_joined(column[index], place) for column in added.values())], place)

    def _write(self, cells: Sequence[Any], place: str) -> None:
        try:
            self._writer.writerow(cells)
        except (csv.Error, UnicodeEncodeError) as error:
            raise FileFormatError(
                f"values must have a form in this kind of file; got {error!s:.100} ({place}). Write JSON lines, which "
                "take any text."
            ) from None


class _ParquetWriter:
    """Writes columns of one type each, those of the first row."""

    def __init__(self, file: Any, added: Kinds, source: RowFile | None) -> None:
        self._pa, self._pq = import_parquet()
        self._file, self._source = file, source
        text, number = self._pa.string(), self._pa.float64()
        types = {"text": text, "integer": self._pa.int64(), "number": number}
        types |= {"texts": self._pa.list_(text), "numbers": self._pa.list_(number)}
        self._added = self._pa.schema([(name, types[kind]) for name, kind in added.items()])
        self._writer: Any = None
        self._schema: Any = None

    def write(self, rows: Rows, added: Columns) -> None:
        """Write rows, and the columns that are added to them."""
        if self._writer is None:
            _refuse_taken(rows, rows.names, added)
            self._schema = self._schema_of(rows)
            whole = self._pa.schema([*self._schema, *self._added], metadata=self._schema.metadata)
            self._writer = self._pq.ParquetWriter(self._file, whole)
        own = rows.batch.columns if rows.batch is not None else self._columns_of(rows, self._schema)
        more = [self._pa.array(added[field.name], field.type) for field in self._added]
        self._writer.write_batch(self._pa.RecordBatch.from_arrays([*own, *more], schema=self._writer.schema))

    def close(self) -> None:
        """Write the end of the file."""
        self._writer.close()  # which is there, as tables give one part of their rows at least

    def _schema_of(self, rows: Rows) -> Any:
        """Return the types of the columns: as they are, strings of a text, or what fits all values in JSON lines."""
        if rows.batch is not None:
            return rows.batch.schema
        if self._source is None or self._source.kind not in JSON_LINES:
            return self._pa.schema([(name, self._pa.string()) for name in rows.names])
        found = None
        again = RowFile(self._source.path, self._source.encoding, skip_broken=self._source.skip_broken)
        for part in again.chunks([], _AT_ONCE):
            arrays = self._columns_of(part, None)
            own = self._pa.schema([(name, one.type) for name, one in zip(part.names, arrays, strict=True)])
            try:
                found = own if found is None else self._pa.unify_schemas([found, own], promote_options="permissive")
            except self._pa.ArrowException as error:
                raise FileFormatError(
                    f"columns must be of one type in Parquet; got {error!s:.100} in {part.path}. Write JSON lines."
                ) from None
        return found

    def _columns_of(self, rows: Rows, schema: Any) -> list[Any]:
        """Return rows of Python's values as arrays of the types of a schema, or of those that suit them."""
        content = rows.rows()
        for index, row in enumerate(content):
            _refuse_others(rows, index, row, rows.names)
        arrays = []
        for place, name in enumerate(rows.names):
            try:
                values = [row.get(name) for row in content]
                arrays.append(self._pa.array(values, None if schema is None else schema.field(place).type))
            except (self._pa.ArrowException, TypeError, ValueError, OverflowError) as error:
                raise FileFormatError(
                    f"columns must be of one type in Parquet; got {error!s:.100} for {name!r} in {rows.path}. Write "
                    "JSON lines."
                ) from None
        return arrays


def _refuse_taken(rows: Rows, names: Any, added: Columns) -> None:
    """Raise where the table has one of the columns already."""
    taken = [name for name in added if name in names]
    if taken:
        raise InvalidDataError(
            f"table must not have the columns that are added; got {', '.join(map(repr, taken))} in {rows.path}. Pass "
            "prefix='predicted_', or another, which then stands before the names of all that are added."
        )


def _refuse_others(rows: Rows, index: int, row: Mapping[str, Any], names: Sequence[str]) -> None:
    """Raise where a row has other columns than the first."""
    if len(row) > len(names) or any(name not in names for name in row):
        others = [name for name in row if name not in names]
        raise FileFormatError(
            f"rows must have the columns of the first, {list(names)!s:.200}; got {others} too ({rows.place(index)}). "
            "Write JSON lines, whose rows may differ."
        )


def _no_form(error: TypeError, kind: str, rows: Rows, index: int) -> FileFormatError:
    return FileFormatError(f"values must have a form in {kind}; got {error} ({rows.place(index)}). Write Parquet.")


def _as_json(value: Any) -> Any:
    """Return what stands for a value that JSON has no form for."""
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return str(value)
    raise TypeError(f"{type(value).__name__}")


def _as_cell(value: Any) -> Any:
    """Return what stands for a value in CSV: nothing for a missing one, and JSON for what has parts."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool | list | dict):
        return json.dumps(value, default=_as_json)
    return value if isinstance(value, int | float) else _as_json(value)


def _joined(value: Any, place: str) -> Any:
    """Return what was added as a cell: several labels apart by semicolons."""
    if not isinstance(value, list):
        return value
    parts = list(map(str, value))
    if any(_SEPARATOR in part for part in parts):
        raise FileFormatError(
            f"labels must be without {_SEPARATOR!r} where it stands between several; got {parts} ({place}). Write JSON "
            "lines."
        )
    return _SEPARATOR.join(parts)
