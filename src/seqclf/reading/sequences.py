"""Sequences of whatever kind: texts, lists of symbols, or arrays of measurements; what is none of these is refused.

Measurements never become symbols: floats in a list are refused with the remedy, and integers that look like a recording
are warned of. Legend: T steps of a sequence, F features of a step.
"""

import re
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqclf.errors import InvalidDataError, SeqclfWarning
from seqclf.reading.plain import holds, is_measured, is_missing, is_savable, plain
from seqclf.reading.records import Records, is_record_sequence, read_records

_PACKAGE = str(Path(__file__).parents[1])

Kind = Literal["text", "tokens", "features", "records"]

LARGEST = float(torch.finfo(torch.float32).max)  # a measurement that is larger is not read

_SYMBOLS = {str, int, bytes, bool}  # of which a list is one of symbols without a closer look
_NUMBERS_IN_TEXT = re.compile(r"\s*[-+]?\d+(\.\d+)?([eE][-+]?\d+)?([\s,;]+[-+]?\d+(\.\d+)?([eE][-+]?\d+)?)+[\s,;]*")
_LOOKED_AT = 20  # texts, of which all are numbers, or many blanks, to say that texts are numbers, or sentences
_BLANKS_IN_SENTENCES = 5  # on average; names have fewer
_MOST_STEPS_IN_CHANNELS = 4  # times as many features as steps in a block look like channels first

_EMPTY: dict[str, Any] = {"text": "", "tokens": [], "records": Records({}, 0)}  # what has no step may be of any kind
_MOST_LOST = 1e-4  # of the range of a feature, by rounding to float32
_LARGE = float(1 << 20)  # from here on, float32 has less than a digit behind the point; for what never changes

# Integers are taken for a recording where they are so many different ones, and step by step near each other, or
# below zero, as ids never are.
_MANY_NUMBERS, _ALIKE_STEPS = 50, 0.5


@dataclass(frozen=True)
class Sequences:
    """Sequences of one kind.

    Attributes:
        kind: What they are.
        items: Strings, lists of symbols, float arrays (T, F) of float32 or float64, or records.
        channels_first: Whether the arrays came as (F, T).
    """

    kind: Kind
    items: list[Any]
    channels_first: bool = False


def read_sequences(items: list[Any], *, channels_first: bool = False, names: Sequence[str] | None = None) -> Sequences:
    """Return raw sequences as plain ones.

    Args:
        items: Each a string; a list, tuple or array of symbols; a float array (T,) or (T, F), or rows of one; or
            records.
        channels_first: Whether float arrays are (F, T).
        names: The fields of records, if they are known: plain tuples are then records, too.

    Raises:
        InvalidDataError: They are of several kinds, or one is of none; the message says which, and what to do.
    """
    if set(map(type, items)) == {str}:
        return Sequences("text", items)
    found = [read_sequence(item, index, channels_first=channels_first, names=names) for index, item in enumerate(items)]
    first = next((index for index, (_, value) in enumerate(found) if len(value)), 0)
    kind: Kind = found[first][0]
    for index, (own, value) in enumerate(found):
        if own != kind and not len(value):
            found[index] = kind, _EMPTY[kind] if kind != "features" else found[first][1][:0]
        elif own != kind:
            raise InvalidDataError(
                "sequences must be all of one kind (strings, tokens, float arrays, or records); "
                f"got {type(items[first]).__name__} (sequence {first}) and {type(items[index]).__name__} (sequence "
                f"{index}). Make one dataset for each kind."
            )
    values = [value for _, value in found]
    return Sequences(kind, narrow(values) if kind == "features" else values, channels_first)


def read_sequence(
    item: Any, index: int, *, channels_first: bool = False, names: Sequence[str] | None = None
) -> tuple[Kind, Any]:
    """Return the kind of one sequence, and it as a string, a list of symbols, a float array (T, F), or records."""
    if isinstance(item, str):
        return "text", str(item) if type(item) is np.str_ else item
    if is_record_sequence(item, names):
        return "records", read_records(item, index, names)
    if isinstance(item, list | tuple):
        return _read_list(item, index)
    if is_missing(item):
        raise InvalidDataError(f"sequences must be known; got {item!r} (sequence {index}). Leave it out.")
    if isinstance(item, Tensor):
        return _read_array(_as_array(item), index, channels_first)
    if isinstance(item, np.ndarray):
        return _read_array(item, index, channels_first)
    return _read_other(item, index, channels_first)


