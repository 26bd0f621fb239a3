"""Checks of arguments that many modules share, so that each error reads alike."""

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any, TypeVar

from seqclf.errors import InvalidArgumentError, did_you_mean
from seqclf.reading.plain import plain

_SEEDS = 1 << 63

Choice = TypeVar("Choice", bound=str)


def check_int(name: str, value: Any, minimum: int = 1) -> int:
    """Return `value` as an int of at least `minimum`, or raise."""
    value = plain(value)
    try:
        number = None if isinstance(value, bool) or not hasattr(value, "__index__") else value.__index__()
    except TypeError:  # as of arrays of one number
        number = None
    if number is None or number < minimum:
        raise InvalidArgumentError(f"{name} must be an integer of at least {minimum}; got {value!r}.")
    return int(number)


def check_seed(name: str, value: Any) -> int:
    """Return a seed, which generators of all libraries take, as an int; or raise."""
    number = check_int(name, value, minimum=0)
    if number >= _SEEDS:
        raise InvalidArgumentError(f"{name} must be below 2^63; got {number}.")
    return number


def check_probability(name: str, value: Any) -> float:
    """Return `value` as a float in [0, 1), or raise."""
    value = plain(value)
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) < 1:
        raise InvalidArgumentError(f"{name} must be a number from 0 up to, but not including, 1; got {value!r}.")
    return float(value)


def check_positive(name: str, value: Any) -> float:
    """Return `value` as a finite float above 0, or raise."""
    value = plain(value)
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 < float(value) < math.inf:
        raise InvalidArgumentError(f"{name} must be a finite number above 0; got {value!r}.")
    return float(value)


def check_choice(name: str, value: Any, choices: Sequence[Choice]) -> Choice:
    """Return the one of `choices` that `value` equals, or raise and say which is nearest."""
    for choice in choices:
        if isinstance(value, str) and value == choice:
            return choice
    known = ", ".join(repr(choice) for choice in choices)
    raise InvalidArgumentError(f"{name} must be one of {known}; got {value!r}.{did_you_mean(value, choices)}")
