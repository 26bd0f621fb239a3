"""Indices as lists and arrays take them: numbers, masks and slices."""

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
        places: Places = np.arange(count, dtype=np.int64)[indices].copy()  # torch has no negative strides
        return places
    if isinstance(indices, Tensor):
        indices = indices.detach().cpu().numpy()
    elif not isinstance(indices, np.ndarray):
        indices = indices.to_numpy() if hasattr(indices, "to_numpy") else _as_array(indices)
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
    places = indices.astype(np.int64)
    wrong = (places < -count) | (places >= count)
    if wrong.any():
        raise InvalidIndexError(f"indices must be from {-count} to {count - 1}; got {int(indices[wrong][0])}.")
    places[places < 0] += count
    return places


def _as_array(indices: Any) -> npt.NDArray[Any]:
    try:
        return np.array([plain(index) for index in indices])
    except (TypeError, ValueError):
        raise InvalidIndexError(
            f"indices must be integers, or a mask of booleans; got {indices!r:.80}. Pass a list of them."
        ) from None


def is_several(index: Any) -> bool:
    """Tell whether an index asks for several: a slice, a list or an array."""
    return isinstance(index, slice | list | tuple | range) or getattr(index, "ndim", 0) > 0


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
