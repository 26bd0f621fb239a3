"""Indices as lists and arrays take them: numbers, masks and slices."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from seqclf.errors import InvalidIndexError
from seqclf.reading.plain import plain

Places = npt.NDArray[np.int64]


def read_indices(indices: Any, count: int) -> Places:
    """Return the places from 0 to `count` - 1 that are meant, int64 (n,).

    Args:
        indices: A slice; a mask of booleans, one for each of `count`; or integers of any kind, where those below zero
            count from the end.
        count: How many there are.

    Raises:
        InvalidIndexError: They are none of these, or beyond the end.
    """
    if isinstance(indices, slice):
        try:
            return np.array(range(count)[indices], np.int64)
        except (TypeError, ValueError) as error:
            raise InvalidIndexError(f"a slice must be of integers, with a step; got {indices}: {error}.") from None
    indices = _as_array(indices)
    if indices.ndim != 1:
        raise InvalidIndexError(
            f"indices must have one dimension; got the shape {tuple(indices.shape)}. Pass a list of integers or a mask."
        )
    if indices.dtype == bool:
        if len(indices) != count:
            raise InvalidIndexError(
                f"a mask must have one value for each of the {count} sequences; got {len(indices)}. Make it from the "
                "dataset's own lengths or labels."
            )
        return np.flatnonzero(indices)
    if not len(indices):
        return np.zeros(0, np.int64)
    if indices.dtype.kind not in "iu":
        raise InvalidIndexError(
            f"indices must be integers, or a mask of booleans; got {indices[0]!r} ({indices.dtype}). Convert them."
        )
    wrong = (indices >= count) | (indices < -count if indices.dtype.kind == "i" else False)
    if wrong.any():
        raise InvalidIndexError(f"indices must be from {-count} to {count - 1}; got {int(indices[wrong][0])}.")
    places: Places = indices.astype(np.int64)
    places[places < 0] += count
    return places


def _as_array(indices: Any) -> npt.NDArray[Any]:
    """Return what is handed in as indices as an array; what has no order, or is missing in part, is refused."""
    found = None
    try:
        if isinstance(indices, Tensor):
            found = indices.detach().cpu().numpy()
        elif isinstance(indices, np.ndarray):
            found = indices
        elif not isinstance(indices, set | frozenset | Mapping | str | bytes | bytearray):
            listing = next((name for name in ("to_pylist", "to_list") if hasattr(indices, name)), None)
            listed = indices if listing is None else getattr(indices, listing)()
            plain_ones = list(map(plain, listed))
            is_mixed = len({isinstance(one, bool) for one in plain_ones}) > 1
            found = None if is_mixed else np.array(plain_ones)
    except (TypeError, ValueError, NotImplementedError):
        pass
    if found is None or np.ma.is_masked(found):
        raise InvalidIndexError(
            f"indices must be integers, or a mask of booleans; got {indices!r:.80}. Pass a list of them."
        )
    return np.asarray(found)


def is_several(index: Any) -> bool:
    """Tell whether an index asks for several: a slice, a list or an array."""
    is_listed = hasattr(index, "to_list") or hasattr(index, "to_pylist")
    return is_listed or isinstance(index, slice | list | tuple | range) or getattr(index, "ndim", 0) > 0


def read_index(index: Any, count: int) -> int:
    """Return the one place that is meant.

    Raises:
        InvalidIndexError: It is no integer, or beyond the end.
    """
    index = plain(index)
    if isinstance(index, bool) or not hasattr(index, "__index__"):
        raise InvalidIndexError(f"an index must be an integer; got {index!r:.80}. Pass a list for several, or a slice.")
    number = index.__index__()
    if not -count <= number < count:
        raise InvalidIndexError(f"an index must be from {-count} to {count - 1}; got {number}.")
    return int(number % count)
