"""Readers of tables: from CSV, TSV, JSON lines and Parquet to (sequence, label) pairs, a few lines at a time."""

import csv
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from seqclf.choices import Quoting
from seqclf.errors import FileFormatError
from seqclf.files import PathLike, as_path
from seqclf.reading.plain import is_missing
from seqclf.reading.rows import DELIMITERS, Column, RowFile, find_column, import_parquet, kind_of_file
from seqclf.reading.series import series_of_cell
from seqclf.reading.text import lines_of, open_text

__all__ = ["read_table"]

Pair = tuple[Any, Any]
Row = tuple[Any, Any, int]  # sequence, label, and the line or row where they stand, from 1


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
    table = Table(RowFile(as_path(path), encoding, delimiter, quoting, header, skip_broken), sequence, label)
    return ((value, kind) for value, kind, _ in table.rows())


def read_columns(path: Path, names: Sequence[str] | None, *, texts: Collection[str | None] = ()) -> dict[str, Any]:
    """Read whole columns of a table; those of text files become numbers where all values are such, else strings.

    Args:
        path: A file, as for `read_table`.
        names: The columns that are wanted; None takes all.
        texts: Columns of text files that stay strings, such as keys, of which `007` is not `7`.

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
        columns = {
            name: _texts(values) if name in texts else _numbers_or_texts(values)
            for name, values in _csv_columns(path, kind, names).items()
        }
    if not columns or not len(next(iter(columns.values()))):
        raise FileFormatError(f"table must have a row at least; got none in {path}.")
    return columns


def _csv_columns(path: Path, kind: str, names: Sequence[str] | None) -> dict[str, list[str]]:
    with open_text(path) as file:
        lines = lines_of(file, path)
        first = next(lines, "")
        delimiter = "\t" if kind == ".tsv" else max(DELIMITERS, key=first.count)
        rows = csv.reader(chain([first] if first else [], lines), delimiter=delimiter, strict=True)
        try:
            header = next(rows, [])
            wanted = header if names is None else list(dict.fromkeys(names))
            places = [find_column(name, header, path, delimiter) for name in wanted]
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
        return _texts(values)


def _texts(values: list[str]) -> list[str | None]:
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
                find_column(name, known, path)
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


@dataclass
class Table:
    """Two columns of a file, of sequences and of labels.

    Attributes:
        may_lack_label: Whether a label may be missing, as where a sequence may have several, or none.
        numbers: Whether sequences are series: lists of numbers, or of rows of them, which stand in text as JSON.
        may_be_empty: Whether a sequence may be empty; else it is left out where broken rows are.
    """

    file: RowFile
    sequence: Column
    label: Column
    may_lack_label: bool = False
    numbers: bool = False
    may_be_empty: bool = True

    def __post_init__(self) -> None:
        self.file.check_column("sequence", self.sequence)
        self.file.check_column("label", self.label)

    def rows(self) -> Iterator[Row]:
        """Yield sequences, labels, and the lines where they stand."""
        rows = self.file.columns([self.sequence, self.label])
        for (value, kind), line in rows:
            wrong = self._why_wrong(value, kind)
            if wrong is None:
                yield series_of_cell(value) if self.numbers else value, kind, line
            elif "missing" in wrong and not self.file.skip_broken:
                more = sum("missing" in (self._why_wrong(*values) or "") for values, _ in rows)
                raise self.file.error(f"{wrong}; {more + 1} in all are missing", line)
            else:
                self.file.leave_out(wrong, line)
        self.file.warn_of_broken()

    def _why_wrong(self, value: Any, kind: Any) -> str | None:
        """Say what is wrong with a row, if anything."""
        if self.numbers:
            try:
                series_of_cell(value)
            except ValueError as error:
                return f"{self.sequence!r} must be a list of numbers, or of rows of them; got {error!s:.80}"
        is_list = self.numbers or (isinstance(value, list) and all(type(one) in {str, int} for one in value))
        if not (isinstance(value, str) or is_list):
            return f"{self.sequence!r} must be a string, or a list of strings or integers; got {value!r:.80}"
        if not (self.may_be_empty or len(value)):
            return f"{self.sequence!r} must not be empty; got {value!r}"
        if (is_missing(kind) or kind == "") and not self.may_lack_label:
            return f"{self.label!r} must not be missing; got {kind!r}"
        if type(kind) not in {str, int} and not (self.may_lack_label and kind is None):
            return f"{self.label!r} must be a string or an integer; got {kind!r:.80}"
        return None
