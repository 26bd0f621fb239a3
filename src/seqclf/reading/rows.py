"""Rows of tables: CSV, TSV, JSON lines and Parquet, a few at a time, with the line where each stands."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any, TextIO, TypedDict

from seqclf.choices import Quoting
from seqclf.errors import FileFormatError, InvalidArgumentError, MissingDependencyError, did_you_mean
from seqclf.reading.sequences import warn
from seqclf.reading.text import LONGEST_LINE, lines_of, open_text, share_read

Column = str | int
Row = dict[str, Any]

DELIMITERS = ",;\t|"

KINDS = (".csv", ".jsonl", ".ndjson", ".parquet", ".tsv")
JSON_LINES = (".jsonl", ".ndjson")

_AT_ONCE = 4096  # rows of a Parquet file that are read at once, and lines between two looks at how far a file is read


class TableOptions(TypedDict, total=False):
    """How a table is written: the keyword arguments of `read_table` that are not about its columns."""

    encoding: str | None
    delimiter: str | None
    quoting: Quoting | None
    header: bool
    skip_broken: bool


@dataclass(frozen=True)
class Rows:
    """Some rows of a table, with all their columns.

    Attributes:
        path: The table.
        names: Its columns; in JSON lines, those of the first row.
        lines: Where each row stands, from 1.
        content: The rows; None where `batch` holds them.
        batch: A record batch of pyarrow, from a Parquet file.
    """

    path: Path
    names: list[str]
    lines: list[int]
    content: list[Row] | None = None
    batch: Any = None

    def __len__(self) -> int:
        return len(self.lines)

    def column(self, name: str) -> list[Any]:
        """Return the values of one column."""
        if self.content is not None:
            return [row[name] for row in self.content]
        return self._to_python(self.batch.column(self.batch.schema.get_field_index(name)))

    def rows(self) -> list[Row]:
        """Return the rows as mappings from names to values."""
        if self.content is not None:
            return self.content
        return self._to_python(self.batch)

    def _to_python(self, values: Any) -> list[Any]:
        try:
            found: list[Any] = values.to_pylist()
        except (ValueError, OverflowError) as error:  # such as times with nanoseconds
            raise FileFormatError(
                f"values must be ones that Python has too; got {error!s:.100} in {self.path}. Convert the column."
            ) from None
        return found

    def place(self, index: int) -> str:
        """Return how errors name a row."""
        return f"{self.path}, {'line' if self.batch is None else 'row'} {self.lines[index]}"


@dataclass
class RowFile:
    """A table file and how it is written; the arguments are those of `read_table`.

    Attributes:
        broken: Which rows were left out, and why.
        share: How much of the file was read, from 0 to 1.
        found_delimiter: What stands between the values of a CSV or TSV file, once its first line was read.
    """

    path: Path
    encoding: str | None = None
    delimiter: str | None = None
    quoting: Quoting | None = None
    header: bool = True
    skip_broken: bool = False
    broken: list[str] = field(default_factory=list)
    share: float = 0.0
    found_delimiter: str | None = None

    def __post_init__(self) -> None:
        if self.delimiter is not None and (not isinstance(self.delimiter, str) or len(self.delimiter) != 1):
            raise InvalidArgumentError(f"delimiter must be one character; got {self.delimiter!r}.")
        if self.quoting not in {None, "minimal", "none"}:
            raise InvalidArgumentError(f"quoting must be 'minimal' or 'none'; got {self.quoting!r}.")
        self.kind = kind_of_file(self.path)

    def check_column(self, name: str, column: Any) -> None:
        """Raise unless a column is given by name, or by number where there is no line of names."""
        if isinstance(column, bool) or not isinstance(column, str if self.header else int):
            what = "a name" if self.header else "a number from 0, as there is no line of names (header=False)"
            raise InvalidArgumentError(f"{name} must be {what}; got {column!r}.")

    def columns(self, columns: Sequence[Column]) -> Iterator[tuple[list[Any], int]]:
        """Yield the values of some columns, and the line, of each row."""
        names = [str(column) for column in columns]
        if self.kind == ".parquet":
            for rows in self._parquet(_AT_ONCE, names, list(dict.fromkeys(names))):
                yield from zip(map(list, zip(*map(rows.column, names), strict=True)), rows.lines, strict=True)
        elif self.kind in JSON_LINES:
            for row, line in self._json_lines(names):
                yield [row[name] for name in names], line
        else:
            yield from self._csv(lambda first, delimiter: self._find(first, columns, delimiter))

    def chunks(self, needed: Sequence[Column], size: int) -> Iterator[Rows]:
        """Yield the rows with all their columns, some at a time: once at least, even where there are none.

        Args:
            needed: The columns that must be there.
            size: How many rows at a time.
        """
        if self.kind == ".parquet":
            yield from self._parquet(size, [str(name) for name in needed], None)
            return
        names: list[str] = []
        if self.kind in JSON_LINES:
            found = self._json_lines([str(name) for name in needed])
        else:
            found = self._whole_rows(needed, names)
        is_first = True
        while (chunk := list(islice(found, size))) or is_first:
            if chunk and not names:
                names = list(chunk[0][0])
            yield Rows(self.path, names, [line for _, line in chunk], [row for row, _ in chunk])
            is_first = False

    def leave_out(self, wrong: str, line: int) -> None:
        """Leave a row out if that is wanted; raise otherwise."""
        if not self.skip_broken:
            raise self.error(wrong, line)
        self.broken.append(str(self.error(wrong, line)))

    def error(self, wrong: str, line: int) -> FileFormatError:
        """Return the error that says what is wrong with a row."""
        place = "row" if self.kind == ".parquet" else "line"
        return FileFormatError(
            f"{wrong} in {self.path}, {place} {line}. Correct or remove it, or leave such rows out with "
            "skip_broken=True."
        )

    def warn_of_broken(self) -> None:
        """Say how many rows were left out, where some were."""
        if self.broken:
            first = self.broken[0].partition(" Correct or remove it, or leave")[0]
            warn(f"{len(self.broken)} rows were left out, the first as {first}")

    @contextmanager
    def _lines(self) -> Iterator[Iterator[str]]:
        """Open a text file, and keep in mind how much of it was read."""
        with open_text(self.path, self.encoding) as file:
            yield self._counted(file)
        self.share = 1.0

    def _counted(self, file: TextIO) -> Iterator[str]:
        for number, line in enumerate(lines_of(file, self.path)):
            if not number % _AT_ONCE:
                self.share = share_read(file)
            yield line

    def _csv(self, choose: Callable[[list[str], str], list[int]]) -> Iterator[tuple[list[str], int]]:
        """Yield some values of each row: those at the places that `choose` finds in the first, by the delimiter."""
        csv.field_size_limit(max(csv.field_size_limit(), LONGEST_LINE))
        quotes = self.quoting or ("none" if self.kind == ".tsv" else "minimal")
        with self._lines() as lines:
            first = next(lines, "")
            delimiter = self.delimiter or ("\t" if self.kind == ".tsv" else max(DELIMITERS, key=first.count))
            self.found_delimiter = delimiter
            mode: Any = csv.QUOTE_NONE if quotes == "none" else csv.QUOTE_MINIMAL
            rows = csv.reader(chain([first] if first else [], lines), delimiter=delimiter, quoting=mode, strict=True)
            places: list[int] = []
            width = 0
            while True:
                try:
                    row = next(rows)
                except StopIteration:
                    break
                except csv.Error as error:
                    raise self.error(f"table must be CSV; got {error}", rows.line_num) from None
                if not places:
                    places, width = choose(row, delimiter), len(row)
                    if self.header:
                        continue
                if len(row) == width:
                    yield [row[place] for place in places], rows.line_num
                elif row:  # a blank line is no row
                    self.leave_out(f"rows must have {width} values, as the first; got {row!r:.80}", rows.line_num)
            if not places:
                raise FileFormatError(f"table must begin with the names of its columns; got nothing in {self.path}.")

    def _whole_rows(self, needed: Sequence[Column], names: list[str]) -> Iterator[tuple[Row, int]]:
        """Yield the rows of a CSV or TSV file as mappings; `names` becomes the names of the columns."""

        def choose(first: list[str], delimiter: str) -> list[int]:
            self._find(first, needed, delimiter)
            own = first if self.header else [str(place) for place in range(len(first))]
            for name in own:
                find_column(name, own, self.path, delimiter)
            names.extend(own)
            return list(range(len(own)))

        return ((dict(zip(names, row, strict=True)), line) for row, line in self._csv(choose))

    def _find(self, row: list[str], columns: Sequence[Column], delimiter: str) -> list[int]:
        """Return where columns stand, by the first line."""
        if self.header:
            return [find_column(str(name), row, self.path, delimiter) for name in columns]
        for column in columns:
            if not 0 <= int(column) < len(row):
                raise FileFormatError(
                    f"columns must be from 0 to {len(row) - 1}; got {column} for {self.path}, whose first line is "
                    f"{row!r:.80}. Check the delimiter, {delimiter!r}."
                )
        return [int(column) for column in columns]

    def _json_lines(self, needed: Sequence[str]) -> Iterator[tuple[Row, int]]:
        with self._lines() as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                try:
                    content = json.loads(line)
                except (ValueError, RecursionError) as error:
                    self.leave_out(f"each line must be an object in JSON; got {error}", number)
                    continue
                lacking = [name for name in needed if not isinstance(content, dict) or name not in content]
                if lacking:
                    got = list(content) if isinstance(content, dict) else content
                    self.leave_out(f"each line must be an object in JSON with {lacking[0]!r}; got {got!r:.80}", number)
                    continue
                yield content, number

    def _parquet(self, size: int, needed: Sequence[str], wanted: list[str] | None) -> Iterator[Rows]:
        pa, pq = import_parquet()
        try:
            with pq.ParquetFile(self.path) as file:
                names, total, done = file.schema_arrow.names, file.metadata.num_rows, 0
                for name in needed if wanted is not None else [*needed, *names]:
                    find_column(name, names, self.path)
                empty = pa.RecordBatch.from_pylist([], schema=file.schema_arrow)
                for batch in file.iter_batches(batch_size=size, columns=wanted) if total else [empty]:
                    lines = list(range(done + 1, done + 1 + len(batch)))
                    done += len(batch)
                    self.share = done / max(total, 1)
                    yield Rows(self.path, names if wanted is None else wanted, lines, batch=batch)
        except (pa.ArrowException, OSError, ValueError) as error:  # pyarrow decodes names by Python
            raise FileFormatError(f"table must be a whole Parquet file; got {error!s:.200} in {self.path}.") from None


def find_column(name: str, names: Iterable[str], path: Path, delimiter: str | None = None) -> int:
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


def import_parquet() -> tuple[Any, Any]:
    """Return pyarrow and its module for Parquet files."""
    try:
        import pyarrow as pa  # noqa: PLC0415  # optional, so imported where it is needed
        import pyarrow.parquet as pq  # noqa: PLC0415
    except ImportError:
        raise MissingDependencyError(
            "pyarrow must be installed for Parquet files; it is not. Run: pip install 'seqclf[parquet]'."
        ) from None
    return pa, pq


def kind_of_file(path: Path) -> str:
    """Return the ending of a table's name, without that of gzip.

    Raises:
        InvalidArgumentError: It is none that is known.
        FileFormatError: There is no such file.
    """
    kind = kind_of_name(path)
    if kind is None:
        raise InvalidArgumentError(
            f"path must end in one of {', '.join(KINDS)}, or one of these and .gz; got {path.name!r}. Read "
            "other kinds with a library that knows them, and pass their columns to SequenceDataset.from_sequences."
        )
    if not path.is_file():
        what = "something else" if path.exists() else "no file"
        raise FileFormatError(f"table must be a file; got {what} at {path}. Check the path.")
    return kind


def kind_of_name(path: Path) -> str | None:
    """Return the ending of a table's name, without that of gzip; None for others."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    kind = next(iter(suffixes[-2:-1] if suffixes[-1:] == [".gz"] else suffixes[-1:]), "")
    return kind if kind in KINDS else None
