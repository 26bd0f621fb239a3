"""Readers: from files to (sequence, label) pairs."""

import string
import unicodedata
from collections.abc import Callable
from pathlib import Path

from seqclf.errors import FileFormatError
from seqclf.files import PathLike, as_path
from seqclf.reading.sequences import warn
from seqclf.reading.text import lines_of, open_text

__all__ = ["fold_ascii", "read_folder"]

_MANY_FILES = 10  # so few files may be classes of one sequence each
_TUTORIAL_LETTERS = frozenset(string.ascii_letters + " .,;'")


def fold_ascii(text: str) -> str:
    """Remove accents, and keep only ASCII letters, blanks and ``.,;'``: the 57 symbols of PyTorch's names tutorial.

    Letters that Unicode does not compose of a base letter and a mark, such as ß or ł, fall away, as they do in the
    tutorial.

    References:
        The rule of https://pytorch.org/tutorials/intermediate/char_rnn_classification_tutorial.html.

    Example:
        >>> fold_ascii("Ślusàrski"), fold_ascii("O'Néàl"), fold_ascii("Wałęsa")
        ('Slusarski', "O'Neal", 'Waesa')
    """
    return "".join(letter for letter in unicodedata.normalize("NFD", text) if letter in _TUTORIAL_LETTERS)


def read_folder(
    folder: PathLike, *, transform: Callable[[str], str] | None = None, encoding: str | None = None
) -> list[tuple[str, str]]:
    r"""Read a folder with one text file for each class and one sequence on each line; or one folder for each class.

    Files come in the order of their names and lines in their own order, so the result is the same on every machine.
    Blanks around a line and blank lines are left out, and so are a byte order mark and hidden files. Where there are no
    `.txt` files but folders, each folder is a class, and each `.txt` file in it a whole sequence.

    Args:
        folder: Where the `.txt` files lie; `Greek.txt` holds the sequences of the class `"Greek"`.
        transform: What to do with each line, for instance `fold_ascii`.
        encoding: How the files are encoded; None is UTF-8, or what a byte order mark says.

    Returns:
        (line, class) pairs.

    Raises:
        FileFormatError: The folder does not exist or has no `.txt` file; a file is not in its encoding or has no lines;
            or `transform` leaves nothing of a line. The message names file and line.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = (Path(folder) / "Greek.txt").write_text("Pappas\nRigas\n", encoding="utf-8")
        ...     _ = (Path(folder) / "Czech.txt").write_text("Novák\n", encoding="utf-8")
        ...     read_folder(folder, transform=fold_ascii)
        [('Novak', 'Czech'), ('Pappas', 'Greek'), ('Rigas', 'Greek')]
    """
    folder = as_path(folder)
    if not folder.is_dir():
        raise FileFormatError(f"folder must exist; got no folder at {folder}. Check the path.")
    files = sorted(path for path in folder.iterdir() if _is_of_a_class(path))
    if not files and (inner := _files_of_folders(folder)):
        return [(_read_whole(path, transform, encoding), path.parent.name) for path in inner]
    if not files:
        raise FileFormatError(f"folder must hold .txt files, one for each class; got none in {folder}. Check the path.")
    lines = {path: _read_lines(path, transform, encoding) for path in files}
    if len(files) >= _MANY_FILES and all(len(of_file) == 1 for of_file in lines.values()):
        warn(
            f"each of the {len(files)} files in {folder} holds one line, and is read as a class of one sequence. If "
            "each is one sequence, read them yourself and pass pairs of a sequence and its label."
        )
    return [(line, path.stem) for path, of_file in lines.items() for line in of_file]


def _files_of_folders(folder: Path) -> list[Path]:
    """Return the text files in the folders of a folder, by class and name."""
    inner = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    return [path for one in inner for path in sorted(one.iterdir()) if _is_of_a_class(path)]


def _read_whole(path: Path, transform: Callable[[str], str] | None, encoding: str | None) -> str:
    """Return a file as one sequence."""
    with open_text(path, encoding) as file:
        raw = "".join(lines_of(file, path)).strip()
    kept = raw if transform is None else transform(raw).strip()
    if not kept:
        raise FileFormatError(f"text files must hold a sequence; got nothing in {path}. Remove or fill the file.")
    return kept


def _is_of_a_class(path: Path) -> bool:
    """Tell whether a file is one of text, and not one that a system keeps for itself."""
    return path.suffix.lower() == ".txt" and path.is_file() and not path.name.startswith(".")


def _read_lines(path: Path, transform: Callable[[str], str] | None, encoding: str | None) -> list[str]:
    lines = []
    with open_text(path, encoding) as file:
        for number, raw in enumerate(lines_of(file, path), start=1):
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
    if lines[0].startswith(">") and not all(line.startswith(">") for line in lines):
        warn(
            f"{path} looks like FASTA, and its lines are read as sequences, those that begin with > too. Read FASTA "
            "with seqclf.reading.read_fasta."
        )
    return lines
