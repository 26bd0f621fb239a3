"""Whole files or none: atomic writing, and reading with errors that name the file."""

import json
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from seqclf.errors import FileFormatError, InvalidArgumentError

PathLike = str | os.PathLike[str]


def write_atomically(path: PathLike, content: bytes) -> None:
    """Write `content` to `path` so that a reader sees the old file or the new one, never a part.

    Raises:
        InvalidArgumentError: As `open_atomically`.
        FileFormatError: As `open_atomically`.
    """
    with open_atomically(path) as file:
        file.write(content)


@contextmanager
def open_atomically(path: PathLike) -> Iterator[BinaryIO]:
    """Open a file whose content takes the place of `path` when all of it is written, and never if it cannot be.

    The bytes go to a temporary file beside `path`, are flushed to the disk, and take the name last. Through a link they
    go to where it points. Who may read a file that is replaced stays as it was.

    Raises:
        InvalidArgumentError: `path` is no path.
        FileFormatError: There is no such folder; something stands there that is no file, such as a pipe or a device;
            or it may not be written to.
    """
    path = _as_place(path)
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            if path.exists():
                temporary.chmod(stat.S_IMODE(path.stat().st_mode))
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise FileFormatError(
            f"{path.name} must be writable; got {error.strerror} at {path}. Make room, or choose another place."
        ) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def check_writable(path: PathLike) -> None:
    """Find out whether `open_atomically` could write here; what stands there stays.

    Raises:
        InvalidArgumentError: As `open_atomically`.
        FileFormatError: As `open_atomically`.
    """
    place = _as_place(path)
    temporary = place.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        temporary.touch(exist_ok=False)
        temporary.unlink()
    except OSError as error:
        raise FileFormatError(
            f"{place.name} must be writable; got {error.strerror} at {place}. Choose another place."
        ) from None


def _as_place(path: PathLike) -> Path:
    """Return where a file can be written: behind a link, in a folder that exists."""
    path = as_path(path)
    try:
        path = path.resolve() if path.is_symlink() else path
        is_other = not stat.S_ISREG(path.stat().st_mode)  # from Python 3.14 on, exists() says no to what is wrong
    except (FileNotFoundError, NotADirectoryError):
        is_other = False
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, or a name that no system takes
        raise FileFormatError(f"path must be one that this system takes; got {error!s:.200}.") from None
    if is_other:
        raise FileFormatError(
            f"{path.name} must be a file to be replaced; got something else at {path}. Choose another place."
        )
    if not path.parent.is_dir():
        raise FileFormatError(
            f"folder must exist to write {path.name}; got no folder at {path.parent}. Create it first."
        )
    return path


def as_path(path: Any) -> Path:
    """Return what names a file as a `Path`.

    Raises:
        InvalidArgumentError: It names none.
    """
    try:
        return Path(path)
    except TypeError:
        raise InvalidArgumentError(
            f"path must be a string or a pathlib.Path; got {type(path).__name__}. To fill an open file, save to a "
            "path and copy its bytes."
        ) from None


def _sync_folder(folder: Path) -> None:
    """Flush the folder's entry to disk, where the system can."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_json(path: PathLike, content: Any) -> None:
    """Write a value as JSON, whole or not at all."""
    write_atomically(path, json.dumps(content).encode())


def read_bytes(path: PathLike, what: str) -> bytes:
    """Return the content of `path`; `what` names the kind of file in the error."""
    path = as_path(path)
    if path.exists() and not path.is_file():  # a folder; or a pipe or device, which might never end
        raise FileFormatError(f"{what} must be a file; got something else at {path}. Check the path.")
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise FileFormatError(f"{what} must exist; got no file at {path}. Check the path.") from None
    except OSError as error:
        raise FileFormatError(f"{what} must be readable; got {error.strerror} at {path}. Check the path.") from error


def read_json(path: PathLike, what: str) -> Any:
    """Return the JSON value in `path`; `what` names the kind of file in the error."""
    content = read_bytes(path, what)
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{what} must be JSON in UTF-8; got {error} in {path}. Restore or rebuild it.") from error
