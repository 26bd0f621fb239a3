"""A dataset in a folder: written as a stream, in memory that does not grow, and read as memory-mapped arrays.

While it is written, chunks are appended to three files of parts, and after each chunk `progress.json` says how much of
these counts; so a writer that was killed goes on where that file says. When the last chunk is in, symbols and classes
are known, the parts are copied with their final numbers and types, and `manifest.json` is written last: without it a
folder is no store.
"""

import math
import mmap
import os
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqclf.data.ragged import Ragged
from seqclf.errors import FileFormatError, InvalidArgumentError, InvalidDataError
from seqclf.fields import Fields
from seqclf.files import PathLike, read_json, write_json
from seqclf.reading.plain import from_json, sort_values, to_json
from seqclf.reading.sequences import warn
from seqclf.reading.tokenizers import Tokenizer, read_tokenizer
from seqclf.vocabulary import Vocabulary

Array = npt.NDArray[Any]

_FORMAT, _VERSION = "seqclf-dataset", 1
_PARTS = ("values", "lengths", "labels")
_ARRAYS = ("values", "offsets", "lengths", "labels")
_BLOCK = 1 << 20  # how many numbers are copied at once
_FIRST_ID = 2  # after padding and the unknown


@dataclass
class _Progress:
    """How far a writer is, as `progress.json` keeps it.

    Attributes:
        done: How many sequences are in.
        sizes: How many bytes of each file of parts count.
        kind: What the sequences are: "text", "tokens", or the number of features.
        symbols: The symbols in the order in which they came, and how often each did.
        classes: The labels in the order in which they came.
        longest: The length of the longest sequence.
        is_wide: Whether features are kept as float64: the first that came were.
    """

    done: int = 0
    sizes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_PARTS, 0))
    kind: str = ""
    symbols: list[list[Any]] = field(default_factory=list)
    classes: list[Any] = field(default_factory=list)
    longest: int = 0
    is_wide: bool = False


