"""Nested states, such as those of optimisers and schedulers, as JSON beside tensors, and back; bit for bit.

JSON knows no tuples, no keys but strings, and no tensors; these become objects that say what they stand for.
"""

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from seqclf.errors import InvalidDataError


def flatten(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """Return a nested value as JSON, in which tensors are named; put these, copied, into `tensors`.

    Args:
        value: Dicts, lists, tuples, tensors, strings, numbers, booleans and None.
        name: What to call the value in the names of tensors, and in errors.
        tensors: Where the tensors go.

    Raises:
        InvalidDataError: There is a value of another kind.
    """
    if isinstance(value, Tensor):
        tensors[name] = value.detach().cpu().clone()
        return {"tensor": name}
    if isinstance(value, Mapping):
        return {
            "dict": [
                [flatten(key, f"{name}.key", {}), flatten(one, f"{name}.{key}", tensors)] for key, one in value.items()
            ]
        }
    if isinstance(value, list | tuple):
        parts = [flatten(one, f"{name}.{number}", tensors) for number, one in enumerate(value)]
        return parts if isinstance(value, list) else {"tuple": parts}
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if value is None or type(value) in {bool, int, float, str}:
        return value
    raise InvalidDataError(
        f"a checkpoint can hold tensors, numbers, strings, lists and dicts alone; got {value!r:.80} in {name}. "
        "Keep it out of the state_dict."
    )


def unflatten(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Return the nested value that `flatten` was given.

    Raises:
        KeyError: The value is not one that `flatten` wrote; likewise TypeError, ValueError and AttributeError.
    """
    if isinstance(value, list):
        return [unflatten(one, tensors) for one in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tensor":
        return tensors[content].clone()
    if kind == "tuple":
        return tuple(unflatten(one, tensors) for one in content)
    if kind == "float":
        return float(content)
    if kind == "dict":
        return {unflatten(key, tensors): unflatten(one, tensors) for key, one in content}
    raise KeyError(kind)
