"""Readers: from files to (sequence, label) pairs."""

import string
import unicodedata
from collections.abc import Callable
from pathlib import Path

from seqclf.errors import FileFormatError
from seqclf.files import PathLike, read_bytes

__all__ = ["fold_ascii", "read_folder"]

_TUTORIAL_LETTERS = frozenset(string.ascii_letters + " .,;'")


def fold_ascii(text: str) -> str:
    """Remove accents, and keep only ASCII letters, blanks and `.,;'`: the 57 symbols of PyTorch's names tutorial.

    Letters that Unicode does not compose of a base letter and a mark, such as ß or ł, fall away, as they do in the
    tutorial.

    Source:
        The rule of https://pytorch.org/tutorials/intermediate/char_rnn_classification_tutorial.html.

    Example:
        >>> fold_ascii("Ślusàrski"), fold_ascii("O'Néàl"), fold_ascii("Wałęsa")
        ('Slusarski', "O'Neal", 'Waesa')
    """
    return "".join(letter for letter in unicodedata.normalize("NFD", text) if letter in _TUTORIAL_LETTERS)


def read_folder(folder: PathLike, *, transform: Callable[[str], str] | None = None) -> list[tuple[str, str]]:
    r"""Read a folder with one UTF-8 text file for each class and one sequence on each line.

    Files come in the order of their names and lines in their own order, so the result is the same on every machine.
    Blanks around a line and blank lines are left out, and so is a byte order mark.

    Args:
        folder: Where the `.txt` files lie; `Greek.txt` holds the sequences of the class `"Greek"`.
        transform: What to do with each line, for instance `fold_ascii`.

    Returns:
        (line, class) pairs.

    Raises:
        FileFormatError: The folder does not exist or has no `.txt` file; a file is not UTF-8 or has no lines; or
            `transform` leaves nothing of a line. The message names file and line.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = (Path(folder) / "Greek.txt").write_text("Pappas\nRigas\n", encoding="utf-8")
        ...     _ = (Path(folder) / "Czech.txt").write_text("Novák\n", encoding="utf-8")
        ...     read_folder(folder, transform=fold_ascii)
        [('Novak', 'Czech'), ('Pappas', 'Greek'), ('Rigas', 'Greek')]
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileFormatError(f"folder must exist; got no folder at {folder}. Check the path.")
    files = sorted(path for path in folder.iterdir() if path.suffix == ".txt" and path.is_file())
    if not files:
        raise FileFormatError(f"folder must hold .txt files, one for each class; got none in {folder}. Check the path.")
    return [(line, path.stem) for path in files for line in _read_lines(path, transform)]


def _read_lines(path: Path, transform: Callable[[str], str] | None) -> list[str]:
    content = read_bytes(path, "text file")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise FileFormatError(
            f"text files must be UTF-8; got the byte 0x{content[error.start]:02x} in {path}, line {line}. "
            "Convert the file, for instance by iconv -f latin1 -t utf-8."
        ) from None
    lines = []
    for number, raw in enumerate(text.split("\n"), start=1):
        if stripped := raw.strip():
            kept = stripped if transform is None else transform(stripped).strip()
            if not kept:
                raise FileFormatError(
                    f"lines must not become empty by the transform; got {stripped!r} in {path}, line {number}. "
                    "Remove the line, or read without the transform."
                )
            lines.append(kept)
    if not lines:
        raise FileFormatError(
            f"text files must hold at least one sequence; got none in {path}. Remove or fill the file."
        )
    return lines