def read_encoded(item: Any, index: int) -> Tensor:
    """Return one sequence that is encoded already: ids, int64 (T,), or features (T, F).

    Raises:
        InvalidDataError: It is of another kind.
    """
    if isinstance(item, Tensor) and item.ndim == 1 and item.dtype == torch.int64:
        return item
    kind, value = read_sequence(item, index)
    if kind == "features":
        if isinstance(item, Tensor):  # which may be on another device, or need gradients
            return item[:, None] if item.ndim == 1 else item
        return torch.from_numpy(narrow([value])[0])
    if kind == "tokens" and all(type(one) is int and -(1 << 63) <= one < 1 << 63 for one in value):
        return torch.tensor(value, dtype=torch.int64)
    what = {"text": "a string", "records": "records"}.get(kind, "other symbols")
    raise InvalidDataError(
        f"sequences must be integer ids of shape (T,) or float features of shape (T, F); got {what} (sequence "
        f"{index}). Encode it first, for instance with Vocabulary.encode."
    )


def read_row(row: Any, width: int, step: int) -> Tensor:
    """Return one step of measurements: floats (width,), of which some may be NaN.

    Raises:
        InvalidDataError: It is none, or holds numbers beyond float32.
    """
    try:
        array = _as_array(row) if isinstance(row, Tensor) else np.asanyarray(row)
        array = _unmask(array, step) if isinstance(array, np.ma.MaskedArray) else array
        numbers = array.astype(np.float32 if array.dtype == np.float32 else np.float64)
    except (TypeError, ValueError):
        array = numbers = np.empty(0)
    if numbers.shape != (width,) or array.dtype.kind not in "fiu":
        raise InvalidDataError(
            f"step must be a row of {width} features; got {row!r:.80} (step {step}). "
            "Push the rows of a sequence one by one."
        )
    if (np.abs(numbers) > LARGEST).any():
        raise InvalidDataError(
            f"features must be finite numbers that fit float32; got {numbers.tolist()} (step {step}). Correct or scale "
            "them."
        )
    return torch.from_numpy(numbers)


def _read_other(item: Any, index: int, channels_first: bool) -> tuple[Kind, Any]:
    """Read what is neither a string nor a list nor an array."""
    if hasattr(item, "to_pylist"):  # of pyarrow, whose lists of floats are measurements
        values = item.to_pylist()
        numbers = [np.nan if value is None else value for value in values]
        if values and all(isinstance(one, float) for one in numbers):
            return _read_array(np.array(numbers), index, channels_first)
        return _read_list(values, index)
    if hasattr(item, "to_list") and str(getattr(item, "dtype", "")).lower().startswith(("int", "uint", "bool")):
        return _read_list(item.to_list(), index)  # where NumPy would make floats of integers beside missing ones
    if hasattr(item, "__array__") or hasattr(item, "to_numpy"):
        return _read_array(np.asarray(item.to_numpy() if hasattr(item, "to_numpy") else item), index, channels_first)
    if isinstance(item, set | frozenset):
        raise InvalidDataError(
            f"sequences must have an order; got a {type(item).__name__} (sequence {index}). Pass a list."
        )
    if isinstance(item, Sequence) and not isinstance(item, Mapping):
        return _read_list(list(item), index)
    raise InvalidDataError(
        f"sequences must be strings, lists of symbols, float arrays or records; got {type(item).__name__} (sequence "
        f"{index}). "
        "Pass one of these for each sequence."
    )


def _as_array(tensor: Tensor) -> npt.NDArray[Any]:
    try:
        tensor = tensor.detach().cpu()
        narrow = tensor.is_floating_point() and tensor.dtype not in (torch.float32, torch.float64)
        found: npt.NDArray[Any] = (tensor.float() if narrow else tensor).resolve_conj().resolve_neg().numpy()
    except (TypeError, RuntimeError, NotImplementedError) as error:
        raise InvalidDataError(
            f"tensors must be dense, and hold numbers; got {tensor.layout} of {tensor.dtype} on {tensor.device} "
            f"({error!s:.80}). Call to_dense() or dequantize() first."
        ) from None
    return found


def _read_array(array: npt.NDArray[Any], index: int, channels_first: bool) -> tuple[Kind, Any]:
    kind = array.dtype.kind
    if isinstance(array, np.ma.MaskedArray):
        array = _unmask(array, index)
        kind = array.dtype.kind
    if kind == "f":
        return "features", as_features(array, index, channels_first)
    if array.ndim != 1:
        if kind == "O" and array.ndim == 0:
            return read_sequence(array.item(), index, channels_first=channels_first)
        raise InvalidDataError(
            f"arrays of tokens must have one dimension; got shape {tuple(array.shape)} of {array.dtype} (sequence "
            f"{index}). Pass one array of ids for each sequence; or measurements as floats, with .astype('float32')."
        )
    if kind in "iubUS":
        return "tokens", array.tolist()
    if kind == "O":
        return _read_list(array.tolist(), index)
    remedy = "Pass the real and the imaginary part as two features" if kind == "c" else "Turn it into floats"
    raise InvalidDataError(f"arrays must hold symbols or real numbers; got {array.dtype} (sequence {index}). {remedy}.")


