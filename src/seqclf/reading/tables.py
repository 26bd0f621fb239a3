"""Readers of tables: from CSV, TSV, JSON lines and Parquet to (sequence, label) pairs, a few lines at a time."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from seqclf.choices import Quoting
from seqclf.errors import FileFormatError, InvalidArgumentError, MissingDependencyError, did_you_mean
from seqclf.files import PathLike, as_path
from seqclf.reading.plain import is_missing
from seqclf.reading.sequences import warn
from seqclf.reading.text import LONGEST_LINE, lines_of, open_text

__all__ = ["read_table"]

Pair = tuple[Any, Any]
Row = tuple[Any, Any, int]  # sequence, label, and the line or row where they stand, from 1
Column = str | int

_DELIMITERS = ",;\t|"


def read_table(
    path: PathLike,
    *,
    sequence: Column,
    label: Column,
    encoding: str | None = None,
    delimiter: str | None = None,
    quoting: Quoting | None = None,
    header: bool = True,
    skip_broken: bool = False,
) -> Iterator[Pair]:
    r"""Read (sequence, label) pairs from two columns of a table, as a stream: memory does not grow with the file.

    The ending of the name says what the file is: `.csv`, `.tsv`, `.jsonl` or `.ndjson` (an object on each line), or
    `.parquet`; `.gz` may follow. CSV and TSV files begin with a line of names, and have strings only. In the others, a
    sequence may also be a list of strings or integers, and a label an integer.

    Args:
        path: The file.
        sequence: The name of the column of the sequences; or its number, from 0, where there is no line of names.
        label: The name or the number of the column of the labels.
        encoding: How a text file is encoded; None is UTF-8, or what a byte order mark says.
        delimiter: What stands between the values of a line; None is a tab in a TSV file, and in a CSV file whichever of
            comma, semicolon, tab and bar stands in the first line most often.
        quoting: What a quote means: `"minimal"`, that a value may stand in quotes, or `"none"`, that it is a character
            like any other. None is `"none"` in a TSV file, as corpora are written, and else `"minimal"`.
        header: Whether a CSV or TSV file begins with a line of names.
        skip_broken: Whether rows that cannot be read are left out, with a warning that counts them, in place of the
            error.

    Yields:
        The pairs, in order; for `SequenceDataset.from_pairs`, or for `SequenceDataset.write` if there are very many.

    Raises:
        FileFormatError: The file is missing, damaged, or not what its name says, or a value is missing or of another
            kind; the message names file and line. It comes when the reading has got there.
        InvalidArgumentError: The ending is none of these, or an option is out of range.
        MissingDependencyError: It is a Parquet file, and pyarrow is not installed.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from seqclf import SequenceDataset
        >>> from seqclf.reading import read_table
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "people.csv"
        ...     _ = path.write_text("id,name,country\n1,Satoshi,Japan\n2,Rossi,Italy\n", encoding="utf-8")
        ...     SequenceDataset.from_pairs(read_table(path, sequence="name", label="country"))
        SequenceDataset(2 sequences, 2 classes, lengths 5-7, 10 ids)
    """
    table = Table(as_path(path), sequence, label, encoding, delimiter, quoting, header, skip_broken)
    return ((value, kind) for value, kind, _ in table.rows())


def read_columns(path: Path, names: Sequence[str] | None) -> dict[str, Any]:
    """Read whole columns of a table; those of text files become numbers where all values are such, else strings.

    Args:
        path: A file, as for `read_table`.
        names: The columns that are wanted; None takes all.

    Raises:
        FileFormatError: As `read_table`.
        InvalidArgumentError: As `read_table`.
    """
    kind = kind_of_file(path)
    if kind == ".parquet":
        columns = _parquet_columns(path, names)
    elif kind in {".jsonl", ".ndjson"}:
        columns = _json_columns(path, names)
    else:
        columns = {name: _numbers_or_texts(values) for name, values in _csv_columns(path, kind, names).items()}
    if not columns or not len(next(iter(columns.values()))):
        raise FileFormatError(f"table must have a row at least; got none in {path}.")
    return columns


def _csv_columns(path: Path, kind: str, names: Sequence[str] | None) -> dict[str, list[str]]:
    with open_text(path) as file:
        lines = lines_of(file, path)
        first = next(lines, "")
        delimiter = "\t" if kind == ".tsv" else max(_DELIMITERS, key=first.count)
        rows = csv.reader(chain([first] if first else [], lines), delimiter=delimiter, strict=True)
        try:
            header = next(rows, [])
            wanted = header if names is None else list(dict.fromkeys(names))
            places = [_find(name, header, path, delimiter) for name in wanted]
            found: list[list[str]] = [[] for _ in wanted]
            for row in rows:
                if len(row) != len(header):
                    if not row:
                        continue
                    raise FileFormatError(
                        f"rows must have {len(header)} values, as the first; got {row!r:.80} in {path}, line "
                        f"{rows.line_num}."
                    )
                for column, place in zip(found, places, strict=True):
                    column.append(row[place])
        except csv.Error as error:
            raise FileFormatError(f"table must be CSV; got {error} in {path}, line {rows.line_num}.") from None
    return dict(zip(wanted, found, strict=True))


def _numbers_or_texts(values: list[str]) -> Any:
    """Return texts as numbers where all are; empty ones are missing."""
    try:
        return np.array([value if value.strip() else "nan" for value in values], np.float64)
    except ValueError:
        return [value if value.strip() else None for value in values]


def _json_columns(path: Path, names: Sequence[str] | None) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {}
    with open_text(path) as file:
        for number, line in enumerate(lines_of(file, path), start=1):
            if not line.strip():
                continue
            try:
                content = json.loads(line)
                columns = columns or {name: [] for name in (content if names is None else names)}
                for name, column in columns.items():
                    column.append(content[name])
            except (ValueError, RecursionError, TypeError, KeyError) as error:
                raise FileFormatError(
                    f"each line must be an object in JSON with {list(columns)}; got {error!s:.80} in {path}, line "
                    f"{number}."
                ) from None
    return columns


def _parquet_columns(path: Path, names: Sequence[str] | None) -> dict[str, Any]:
    pa, pq = import_parquet()
    try:
        with pq.ParquetFile(path) as file:
            known = file.schema_arrow.names
            for name in names or ():
                _find(name, known, path)
            table = file.read(columns=list(known if names is None else dict.fromkeys(names)))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise FileFormatError(f"table must be a whole Parquet file; got {error!s:.200} in {path}.") from None
    numeric = (pa.types.is_floating, pa.types.is_integer, pa.types.is_timestamp)
    return {
        name: table[name].to_numpy()
        if any(is_kind(table[name].type) for is_kind in numeric) and not table[name].null_count
        else table[name].to_pylist()
        for name in table.column_names
    }


def import_parquet() -> tuple[Any, Any]:
    """Return pyarrow and its module for Parquet files."""
    try:
        import pyarrow as pa  # noqa: PLC0415  # optional, so imported where it is needed
        import pyarrow.parquet as pq  # noqa: PLC0415
    except ImportError:
        raise MissingDependencyError(
            "pyarrow must be installed to read Parquet files; it is not. Run: pip install 'seqclf[parquet]'."
        ) from None
    return pa, pq


def kind_of_file(path: Path) -> str:
    """Return the ending of a table's name, without that of gzip.

    Raises:
        InvalidArgumentError: It is none that is known.
        FileFormatError: There is no such file.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    kind = next(iter(suffixes[-2:-1] if suffixes[-1:] == [".gz"] else suffixes[-1:]), "")
    readers = {".csv", ".tsv", ".jsonl", ".ndjson", ".parquet"}
    if kind not in readers:
        raise InvalidArgumentError(
            f"path must end in one of {', '.join(sorted(readers))}, or one of these and .gz; got {path.name!r}. Read "
            "other kinds with a library that knows them, and pass their columns to SequenceDataset.from_sequences."
        )
    if not path.is_file():
        what = "something else" if path.exists() else "no file"
        raise FileFormatError(f"table must be a file; got {what} at {path}. Check the path.")
    return kind


