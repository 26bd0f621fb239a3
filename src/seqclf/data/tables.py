"""Readers of tables: from CSV, TSV, JSON lines and Parquet to (sequence, label) pairs, a few lines at a time."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

from seqclf.errors import FileFormatError, InvalidArgumentError, MissingDependencyError, did_you_mean
from seqclf.files import PathLike

__all__ = ["read_table"]

Pair = tuple[Any, Any]
Row = tuple[Any, Any, int]  # sequence, label, and the line or row where they stand, from 1

_LONGEST_LINE = 1 << 24  # characters; a longer one is taken for a file of another kind


def read_table(path: PathLike, *, sequence: str, label: str) -> Iterator[Pair]:
    r"""Read (sequence, label) pairs from two columns of a table, as a stream: memory does not grow with the file.

    The ending of the name says what the file is: `.csv`, `.tsv`, `.jsonl` or `.ndjson` (an object on each line), or
    `.parquet`. CSV and TSV files are UTF-8, begin with a line of names, and have strings only; a CSV file whose line of
    names has semicolons and no comma is one of semicolons. In the others, a sequence may also be a list of strings or
    integers, and a label an integer.

    Args:
        path: The file.
        sequence: The name of the column of the sequences.
        label: The name of the column of the labels.

    Yields:
        The pairs, in order; for `SequenceDataset.from_pairs`, or for `SequenceDataset.write` if there are very many.

    Raises:
        FileFormatError: The file is missing, damaged, or not what its name says, or a value is missing or of another
            kind; the message names file and line. It comes when the reading has got there.
        InvalidArgumentError: The ending is none of these.
        MissingDependencyError: It is a Parquet file, and pyarrow is not installed.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from seqclf import SequenceDataset, read_table
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "people.csv"
        ...     _ = path.write_text("id,name,country\n1,Satoshi,Japan\n2,Rossi,Italy\n", encoding="utf-8")
        ...     SequenceDataset.from_pairs(read_table(path, sequence="name", label="country"))
        SequenceDataset(2 sequences, 2 classes, lengths 5-7, 10 ids)
    """
    path = Path(path)
    readers: dict[str, Callable[[Path, str, str], Iterator[Row]]] = {
        ".csv": _read_csv,
        ".tsv": _read_csv,
        ".jsonl": _read_json_lines,
        ".ndjson": _read_json_lines,
        ".parquet": _read_parquet,
    }
    if path.suffix.lower() not in readers:
        raise InvalidArgumentError(f"path must end in one of {', '.join(readers)}; got {path.name!r}. Rename the file.")
    if not path.is_file():
        what = "something else" if path.exists() else "no file"
        raise FileFormatError(f"table must be a file; got {what} at {path}. Check the path.")
    return _checked(readers[path.suffix.lower()](path, sequence, label), path, sequence, label)


def _checked(rows: Iterator[Row], path: Path, sequence: str, label: str) -> Iterator[Pair]:
    """Yield the pairs, as long as they are such."""
    try:
        for value, kind, line in rows:
            is_list = isinstance(value, list) and all(type(one) in {str, int} for one in value)
            if not (isinstance(value, str) or is_list):
                raise _wrong(path, line, f"{sequence!r} must be a string, or a list of strings or integers", value)
            if type(kind) not in {str, int}:
                raise _wrong(path, line, f"{label!r} must be a string or an integer", kind)
            if kind == "":
                raise _wrong(path, line, f"{label!r} must not be empty", kind)
            yield value, kind
    except OSError as error:
        raise FileFormatError(f"table must be readable; got {error.strerror or error} at {path}.") from error


def _wrong(path: Path, line: int, what: str, value: Any) -> FileFormatError:
    place = "row" if path.suffix.lower() == ".parquet" else "line"
    return FileFormatError(f"{what}; got {value!r:.80} in {path}, {place} {line}. Correct or remove it.")


def _read_csv(path: Path, sequence: str, label: str) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = _lines(file, path)
        first = next(lines, "")
        has_semicolons = ";" in first and "," not in first  # as spreadsheets write it where the comma is for decimals
        delimiter = "\t" if path.suffix.lower() == ".tsv" else ";" if has_semicolons else ","
        rows = csv.reader(chain([first] if first else [], lines), delimiter=delimiter, strict=True)
        columns: list[int] = []
        try:
            for row in rows:
                if not columns:
                    columns = [_find(name, row, path) for name in (sequence, label)]
                    width = len(row)
                elif len(row) != width and row:  # a blank line is no row
                    raise _wrong(path, rows.line_num, f"rows must have {width} values, as many as names", row)
                elif row:
                    yield row[columns[0]], row[columns[1]], rows.line_num
        except csv.Error as error:
            raise _wrong(path, rows.line_num, "table must be CSV", str(error)) from None
        if not columns:
            raise FileFormatError(f"table must begin with the names of its columns; got nothing in {path}.")


def _read_json_lines(path: Path, sequence: str, label: str) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(_lines(file, path), start=1):
            if not line.strip():
                continue
            try:
                content = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise _wrong(path, number, "each line must be an object in JSON", str(error)) from None
            if not isinstance(content, dict):
                raise _wrong(path, number, "each line must be an object in JSON", content)
            for name in (sequence, label):
                if name not in content:
                    raise _wrong(path, number, f"each object must have {name!r}", list(content))
            yield content[sequence], content[label], number


def _read_parquet(path: Path, sequence: str, label: str) -> Iterator[Row]:
    try:
        import pyarrow as pa  # noqa: PLC0415  # optional, so imported where it is needed
        import pyarrow.parquet as pq  # noqa: PLC0415
    except ImportError:
        raise MissingDependencyError(
            "pyarrow must be installed to read Parquet files; it is not. Run: pip install 'seqclf[parquet]'."
        ) from None
    try:
        with pq.ParquetFile(path) as file:
            names, number = (sequence, label), 0
            for name in names:
                _find(name, file.schema_arrow.names, path)
            for batch in file.iter_batches(batch_size=4096, columns=list(dict.fromkeys(names))):
                columns = [batch.column(batch.schema.get_field_index(name)).to_pylist() for name in names]
                for value, kind in zip(*columns, strict=True):
                    number += 1
                    yield value, kind, number
    except (pa.ArrowException, OSError, ValueError) as error:  # pyarrow decodes names by Python
        raise FileFormatError(f"table must be a whole Parquet file; got {error!s:.200} in {path}.") from None


def _find(name: str, names: Iterable[str], path: Path) -> int:
    """Return where a column stands."""
    found = [number for number, one in enumerate(names) if one == name]
    if len(found) != 1:
        known = list(names)
        raise FileFormatError(
            f"table must have one column {name!r}; got {len(found)} among {known!r:.200} in {path}."
            f"{did_you_mean(name, known)}"
        )
    return found[0]


def _lines(file: TextIO, path: Path) -> Iterator[str]:
    """Yield the lines of a file, none of them longer than memory is meant for."""
    number = 0
    try:
        while line := file.readline(_LONGEST_LINE):
            number += 1
            if len(line) == _LONGEST_LINE and not line.endswith("\n"):
                raise _wrong(path, number, f"lines must be shorter than {_LONGEST_LINE} characters", line[:20] + "...")
            yield line
    except UnicodeDecodeError as error:
        raise FileFormatError(
            f"tables must be UTF-8; got the byte 0x{error.object[error.start]:02x} in {path}, not far behind line "
            f"{number}. Convert the file, for instance by iconv -f latin1 -t utf-8."
        ) from None
