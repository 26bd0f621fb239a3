"""Single values: those of NumPy, torch and pandas become Python's own, missing ones are known, all have one order."""

import datetime
from collections.abc import Callable, Iterable
from decimal import Decimal
from enum import Enum
from numbers import Integral, Number
from typing import Any

import numpy as np
from torch import Tensor

from seqclf.errors import InvalidDataError

_PLAIN = (str, int, float, bool, bytes)
_SELF_SORTING = ({str}, {int}, {bool}, {float}, {int, float}, {bytes})
_TO_JSON: dict[type, Callable[[Any], Any]] = {
    bool: bool,
    float: float.hex,
    bytes: bytes.hex,
    datetime.date: datetime.date.isoformat,
    datetime.datetime: datetime.datetime.isoformat,
    datetime.time: datetime.time.isoformat,
}
_FROM_JSON: dict[str, Callable[[Any], Any]] = {
    "bool": bool,
    "float": float.fromhex,
    "bytes": bytes.fromhex,
    "date": datetime.date.fromisoformat,
    "datetime": datetime.datetime.fromisoformat,
    "time": datetime.time.fromisoformat,
}
_NAMES_OF_MISSING = {"NAType", "NaTType"}  # of pandas, which need not be installed


def plain(value: Any) -> Any:
    """Return the Python value that a scalar of NumPy or torch, or an array of one without dimensions, stands for."""
    if isinstance(value, np.str_ | np.bytes_):
        return str(value) if isinstance(value, np.str_) else bytes(value)
    if value is np.ma.masked or isinstance(value, np.datetime64 | np.timedelta64):
        return value
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray | Tensor) and value.ndim == 0):
        return value.item()
    return value


def is_missing(value: Any) -> bool:
    """Tell whether a value is what tables hold where there is none: None, NaN, NaT, pandas' NA, a masked one."""
    if value is None or value is np.ma.masked or type(value).__name__ in _NAMES_OF_MISSING:
        return True
    if isinstance(value, float | np.floating | np.datetime64 | np.timedelta64):
        return bool(value != value)  # noqa: PLR0124  # only what is missing differs from itself
    return False


def holds(value: Any, what: Callable[[Any], bool]) -> bool:
    """Tell whether a value, or anything in it if it is a tuple or a frozenset, is such."""
    if type(value) in {tuple, frozenset}:
        return any(holds(one, what) for one in value)
    return what(plain(value))


def is_measured(value: Any) -> bool:
    """Tell whether a value is a number that is measured rather than counted."""
    if isinstance(value, Integral) or is_missing(value):
        return False
    return isinstance(value, Number | Decimal)


def sort_values(values: Iterable[Any]) -> list[Any]:
    """Sort hashable values into one order that depends neither on how they came in nor on their hashes."""
    values = list(values)
    if set(map(type, values)) in _SELF_SORTING:
        return sorted(values)
    return sorted(values, key=_sort_key)


def canonical(value: Any) -> Any:
    """Return a value whose text does not depend on hashes: sets in it become sorted lists."""
    if type(value) is frozenset:
        return [canonical(one) for one in sort_values(value)]
    return tuple(map(canonical, value)) if type(value) is tuple else value


def _sort_key(value: Any) -> tuple[str, Any]:
    """Return what orders values of any types: first their type, then what they are."""
    if isinstance(value, _PLAIN) and not isinstance(value, Enum):
        return type(value).__qualname__, (value,)
    if isinstance(value, tuple):
        return "tuple", tuple(map(_sort_key, value))
    if isinstance(value, frozenset):
        return "frozenset", tuple(sorted(map(_sort_key, value)))
    return type(value).__qualname__, (repr(value),)


def to_json(value: Any, what: str) -> Any:
    """Return a symbol or label as JSON can hold it: strings and integers as they are, others with their kind.

    Raises:
        InvalidDataError: It is of a kind that could not be read back.
    """
    kind = type(value)
    if kind in {str, int}:
        return value
    if kind in _TO_JSON:
        return {kind.__name__: _TO_JSON[kind](value)}
    if kind in {tuple, frozenset}:
        parts = value if kind is tuple else sort_values(value)
        return {kind.__name__: [None if one is None else to_json(one, what) for one in parts]}
    raise InvalidDataError(
        f"{what} must be strings, numbers, bytes, dates, or tuples of these, to be saved; got {value!r:.80} "
        f"({kind.__name__}). Map them to strings before making the dataset."
    )


def from_json(content: Any) -> Any:
    """Return what `to_json` made this of.

    Raises:
        ValueError: It made nothing of the kind.
    """
    if type(content) in {str, int}:
        return content
    if not isinstance(content, dict) or len(content) != 1:
        raise ValueError(f"a symbol or label that is none: {content!r:.80}")
    (kind, inner), *_ = content.items()
    if kind in {"tuple", "frozenset"} and isinstance(inner, list):
        return (tuple if kind == "tuple" else frozenset)(one if one is None else from_json(one) for one in inner)
    if kind not in _FROM_JSON or not isinstance(inner, bool if kind == "bool" else str):
        raise ValueError(f"a symbol or label that is none: {content!r:.80}")
    return _FROM_JSON[kind](inner)


def is_savable(value: Any) -> bool:
    """Tell whether files can hold a symbol or label."""
    if type(value) in {tuple, frozenset}:
        return all(one is None or is_savable(one) for one in value)
    return type(value) in {str, int, *_TO_JSON}
