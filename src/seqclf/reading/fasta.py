"""FASTA: sequences of letters under headers."""

from collections.abc import Callable
from pathlib import Path

from seqclf.errors import FileFormatError, InvalidDataError
from seqclf.files import PathLike, as_path
from seqclf.reading.text import lines_of, open_text


def read_fasta(path: PathLike, *, label: Callable[[str], str] | None = None) -> list[tuple[str, str]]:
    r"""Read sequences, their lines joined, and what their headers say.

    Args:
        path: The file, which may be packed by gzip.
        label: What makes the label of a header, which comes without its `>`; None takes the whole header. A table of
            labels is looked up by `lambda header: labels[header.split()[0]]`.

    Returns:
        (sequence, label) pairs.

    Raises:
        FileFormatError: The file cannot be read, or does not begin with a header, or a header has no sequence.
        InvalidDataError: `label` fails; the message names the header.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from seqclf.reading import read_fasta
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = (Path(folder) / "a.fasta").write_text(">s1 coding\nACG\nT\n>s2 other\nGG\n", encoding="utf-8")
        ...     read_fasta(Path(folder) / "a.fasta", label=lambda header: header.split()[-1])
        [('ACGT', 'coding'), ('GG', 'other')]
    """
    path = as_path(path)
    if not path.is_file():
        raise FileFormatError(f"sequences must be in a file; got none at {path}. Check the path.")
    found: list[tuple[str, str]] = []
    header: str | None = None
    parts: list[str] = []
    place = 0
    with open_text(path) as file:
        for number, line in enumerate([*lines_of(file, path), ">"], start=1):
            text = line.strip()
            if not text.startswith(">"):
                if text and header is None:
                    raise FileFormatError(f"FASTA must begin with a header, >name; got {text!r:.40} in {path}, line 1.")
                parts.append(text)
                continue
            if header is not None:
                sequence = "".join(parts)
                if not sequence:
                    raise FileFormatError(f"headers must have a sequence; got none in {path}, line {place}.")
                found.append((sequence, _label_of(header, label, path, place)))
            header, parts, place = text[1:].strip(), [], number
    if not found:
        raise FileFormatError(f"FASTA must hold a sequence at least; got none in {path}.")
    return found


def _label_of(header: str, label: Callable[[str], str] | None, path: Path, number: int) -> str:
    try:
        return header if label is None else label(header)
    except Exception as error:
        raise InvalidDataError(
            f"label must make a label of each header; got {type(error).__name__}: {error} for {header!r:.60} in "
            f"{path}, line {number}."
        ) from error
