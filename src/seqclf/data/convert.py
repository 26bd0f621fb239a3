"""Columns of other libraries: whatever holds one item for each sequence becomes a plain list."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from torch import Tensor

from seqclf.errors import InvalidDataError

_FRAMES = ("columns", "column_names")  # what pandas, polars, pyarrow and datasets call the names of their columns


def as_list(items: Any, name: str = "sequences") -> list[Any]:
    """Return the items of a list, an array, a column of a data frame, or a nested tensor, as a list.

    Args:
        items: A list or another iterable; a NumPy array or tensor of which each row is an item; a Series of pandas or
            polars, an array of pyarrow, a column of Hugging Face datasets; or a jagged nested tensor of torch.
        name: What the error calls it.

    Raises:
        InvalidDataError: It is a single string, a mapping, a whole table, or no iterable at all.
    """
    if isinstance(items, Tensor) and items.is_nested:
        return list(items.unbind())
    if isinstance(items, np.ndarray | Tensor) and not items.ndim:
        raise _refuse(items, name)
    if isinstance(items, np.ndarray | Tensor | list | tuple):
        return list(items)
    if any(hasattr(items, attribute) for attribute in _FRAMES):
        raise InvalidDataError(
            f"{name} must be one column, with an item for each sequence; got the table {type(items).__name__}. "
            "Pick the column, for instance frame['name']."
        )
    if not isinstance(items, Iterable) and hasattr(items, "__array__"):
        return as_list(np.asarray(items), name)
    if isinstance(items, str | bytes | Mapping) or not isinstance(items, Iterable):
        raise _refuse(items, name)
    for method in ("to_pylist", "to_list"):  # whose items are Python's own, where iterating gives wrappers
        if hasattr(items, method):
            return list(getattr(items, method)())
    return list(items)


def _refuse(items: Any, name: str) -> InvalidDataError:
    return InvalidDataError(
        f"{name} must be a list, an array or a column, with an item for each sequence; got {type(items).__name__}. "
        "Put a single one into a list."
    )
