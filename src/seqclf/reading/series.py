"""Files of labelled series: the .ts format of time series archives, and tables with a series a row."""

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from seqclf.errors import FileFormatError
from seqclf.files import PathLike, as_path
from seqclf.reading.text import lines_of, open_text

Series = tuple[npt.NDArray[np.float32], str]  # (T, F), and the label

_MISSING = {"", "?", "nan"}


def read_series(path: PathLike) -> list[Series]:
    r"""Read labelled series, of one length or many, from a text file.

    A file whose name ends in `.ts` is read by its marks: channels apart by colons, and the label last. In others each
    line is a series of one feature, as the UCR archive has them: the label, and then the numbers, apart by tabs, commas
    or blanks. Missing values (`?`, `NaN`, nothing) at the end of a line are padding, and are cut off.

    Args:
        path: The file, which may be packed by gzip.

    Returns:
        Pairs of a series (T, F), and its label as the file has it.

    Raises:
        FileFormatError: The file cannot be read, or a line is none of a series; the message names it.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from seqclf.reading import read_series
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = (Path(folder) / "beats.tsv").write_text("1\t0.5\t0.7\n2\t0.1\t0.2\t0.3\n", encoding="utf-8")
        ...     [(series.shape, label) for series, label in read_series(Path(folder) / "beats.tsv")]
        [((2, 1), '1'), ((3, 1), '2')]
    """
    path = as_path(path)
    if not path.is_file():
        raise FileFormatError(f"series must be in a file; got none at {path}. Check the path.")
    name = path.name.lower().removesuffix(".gz")
    found = list(_archive(path) if name.endswith(".ts") else _rows(path))
    if not found:
        raise FileFormatError(f"file must hold a series at least; got none in {path}.")
    return found


def _archive(path: Path) -> Iterator[Series]:
    width = None
    with open_text(path) as file:
        for number, line in enumerate(lines_of(file, path), start=1):
            text = line.strip()
            if text.lower().startswith("@classlabel") and text.split()[1:2] == ["false"]:
                raise FileFormatError(f"series must have labels; got {text!r} in {path}, line {number}.")
            if not text or text[0] in "#@":
                continue
            *channels, label = text.split(":")
            numbers = [_numbers(channel.split(","), path, number) for channel in channels]
            if not numbers or len({len(one) for one in numbers}) > 1 or len(numbers) != (width or len(numbers)):
                raise FileFormatError(
                    f"each line must have {width or 'some'} channels of one length, and a label; got "
                    f"{[len(one) for one in numbers]} values in {path}, line {number}."
                )
            width = len(numbers)
            yield _cut(np.stack(numbers, axis=1)), label.strip()


def _rows(path: Path) -> Iterator[Series]:
    with open_text(path) as file:
        for number, line in enumerate(lines_of(file, path), start=1):
            if not line.strip():
                continue
            delimiter = next((mark for mark in "\t,;" if mark in line), None)
            cells = line.split() if delimiter is None else next(csv.reader([line.rstrip("\r\n")], delimiter=delimiter))
            yield _cut(_numbers(cells[1:], path, number)[:, None]), cells[0].strip()


def _numbers(cells: list[str], path: Path, number: int) -> npt.NDArray[np.float32]:
    try:
        return np.array([np.nan if cell.strip().lower() in _MISSING else float(cell) for cell in cells], np.float32)
    except ValueError as error:
        raise FileFormatError(
            f"series must hold numbers, the label first in a table; got {error} in {path}, line {number}. Is there a "
            "line of names?"
        ) from None


def _cut(series: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return a series (T, F) without the steps at its end of which nothing is known."""
    known = np.flatnonzero(~np.isnan(series).all(1))
    return series[: known[-1] + 1 if len(known) else 0]