@dataclass
class Table:
    """Two columns of a file, and how it is written; the arguments are those of `read_table`."""

    path: Path
    sequence: Column
    label: Column
    encoding: str | None = None
    delimiter: str | None = None
    quoting: Quoting | None = None
    header: bool = True
    skip_broken: bool = False
    may_lack_label: bool = False  # as where a sequence may have several labels, or none
    broken: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.delimiter is not None and (not isinstance(self.delimiter, str) or len(self.delimiter) != 1):
            raise InvalidArgumentError(f"delimiter must be one character; got {self.delimiter!r}.")
        if self.quoting not in {None, "minimal", "none"}:
            raise InvalidArgumentError(f"quoting must be 'minimal' or 'none'; got {self.quoting!r}.")
        for name, column in (("sequence", self.sequence), ("label", self.label)):
            if isinstance(column, bool) or not isinstance(column, int if not self.header else str):
                what = "a name" if self.header else "a number from 0, as there is no line of names (header=False)"
                raise InvalidArgumentError(f"{name} must be {what}; got {column!r}.")
        self.kind = kind_of_file(self.path)

    def rows(self) -> Iterator[Row]:
        """Yield sequences, labels, and the lines where they stand."""
        readers: dict[str, Callable[[], Iterator[Row]]] = {".parquet": self._parquet}
        readers |= dict.fromkeys((".jsonl", ".ndjson"), self._json_lines)
        rows = readers.get(self.kind, self._csv)()
        for row in rows:
            wrong = self._why_wrong(row)
            if wrong is None:
                yield row
            elif "missing" in wrong and not self.skip_broken:
                more = sum("missing" in (self._why_wrong(other) or "") for other in rows)
                raise self._error(f"{wrong}; {more + 1} in all are missing", row[2])
            else:
                self._leave_out(wrong, row[2])
        if self.broken:
            warn(f"{len(self.broken)} rows were left out, the first as {self.broken[0]}")

    def _why_wrong(self, row: Row) -> str | None:
        """Say what is wrong with a row, if anything."""
        value, kind, _ = row
        is_list = isinstance(value, list) and all(type(one) in {str, int} for one in value)
        if not (isinstance(value, str) or is_list):
            return f"{self.sequence!r} must be a string, or a list of strings or integers; got {value!r:.80}"
        if (is_missing(kind) or kind == "") and not self.may_lack_label:
            return f"{self.label!r} must not be missing; got {kind!r}"
        if type(kind) not in {str, int} and not (self.may_lack_label and kind is None):
            return f"{self.label!r} must be a string or an integer; got {kind!r:.80}"
        return None

    def _leave_out(self, wrong: str, line: int) -> None:
        """Leave a row out if that is wanted; raise otherwise."""
        if not self.skip_broken:
            raise self._error(wrong, line)
        self.broken.append(str(self._error(wrong, line)))

    def _error(self, wrong: str, line: int) -> FileFormatError:
        place = "row" if self.kind == ".parquet" else "line"
        return FileFormatError(
            f"{wrong} in {self.path}, {place} {line}. Correct or remove it, or leave such rows out with "
            "skip_broken=True."
        )

    def _csv(self) -> Iterator[Row]:
        csv.field_size_limit(max(csv.field_size_limit(), LONGEST_LINE))
        quotes = self.quoting or ("none" if self.kind == ".tsv" else "minimal")
        with open_text(self.path, self.encoding) as file:
            lines = lines_of(file, self.path)
            first = next(lines, "")
            delimiter = self.delimiter or ("\t" if self.kind == ".tsv" else max(_DELIMITERS, key=first.count))
            mode: Any = csv.QUOTE_NONE if quotes == "none" else csv.QUOTE_MINIMAL
            rows = csv.reader(chain([first] if first else [], lines), delimiter=delimiter, quoting=mode, strict=True)
            columns: list[int] = []
            width = 0
            while True:
                try:
                    row = next(rows)
                except StopIteration:
                    break
                except csv.Error as error:
                    raise self._error(f"table must be CSV; got {error}", rows.line_num) from None
                if not columns:
                    columns, width = self._find(row, delimiter), len(row)
                    if self.header:
                        continue
                if len(row) == width:
                    yield row[columns[0]], row[columns[1]], rows.line_num
                elif row:  # a blank line is no row
                    many = f"rows must have {width} values, as the first; got {row!r:.80}"
                    self._leave_out(many, rows.line_num)
            if not columns:
                raise FileFormatError(f"table must begin with the names of its columns; got nothing in {self.path}.")

    def _find(self, row: list[str], delimiter: str) -> list[int]:
        """Return where the columns stand, by the first line."""
        if self.header:
            return [_find(str(name), row, self.path, delimiter) for name in (self.sequence, self.label)]
        for column in (self.sequence, self.label):
            if not 0 <= int(column) < len(row):
                raise FileFormatError(
                    f"columns must be from 0 to {len(row) - 1}; got {column} for {self.path}, whose first line is "
                    f"{row!r:.80}. Check the delimiter, {delimiter!r}."
                )
        return [int(self.sequence), int(self.label)]

    def _json_lines(self) -> Iterator[Row]:
        with open_text(self.path, self.encoding) as file:
            for number, line in enumerate(lines_of(file, self.path), start=1):
                if not line.strip():
                    continue
                try:
                    content = json.loads(line)
                except (ValueError, RecursionError) as error:
                    self._leave_out(f"each line must be an object in JSON; got {error}", number)
                    continue
                lacking = [
                    name for name in (self.sequence, self.label) if not isinstance(content, dict) or name not in content
                ]
                if lacking:
                    got = list(content) if isinstance(content, dict) else content
                    self._leave_out(f"each line must be an object in JSON with {lacking[0]!r}; got {got!r:.80}", number)
                    continue
                yield content[self.sequence], content[self.label], number

    def _parquet(self) -> Iterator[Row]:
        pa, pq = import_parquet()
        try:
            with pq.ParquetFile(self.path) as file:
                names, number = (str(self.sequence), str(self.label)), 0
                for name in names:
                    _find(name, file.schema_arrow.names, self.path)
                for batch in file.iter_batches(batch_size=4096, columns=list(dict.fromkeys(names))):
                    columns = [batch.column(batch.schema.get_field_index(name)).to_pylist() for name in names]
                    for value, kind in zip(*columns, strict=True):
                        number += 1
                        yield value, kind, number
        except (pa.ArrowException, OSError, ValueError) as error:  # pyarrow decodes names by Python
            raise FileFormatError(f"table must be a whole Parquet file; got {error!s:.200} in {self.path}.") from None


def _find(name: str, names: Iterable[str], path: Path, delimiter: str | None = None) -> int:
    """Return where a column stands."""
    known = list(names)
    found = [number for number, one in enumerate(known) if one == name]
    if len(found) != 1:
        remedy = did_you_mean(name, known)
        if delimiter is not None and not remedy:
            remedy = (
                f" The first line is read as names, parted by {delimiter!r}: if there is no header, pass header=False "
                "and the numbers of the columns; if the delimiter is another, pass delimiter=."
            )
        raise FileFormatError(
            f"table must have one column {name!r}; got {len(found)} among {known!r:.200} in {path}.{remedy}"
        )
    return found[0]