def _unmask(array: Any, index: int) -> npt.NDArray[Any]:
    """Return a masked array with NaN for what is masked."""
    if not np.ma.is_masked(array):
        return np.asarray(array.data)
    if array.dtype.kind != "f":
        raise InvalidDataError(
            f"symbols must be known; got a masked array with masked ones (sequence {index}). Leave them out with "
            ".compressed()."
        )
    filled: npt.NDArray[Any] = array.filled(np.nan)
    return filled


def as_features(array: npt.NDArray[Any], index: int, channels_first: bool = False) -> npt.NDArray[Any]:
    """Return measurements as (T, F) of float32, or of float64 where they came with more digits."""
    if array.ndim not in {1, 2}:
        wanted = "(F, T)" if channels_first else "(T, F)"
        raise InvalidDataError(
            f"float sequences must have the shape {wanted}; got {tuple(array.shape)} (sequence {index}). Give each "
            f"sequence one row for each {'feature' if channels_first else 'step'}."
        )
    if array.ndim == 1:
        array = array[:, None]
    elif channels_first:
        array = array.T
    dtype: Any = np.float64 if array.dtype.itemsize > np.dtype(np.float32).itemsize else np.float32
    return np.array(array, dtype, order="C")  # a copy: what is given may change, be read-only, or go backwards


