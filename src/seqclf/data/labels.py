"""Labels of any hashable kind to class indices."""

import math
from collections.abc import Sequence
from itertools import islice, repeat
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seqclf.errors import InvalidArgumentError, InvalidDataError, did_you_mean
from seqclf.vocabulary import sort_symbols


def index_labels(labels: list[Any], classes: Sequence[Any] | None) -> tuple[tuple[Any, ...], Tensor]:
    """Return the classes and the index of each label among them."""
    if any(issubclass(kind, np.generic | Tensor) for kind in set(map(type, labels))):
        labels = [_plain(label) for label in labels]
    try:
        classes = tuple(sort_symbols(set(labels)) if classes is None else map(_plain, classes))
        table = {label: index for index, label in enumerate(classes)}
        numbers = list(map(table.get, labels, repeat(-1)))
    except TypeError as error:
        raise InvalidDataError(f"labels must be hashable; got {error}. Use strings or integers.") from None
    if any(_is_missing(label) for label in classes):
        index = next(index for index, label in enumerate(labels) if _is_missing(label))
        raise InvalidDataError(
            f"labels must be known; got {labels[index]!r} (sequence {index}). Leave such sequences out, or give the "
            "missing label a name."
        )
    if len(table) != len(classes):
        raise InvalidArgumentError(f"classes must be distinct; got {list(islice(classes, 20))}. Remove the repetition.")
    if -1 in numbers:
        index = numbers.index(-1)
        raise InvalidDataError(
            f"labels must be among the {len(classes)} classes; got {labels[index]!r} (sequence {index})."
            f"{did_you_mean(labels[index], classes)} Correct it, or pass classes that include it."
        )
    return classes, torch.tensor(numbers)


def _is_missing(label: Any) -> bool:
    """Tell whether a label is what tables hold where there is none: None or NaN."""
    return label is None or (isinstance(label, float) and math.isnan(label))


def _plain(label: Any) -> Any:
    """Turn NumPy and torch scalars into Python's own values, which hash and print as users expect."""
    return label.item() if isinstance(label, np.generic | Tensor) else label