class StoreWriter:
    """Writes a store, chunk by chunk.

    Args:
        folder: Where to.
        resume: Whether to go on where another writer was cut off.

    Raises:
        FileFormatError: The folder cannot be made, or holds something else.
        InvalidArgumentError: There is a store already, or one that was begun and `resume` is False.
    """

    def __init__(self, folder: PathLike, *, resume: bool) -> None:
        self.folder = Path(folder)
        with _writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        if (self.folder / "manifest.json").exists():
            raise InvalidArgumentError(f"folder must be free for a new store; got one at {folder}. Open or delete it.")
        path = self.folder / "progress.json"
        if path.exists() and not resume:
            raise InvalidArgumentError(
                f"folder must be free for a new store; got one that was begun at {folder}. "
                "Pass resume=True to go on with it, or delete it."
            )
        self.progress = _read_progress(path) if path.exists() else _Progress()
        self.counts: Counter[Any] = Counter(dict(map(tuple, self.progress.symbols)))
        self.numbers = {symbol: number for number, symbol in enumerate(self.counts, start=_FIRST_ID)}

    def append(self, sequences: Ragged, labels: Tensor, classes: Sequence[Any], vocabulary: Vocabulary | None) -> None:
        """Append encoded sequences and the indices of their labels; the chunk may have a vocabulary of its own."""
        progress = self.progress
        if labels.ndim == 2:
            raise InvalidArgumentError("multi_label must be False in a folder, which holds one label each; got True.")
        self._check_kind(sequences, vocabulary)
        for label in classes:
            to_json(label, "labels")  # raises where a file could not hold it
        if vocabulary is None:
            values = sequences.values.numpy()
            progress.is_wide = progress.is_wide if progress.done else values.dtype == np.float64
            values = values.astype(np.float64) if progress.is_wide else _as_float32(values, progress.done)
        else:
            vocabulary.to_dict()  # raises where a file could not hold the symbols
            values = self._renumber(sequences.values.numpy(), vocabulary)
        known = {label: number for number, label in enumerate(progress.classes)}
        table = np.array([known.setdefault(label, len(known)) for label in classes], np.int32)
        parts = {
            "values": values,
            "lengths": sequences.lengths.numpy().astype(np.int32),
            "labels": table[labels.numpy()],
        }
        with _writing(self.folder):
            for name, part in parts.items():
                with self._open_part(name) as file:
                    file.truncate(progress.sizes[name])  # what a writer that was killed left behind
                    file.seek(progress.sizes[name])
                    file.write(np.ascontiguousarray(part).data)
                    file.flush()
                    os.fsync(file.fileno())
                    progress.sizes[name] = file.tell()
        progress.done += len(labels)
        progress.classes, progress.symbols = list(known), [[symbol, count] for symbol, count in self.counts.items()]
        progress.longest = max(progress.longest, int(sequences.lengths.max()))
        plain = {
            "symbols": [[to_json(symbol, "symbols"), count] for symbol, count in progress.symbols],
            "classes": [to_json(label, "labels") for label in progress.classes],
        }
        write_json(self.folder / "progress.json", {"format": _FORMAT, "version": _VERSION} | vars(progress) | plain)

    def finish(
        self,
        vocabulary: Vocabulary | None,
        classes: Sequence[Any] | None,
        *,
        channels_first: bool,
        tokenizer: Tokenizer | None = None,
        fields: Any = None,
    ) -> None:
        """Give symbols and classes their final numbers, and make the folder a store.

        Args:
            vocabulary: What the chunks were encoded with, if that is settled; otherwise it is built from what came.
            classes: The classes, if these are settled; otherwise those that came, sorted.
            channels_first: Whether float arrays came as (F, T).
            tokenizer: What split texts, for a vocabulary that is built.
            fields: What the columns of records are.
        """
        progress = self.progress
        is_tokens = progress.kind in ("text", "tokens")
        if is_tokens and vocabulary is None:
            is_text = progress.kind == "text"
            vocabulary = Vocabulary.from_counts(self.counts, min_freq=0, is_text=is_text, tokenizer=tokenizer)
        final_classes = sort_values(progress.classes) if classes is None else list(classes)
        places = {label: number for number, label in enumerate(final_classes)}
        with _writing(self.folder):
            labels = np.array([places[label] for label in progress.classes])
            steps = sum(int(block.sum()) for block in self._blocks("lengths", np.int32))
            files = {
                "values": self._copy("values", *self._values_by(vocabulary)),
                "lengths": self._copy("lengths", np.int32, lambda block: block, progress.longest + 1),
                "labels": self._copy("labels", np.int32, lambda block: labels[block], len(final_classes)),
                "offsets": self._write_offsets(steps),
            }
            manifest = {
                "format": _FORMAT,
                "version": _VERSION,
                "sequences": progress.done,
                "steps": steps,
                "width": None if is_tokens else int(progress.kind),
                "channels_first": channels_first,
                "classes": [to_json(label, "labels") for label in final_classes],
                "vocabulary": None if vocabulary is None else vocabulary.to_dict(),
                "fields": fields.to_dict() if isinstance(fields, Fields) else None,
                "files": files,
            }
            write_json(self.folder / "manifest.json", manifest)
            for name in [*(f"{part}.part" for part in _PARTS), "progress.json"]:
                (self.folder / name).unlink(missing_ok=True)

    def _check_kind(self, sequences: Ragged, vocabulary: Vocabulary | None) -> None:
        width = None if sequences.is_tokens else str(sequences.values.shape[1])
        kind = width or ("text" if vocabulary is not None and vocabulary.is_text else "tokens")
        self.progress.kind = self.progress.kind or kind
        if kind != self.progress.kind:
            names = [f"{one} features" if one.isdecimal() else one for one in (self.progress.kind, kind)]
            raise InvalidDataError(
                f"sequences must be all of one kind; got {names[0]} at first, and {names[1]} from item "
                f"{self.progress.done} on. Make one dataset for each kind."
            )

    def _renumber(self, ids: Array, vocabulary: Vocabulary) -> Array:
        """Count the symbols of a chunk, and return their ids by the order in which they first came."""
        counts = np.bincount(ids, minlength=len(vocabulary)).tolist()
        table = np.arange(len(vocabulary), dtype=np.int32)
        for number, symbol in enumerate(vocabulary.symbols, start=_FIRST_ID):
            table[number] = self.numbers.setdefault(symbol, len(self.numbers) + _FIRST_ID)
            self.counts[symbol] += counts[number]
        return table[ids]

    def _values_by(self, vocabulary: Vocabulary | None) -> tuple[Any, Callable[[Array], Array], int]:
        """Return the type of the parts, what makes the final values of them, and how many different ones there are."""
        if vocabulary is None:
            return np.float64 if self.progress.is_wide else np.float32, lambda block: block, 0
        places = {symbol: number for number, symbol in enumerate(vocabulary.symbols, start=_FIRST_ID)}
        table = np.array([0, 1, *(places[symbol] for symbol in self.numbers)])
        return np.int32, lambda block: table[block], len(vocabulary)

    def _open_part(self, name: str) -> BinaryIO:
        path = self.folder / f"{name}.part"
        path.touch()
        return path.open("r+b")

    def _blocks(self, name: str, dtype: Any) -> Iterator[Array]:
        """Yield the numbers of a file of parts, some at a time."""
        left = self.progress.sizes[name]
        with (self.folder / f"{name}.part").open("rb") as file:
            while content := file.read(min(left, _BLOCK * 4)):
                left -= len(content)
                yield np.frombuffer(content, dtype)

    def _copy(self, name: str, dtype: Any, change: Callable[[Array], Array], count: int) -> dict[str, Any]:
        """Write the final file of some parts, in the smallest type that holds `count` different numbers."""
        final = np.dtype(dtype if not count else _smallest(count))
        return self._write(name, final, (change(block) for block in self._blocks(name, dtype)))

    def _write_offsets(self, steps: int) -> dict[str, Any]:
        def offsets() -> Iterator[Array]:
            last = np.zeros(1, np.int64)
            yield last
            for block in self._blocks("lengths", np.int32):
                ends = last[-1] + np.cumsum(block, dtype=np.int64)
                last = ends[-1:]
                yield ends

        return self._write("offsets", np.dtype(np.int32 if steps < 1 << 31 else np.int64), offsets())

    def _write(self, name: str, dtype: "np.dtype[Any]", blocks: Iterator[Array]) -> dict[str, Any]:
        size = checksum = 0
        with (self.folder / f"{name}.bin").open("wb") as file:
            for block in blocks:
                content = np.ascontiguousarray(block.astype(dtype)).tobytes()
                size, checksum = size + len(content), zlib.crc32(content, checksum)
                file.write(content)
            file.flush()
            os.fsync(file.fileno())
        return {"dtype": dtype.name, "bytes": size, "crc32": checksum}