def narrow(arrays: list[npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
    """Return measurements (T, F) of each sequence as float32, but those that are large beside how much they change.

    Clocks, counters and coordinates are such; they keep their digits until they are standardised. What decides is each
    sequence alone, so that it is read the same in any company.
    """
    wide = [index for index, array in enumerate(arrays) if array.dtype == np.float64 and len(array)]
    if not wide:
        return [array.astype(np.float32, copy=False) for array in arrays]
    if len({arrays[index].shape[1] for index in wide}) > 1:
        return arrays  # which is refused later
    values = np.concatenate([arrays[index] for index in wide])
    starts = np.cumsum([0, *(len(arrays[index]) for index in wide[:-1])])
    with np.errstate(over="ignore", invalid="ignore"):
        lost = np.fmax.reduceat(np.abs(values.astype(np.float32) - values), starts)
        spread = np.fmax.reduceat(values, starts) - np.fmin.reduceat(values, starts)
        allowed = np.where(spread > 0, _MOST_LOST * spread, np.where(np.abs(values[starts]) >= _LARGE, 0.0, np.inf))
        keeps = set(np.array(wide)[(lost > allowed).any(1)].tolist())
        return [array if index in keeps else array.astype(np.float32, copy=False) for index, array in enumerate(arrays)]


def _read_list(items: list[Any] | tuple[Any, ...], index: int) -> tuple[Kind, Any]:
    kinds = set(map(type, items))
    if kinds <= _SYMBOLS and not (bool in kinds and int in kinds):
        return "tokens", items if type(items) is list else list(items)
    symbols = list(map(_plain_within, items))
    if all(isinstance(one, np.ndarray | Tensor) for one in symbols):
        return _read_rows(symbols, index)
    for position, symbol in enumerate(symbols):
        _check_symbol(symbol, index, position)
    kinds = set(map(type, symbols))
    if bool in kinds and int in kinds:
        raise InvalidDataError(
            f"symbols must be of one kind; got bool and int (sequence {index}), and True equals 1. Use one of them."
        )
    return "tokens", symbols


def _plain_within(item: Any) -> Any:
    """Return a symbol as Python's own values, those of a tuple too."""
    return tuple(map(_plain_within, item)) if type(item) is tuple else plain(item)


def _read_rows(rows: list[Any], index: int) -> tuple[Kind, Any]:
    """Read a list of arrays, each a step."""
    arrays = [_as_array(row) if isinstance(row, Tensor) else row for row in rows]
    if any(array.dtype.kind != "f" for array in arrays) or len({array.shape for array in arrays}) > 1:
        about = arrays[0]
        raise InvalidDataError(
            f"steps must be symbols, or rows of floats that are all as wide; got arrays such as {about.dtype} of shape "
            f"{about.shape} (sequence {index}). Pass measurements as one float array of shape (T, F)."
        )
    return "features", as_features(np.stack(arrays), index)


def _check_symbol(symbol: Any, index: int, position: int) -> None:
    place = f"(sequence {index}, position {position})"
    if is_measured(symbol):
        raise InvalidDataError(
            f"token sequences must hold hashable symbols other than floats; got {symbol!r} {place}. "
            "Pass measurements as a float array of shape (T,) or (T, F), for instance "
            "numpy.asarray(sequence, dtype='float32')."
        )
    if is_missing(symbol) or holds(symbol, lambda one: one is not None and is_missing(one)):
        raise InvalidDataError(
            f"symbols must be known; got {symbol!r} {place}. Leave it out, or give the missing symbol a name."
        )
    if holds(symbol, is_measured):
        raise InvalidDataError(
            f"steps must be symbols; got {symbol!r:.80} {place}, which holds measurements. Pass the names alone, with "
            "the numbers cut into a few ranges; the numbers alone, as a float array of shape (T, F); or both, as "
            "records, with fields=[...], the names of what a step holds."
        )
    try:
        hash(symbol)
        is_array = holds(symbol, lambda one: isinstance(one, np.ndarray | Tensor))
    except TypeError:
        is_array = True
    if is_array:
        raise InvalidDataError(
            f"symbols must be hashable; got {type(symbol).__name__} {place}. "
            "Pass features as a float array of shape (T, F), or turn the symbols into tuples."
        )
    if not is_savable(symbol):
        raise InvalidDataError(
            "symbols must be strings, integers, bytes, dates, or tuples of these, which files can hold; got "
            f"{symbol!r:.80} {place}. Map them to strings."
        )


# ---- Guesses that are likely, but not sure: they go on, with a warning ----


def warn_of_likely_mistakes(read: Sequences) -> None:
    """Warn where training data are probably something else than what they are read as."""
    if read.kind == "text":
        _warn_of_numbers_in_texts(read.items)
        _warn_of_sentences(read.items)
    elif read.kind == "tokens":
        _warn_of_recordings(read.items)
    elif read.kind == "features":
        _warn_of_channels(read.items)


def _warn_of_numbers_in_texts(texts: list[str]) -> None:
    sample = texts[:_LOOKED_AT]
    if all(map(_NUMBERS_IN_TEXT.fullmatch, sample)):
        warn(
            f"texts such as {sample[0]!r:.60} (sequence 0) hold numbers, and are read as characters. Split ids with "
            ".split(), or read measurements with numpy.fromstring(text, sep=' ')."
        )


def _warn_of_sentences(texts: list[str]) -> None:
    sample = texts[:_LOOKED_AT]
    if sum(text.count(" ") for text in sample) >= _BLANKS_IN_SENTENCES * len(sample):
        warn(
            f"texts such as {sample[0]!r:.60} (sequence 0) look like sentences, and are read as characters. Pass "
            "tokenizer='words' to read words, or tokenizer='characters' to say that characters are meant."
        )


def _warn_of_recordings(lists: list[Any]) -> None:
    first = next((items[0] for items in lists if items), None)
    if type(first) is not int:
        return
    flat = [symbol for items in lists for symbol in items]
    if set(map(type, flat)) != {int} or not -(2**62) < min(flat) <= max(flat) < 2**62:
        return
    numbers = np.array(flat, np.int64)
    distinct = len(np.unique(numbers))
    if distinct < _MANY_NUMBERS:
        return
    if int(numbers.min()) < 0 or _likeness(numbers) > _ALIKE_STEPS or 2 * distinct > len(numbers):
        warn(
            f"integers such as {lists[0][:5]} (sequence 0) look like measurements, and are read as {distinct} symbols. "
            "Pass measurements as floats, for instance array.astype('float32')."
        )


def _likeness(numbers: npt.NDArray[np.int64]) -> float:
    """Return how much the ranks of neighbours go together: their correlation, from -1 to 1."""
    ranks = np.argsort(np.argsort(numbers, kind="stable"), kind="stable").astype(np.float64)
    ranks -= ranks.mean()
    spread = float((ranks * ranks).sum())
    return float((ranks[1:] * ranks[:-1]).sum()) / spread if spread else 0.0


def _warn_of_channels(arrays: list[npt.NDArray[Any]]) -> None:
    """Warn where all have one shape, of few steps with many features: probably channels come first."""
    shapes = {array.shape for array in arrays}
    if len(shapes) != 1 or len(arrays) < 2:  # a single one tells nothing
        return
    steps, features = shapes.pop()
    if steps and features >= 16 and features >= _MOST_STEPS_IN_CHANNELS * steps:  # few are no series
        warn(
            f"sequences have {steps} {'step' if steps == 1 else 'steps'} of {features} features each. If these are "
            f"series of {features} steps, pass channels_first=True."
        )


def warn(message: str) -> None:
    """Warn, and name the line outside the library that led here."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, SeqclfWarning, stacklevel=level)
