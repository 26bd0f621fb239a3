"""Columns: whatever holds one item for each sequence becomes a plain list of items."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqclf.errors import InvalidArgumentError, InvalidDataError
from seqclf.reading.plain import sort_values

_FRAMES = ("columns", "column_names")  # what pandas, polars, pyarrow and datasets call the names of their columns


def as_list(items: Any, name: str = "sequences") -> list[Any]:
    """Return the items of a list, an array, a column of a data frame, or a nested tensor, as a list.

    Args:
        items: A list or another iterable; a NumPy array or tensor of which each row is an item; a Series of pandas or
            polars, an array of pyarrow, a column of Hugging Face datasets, or a frame of one column; or a jagged nested
            tensor of torch. An array (n, 1) of texts, or of labels, is a column.
        name: What the error calls it.

    Raises:
        InvalidDataError: It is a single string, a mapping, a set, a whole table, or no iterable at all.
    """
    if type(items) is list:
        return items
    if isinstance(items, np.ndarray | Tensor):
        return list(items.unbind()) if isinstance(items, Tensor) and items.is_nested else _rows(items, name)
    if any(hasattr(items, attribute) for attribute in _FRAMES):
        return _only_column(items, name)
    refuse_unordered(items, name)
    if isinstance(items, str | bytes | bytearray | Mapping):
        raise _refuse(items, name)
    return _listed(items, name)


def as_values(items: Any, name: str) -> list[Any]:
    """Return values as `as_list` does, or those of a set, sorted, or the keys of a mapping.

    Raises:
        InvalidDataError: It is a single string, a whole table, or no iterable at all.
    """
    if isinstance(items, Mapping):
        return list(items)
    return sort_values(items) if isinstance(items, set | frozenset) else as_list(items, name)


def _listed(items: Any, name: str) -> list[Any]:
    for method in ("to_pylist", "to_list"):  # whose items are Python's own, where iterating gives wrappers
        if hasattr(items, method):
            return list(getattr(items, method)())
    if isinstance(items, Iterable):
        return list(items)
    if hasattr(items, "__array__"):
        return as_list(np.asarray(items), name)
    raise _refuse(items, name)


def _rows(items: Any, name: str) -> list[Any]:
    if not items.ndim:
        raise _refuse(items, name)
    is_column = items.ndim == 2 and items.shape[1] == 1
    if is_column and (name == "labels" or (isinstance(items, np.ndarray) and _holds_texts(items))):
        items = items[:, 0]
    if name == "labels" and items.ndim > 1:
        raise InvalidDataError(
            f"labels must have one dimension; got the shape {tuple(items.shape)}. Give each sequence one label: those "
            "of one-hot rows are labels.argmax(1)."
        )
    return list(items)


def _holds_texts(items: npt.NDArray[Any]) -> bool:
    return items.dtype.kind == "U" or (items.dtype.kind == "O" and all(isinstance(one, str) for one in items.flat))


def _only_column(items: Any, name: str) -> list[Any]:
    """Return the column of a table that has but one."""
    names = list(items.column_names if hasattr(items, "column_names") else items.columns)
    if len(names) != 1 or not hasattr(items, "__getitem__"):
        raise InvalidDataError(
            f"{name} must be one column, with an item for each sequence; got the table {type(items).__name__}. "
            f"Pick the column, for instance frame[{(names or ['name'])[0]!r}]."
        )
    return as_list(items[names[0]], name)


def _refuse(items: Any, name: str) -> InvalidDataError:
    return InvalidDataError(
        f"{name} must be a list, an array or a column, with an item for each sequence; got {type(items).__name__}. "
        "Put a single one into a list."
    )


def refuse_unordered(items: Any, name: str) -> None:
    """Raise where items come in a set, whose order is that of their hashes."""
    if isinstance(items, set | frozenset):
        raise InvalidDataError(
            f"{name} must have an order; got a {type(items).__name__}. Pass a list, for instance sorted({name})."
        )


def as_mapping(values: Any) -> dict[Any, Any] | None:
    """Return what is given by labels, in a mapping or a pandas Series, as a dict; None for what goes by place."""
    if isinstance(values, Mapping):
        return dict(values)
    if hasattr(values, "to_dict") and hasattr(values, "index") and not isinstance(values, list | tuple):
        return dict(values.to_dict())
    return None


def as_numbers(name: str, values: Any) -> Tensor:
    """Return numbers as float64, on the CPU.

    Raises:
        InvalidArgumentError: They are none.
    """
    try:
        if isinstance(values, Tensor):
            values = values.detach().cpu().numpy()
        given = np.asanyarray(values.to_pylist() if hasattr(values, "to_pylist") else values)
        if given.dtype.kind not in "iufO" or np.ma.is_masked(given) or any(isinstance(one, str) for one in given.flat):
            raise TypeError(f"an array of {given.dtype}")
        return torch.from_numpy(np.array(given, dtype=np.float64))
    except (TypeError, ValueError, RuntimeError, NotImplementedError) as error:
        raise InvalidArgumentError(f"{name} must hold numbers; got {values!r:.80}: {error}.") from None