@dataclass(frozen=True)
class Store:
    """What a folder holds.

    Attributes:
        sequences: The sequences, memory-mapped.
        labels: The indices of their labels, likewise.
        classes: The classes.
        vocabulary: What encoded the sequences; None for float sequences.
        channels_first: Whether the float arrays came as (F, T).
        fields: What the columns of records are.
    """

    sequences: Ragged
    labels: Tensor
    classes: tuple[Any, ...]
    vocabulary: Vocabulary | None
    channels_first: bool
    fields: Fields | None


def open_store(folder: PathLike, *, check: bool, tokenizer: Any = None) -> Store:
    """Open a store.

    Args:
        folder: Where it lies.
        check: Whether to read all of it once, and compare its checksums.
        tokenizer: What split texts, where it is a callable.

    Raises:
        FileFormatError: It is not whole, or damaged.
        InvalidArgumentError: A tokenizer is needed and not given, or given and not needed.
    """
    folder = Path(folder)
    if (folder / "progress.json").exists() and not (folder / "manifest.json").exists():
        raise FileFormatError(
            f"store must be complete; got one whose writing was cut off at {folder}. "
            "Write the same again with resume=True."
        )
    path = folder / "manifest.json"
    manifest = read_json(path, "manifest of a store")
    splitter = read_tokenizer(manifest.get("vocabulary") if isinstance(manifest, dict) else None, tokenizer)
    try:
        if manifest["format"] != _FORMAT or manifest["version"] > _VERSION:
            raise ValueError(f"format {manifest['format']!r} of version {manifest['version']!r}")
        count, steps, width = manifest["sequences"], manifest["steps"], manifest["width"]
        if not all(type(one) is int and one >= 0 for one in (count, steps, 0 if width is None else width)):
            raise ValueError("a number that is none")
        shapes = {"values": (steps,) if width is None else (steps, width), "offsets": (count + 1,)}
        arrays = {
            name: _map(folder / f"{name}.bin", manifest["files"][name], shapes.get(name, (count,)), check)
            for name in _ARRAYS
        }
        vocabulary = manifest["vocabulary"] and Vocabulary.from_dict(manifest["vocabulary"], splitter)
        fields = manifest.get("fields") and Fields.from_dict(manifest["fields"])
        classes, channels_first = tuple(map(from_json, manifest["classes"])), bool(manifest["channels_first"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FileFormatError(
            f"manifest of a store must be one that seqclf wrote; got {error!r} in {path}. Write the store again."
        ) from None

    sequences = Ragged(arrays["values"], arrays["offsets"], arrays["lengths"])
    return Store(sequences, arrays["labels"], classes, vocabulary, channels_first, fields)


def _map(path: Path, about: Any, shape: tuple[int, ...], check: bool) -> Tensor:
    """Return a file as a tensor, of which the system reads what is asked for."""
    dtype = np.dtype(str(about["dtype"]))
    expected = math.prod(shape) * dtype.itemsize
    size = path.stat().st_size if path.is_file() else -1
    if not size == expected == about["bytes"]:
        raise FileFormatError(
            f"{path.name} of a store must have {expected} bytes; got {max(size, 0)} at {path}. "
            "It was damaged: restore the store, or write it again."
        )
    with path.open("rb") as file:
        if check and _crc32(file) != about["crc32"]:
            raise FileFormatError(
                f"{path.name} of a store must have the checksum that it was written with; got another at {path}. "
                "It was damaged: restore the store, or write it again."
            )
        # Nobody writes to it, but torch warns of arrays that none could write to; so what is written stays private.
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) if expected else bytearray()
    array = np.frombuffer(content, dtype)
    return torch.from_numpy(array.reshape(shape))


def _crc32(file: BinaryIO) -> int:
    checksum = 0
    while content := file.read(_BLOCK):
        checksum = zlib.crc32(content, checksum)
    return checksum


def _as_float32(values: Array, done: int) -> Array:
    """Return features as files keep them; warn where digits go that tell them apart."""
    if values.dtype == np.float64:  # as only those are that float32 would not hold apart
        warn(
            f"features from item {done} on lose digits in float32, which those before them need no more than: they are "
            "large beside how much they change. Begin with such sequences, or standardise all before."
        )
    return values.astype(np.float32)


def _smallest(count: int) -> Any:
    """Return the smallest integer type, of those that torch can index with, for numbers from 0 to `count` - 1."""
    return next(dtype for dtype in (np.uint8, np.int16, np.int32) if count <= np.iinfo(dtype).max + 1)


def _read_progress(path: Path) -> _Progress:
    content = read_json(path, "progress of a store")
    try:
        if content.pop("format") != _FORMAT or content.pop("version") > _VERSION:
            raise ValueError("another format")
        progress = _Progress(**content)
        progress.symbols = [[from_json(symbol), count] for symbol, count in progress.symbols]
        progress.classes = list(map(from_json, progress.classes))
        _check_progress(progress)
        for name in _PARTS:
            if (path.parent / f"{name}.part").stat().st_size < progress.sizes[name]:
                raise ValueError(f"{name}.part is too short")
    except (KeyError, TypeError, ValueError, AttributeError, OSError) as error:
        raise FileFormatError(
            f"progress of a store must be what seqclf wrote; got {error!r} in {path}. Delete the folder and begin anew."
        ) from None
    return progress


def _check_progress(progress: _Progress) -> None:
    """Raise ValueError, or what comes of values of other kinds, unless all parts fit each other."""
    numbers = [progress.done, progress.longest, *(progress.sizes[name] for name in _PARTS)]
    numbers += [count for _, count in progress.symbols]
    if not all(type(number) is int and number >= 0 for number in numbers) or type(progress.is_wide) is not bool:
        raise ValueError("a number that is none")
    width = int(progress.kind) if progress.kind.isdecimal() else 1
    if progress.kind not in {"text", "tokens"} and not progress.kind.isdecimal():
        raise ValueError(f"kind {progress.kind!r}")
    if progress.sizes["lengths"] != 4 * progress.done or progress.sizes["labels"] != 4 * progress.done:
        raise ValueError("sizes that do not fit the number of sequences")
    if progress.sizes["values"] % ((8 if progress.is_wide else 4) * max(1, width)) or progress.longest >= 1 << 31:
        raise ValueError("sizes that do not fit the kind")
    symbols = [symbol for symbol, _ in progress.symbols]
    is_text = all(isinstance(symbol, str) and len(symbol) == 1 for symbol in symbols)
    if len(set(symbols)) != len(symbols) or (progress.kind == "text" and not is_text):
        raise ValueError("symbols or classes that are none")


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Turn what the system says while writing into an error that names the folder; and what damaged parts lead to."""
    try:
        yield
    except (IndexError, KeyError) as error:  # symbols or labels that nobody has counted
        raise FileFormatError(
            f"parts of a store must be what seqclf wrote; got {error!r} in {folder}. Delete the folder and begin anew."
        ) from None
    except OSError as error:
        raise FileFormatError(
            f"folder of a store must be writable; got {error.strerror} at {folder}. Make room or choose another place, "
            "then write the same again with resume=True."
        ) from error
