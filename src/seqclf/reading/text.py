"""Text files: unpacked, decoded, and read a line at a time, with errors that name the line."""

import codecs
import gzip
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from seqclf.errors import FileFormatError, InvalidArgumentError

LONGEST_LINE = 1 << 24  # characters; a longer one is taken for a file of another kind

_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_GZIP = b"\x1f\x8b"
_ESCAPED = range(0xDC80, 0xDD00)  # what Python makes of single bytes that are no UTF-8, with "surrogateescape"


@contextmanager
def open_text(path: Path, encoding: str | None = None) -> Iterator[TextIO]:
    """Open a text file, as it stands or packed by gzip.

    Args:
        path: The file.
        encoding: How it is encoded; None is UTF-8, or what a byte order mark says.

    Raises:
        FileFormatError: It cannot be read or unpacked.
        InvalidArgumentError: There is no such encoding.
    """
    if encoding is not None:
        try:
            codecs.lookup(encoding)
        except LookupError:
            raise InvalidArgumentError(f"encoding must be one that Python knows; got {encoding!r}.") from None
    try:
        with path.open("rb") as raw:
            packed = raw.read(len(_GZIP)) == _GZIP
            raw.seek(0)
            content: Any = gzip.GzipFile(fileobj=raw) if packed else raw
            buffered = io.BufferedReader(content)
            found = encoding or next((name for mark, name in _MARKS.items() if buffered.peek(4).startswith(mark)), None)
            errors = "strict" if found not in {None, "utf-8-sig"} else "surrogateescape"
            with io.TextIOWrapper(buffered, encoding=found or "utf-8", errors=errors, newline="") as file:
                yield file
    except (EOFError, gzip.BadGzipFile) as error:
        raise FileFormatError(f"file must be whole to be unpacked; got {error} in {path}. Fetch it again.") from None
    except OSError as error:
        raise FileFormatError(f"file must be readable; got {error.strerror or error} at {path}.") from error


def lines_of(file: TextIO, path: Path) -> Iterator[str]:
    """Yield the lines of a file with their ends; none of them longer than memory is meant for.

    Raises:
        FileFormatError: A line is too long, or is not in the encoding; the message names it.
    """
    number, has_others = 0, False
    try:
        while line := file.readline(LONGEST_LINE):
            number += 1
            if len(line) == LONGEST_LINE and not line.endswith("\n"):
                raise FileFormatError(
                    f"lines must be shorter than {LONGEST_LINE} characters; got {line[:20]!r}... in {path}, line "
                    f"{number}. Is it another kind of file?"
                )
            if not line.isascii():
                _refuse_undecoded(line, path, number, has_others)
                has_others = True
            yield line
    except UnicodeDecodeError as error:
        raise FileFormatError(
            f"text must be in its encoding, {file.encoding}; got {error.reason} in {path}, not far behind line "
            f"{number}. Pass encoding= as it was written."
        ) from None


def share_read(file: Any) -> float:
    """Return how much of a file from `open_text` was read, from 0 to 1; of a packed one, of what stands on the disk."""
    raw = file.buffer.raw
    raw = getattr(raw, "fileobj", raw)
    size = os.fstat(raw.fileno()).st_size
    return float(min(1.0, raw.tell() / size)) if size else 1.0


def _refuse_undecoded(line: str, path: Path, number: int, has_others: bool) -> None:
    byte = next((ord(letter) - 0xDC00 for letter in line if ord(letter) in _ESCAPED), None)
    if byte is not None:
        remedy = "Lines before it are UTF-8: correct this one" if has_others else "Pass encoding= as it was written"
        raise FileFormatError(f"text must be UTF-8; got the byte 0x{byte:02x} in {path}, line {number}. {remedy}.")
