"""Labels of whatever kind to class indices."""

import datetime
from collections.abc import Sequence
from enum import Enum
from itertools import islice, repeat
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqclf.errors import InvalidArgumentError, InvalidDataError, did_you_mean
from seqclf.reading.columns import as_list
from seqclf.reading.plain import holds, is_missing, is_savable, plain, sort_values
from seqclf.reading.sequences import warn

_USUAL = {str, int}
_FEW = 10  # so few measured numbers may just as well be classes
_MANY = 50  # so many whole ones are hardly classes
_LIKE_KEYS = 0.8  # of so many sequences a class of its own


def index_labels(labels: list[Any], classes: Sequence[Any] | None) -> tuple[tuple[Any, ...], Tensor]:
    """Return the classes and the index of each label among them.

    Raises:
        InvalidDataError: A label is missing, is of a kind that files cannot hold, or is not among `classes`; labels of
            two kinds are equal, such as True and 1; or they are measured numbers.
        InvalidArgumentError: A class occurs twice.
    """
    if not set(map(type, labels)) <= _USUAL:
        labels = _read(labels)
    try:
        classes = tuple(sort_values(set(labels)) if classes is None else map(plain, classes))
        table = {label: index for index, label in enumerate(classes)}
        numbers = list(map(table.get, labels, repeat(-1)))
    except TypeError as error:
        raise InvalidDataError(f"labels must be hashable; got {error}. Use strings or integers.") from None
    if any(is_missing(one) for one in classes):
        raise InvalidArgumentError(f"classes must be known; got a missing one among {list(islice(classes, 20))}.")
    if not set(map(type, labels)) <= set(map(type, classes)):
        for index, (label, number) in enumerate(zip(labels, numbers, strict=True)):
            if number >= 0 and type(classes[number]) is not type(label):
                raise InvalidDataError(
                    f"labels must be of the kind of the classes; got {label!r} (sequence {index}), which equals the "
                    f"class {classes[number]!r}. Use strings."
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


def warn_of_likely_labels(classes: int, count: int) -> None:
    """Warn where labels of training data are probably something else: nearly each sequence has one of its own."""
    if count >= _MANY and classes > _LIKE_KEYS * count:
        warn(
            f"there are {classes} different labels for {count} sequences. If sequences and labels are the wrong way "
            "round, or the labels are numbers of rows, pass others."
        )


def index_label_sets(labels: Any, classes: Sequence[Any] | None) -> tuple[tuple[Any, ...], Tensor]:
    """Return the classes, and which of them each sequence has: uint8 (n, C), 1 for those.

    Args:
        labels: For each sequence a list, tuple or set of labels, which may be empty; or rows of 0 and 1, an array
            (n, C) or a frame, whose columns are then the classes.
        classes: The labels that may occur; None takes those that do, sorted, or the columns.

    Raises:
        InvalidDataError: A sequence has a single label in place of a collection; or as `index_labels`.
    """
    rows, named = _as_rows(labels)
    if rows is not None:
        classes = tuple(named or range(rows.shape[1])) if classes is None else tuple(map(plain, classes))
        if len(classes) != rows.shape[1]:
            raise InvalidDataError(
                f"labels must have a column for each of the {len(classes)} classes; got {rows.shape[1]}. Pass classes "
                "in the order of the columns."
            )
        return index_labels(list(classes), classes)[0], torch.from_numpy(rows)
    sets = [_as_set(one, index) for index, one in enumerate(as_list(labels, "label sets"))]
    flat = [label for one in sets for label in one]
    if not flat and classes is None:
        raise InvalidDataError("labels must name one class at least; got empty collections alone. Pass classes.")
    found, numbers = index_labels(flat, classes)
    owners = np.repeat(np.arange(len(sets)), [len(one) for one in sets])
    indicators = np.zeros((len(sets), len(found)), np.uint8)
    indicators[owners, numbers.numpy().astype(np.int64)] = 1
    return found, torch.from_numpy(indicators)


def _as_rows(labels: Any) -> tuple[npt.NDArray[np.uint8] | None, list[Any] | None]:
    """Return rows of 0 and 1, and the names of the columns where there are any; None where labels are no such rows."""
    named = None
    if hasattr(labels, "columns") and hasattr(labels, "to_numpy"):
        named, labels = [plain(name) for name in labels.columns], labels.to_numpy()
    if isinstance(labels, Tensor):
        labels = labels.detach().cpu().numpy()
    if isinstance(labels, list) and len({len(one) for one in labels if isinstance(one, list | tuple)}) == 1:
        first = labels[0]
        is_rows = isinstance(first, list) and len(first) > 1 and all(isinstance(one, list) for one in labels)
        values = {value for one in labels for value in one if type(value) in {int, bool}} if is_rows else set()
        if is_rows and values <= {0, 1} and all(type(value) in {int, bool} for one in labels for value in one):
            labels = np.array(labels)  # as sets of labels, all sequences would have both
    if not isinstance(labels, np.ndarray) or labels.ndim != 2 or labels.dtype.kind not in "biuf":
        return None, None
    wrong = np.argwhere((labels != 0) & (labels != 1))
    if len(wrong):
        index, column = wrong[0].tolist()
        raise InvalidDataError(
            f"rows of labels must hold 0 and 1; got {labels[index, column]} (sequence {index}, column {column})."
        )
    return labels.astype(np.uint8), named


def _as_set(labels: Any, index: int) -> list[Any]:
    if isinstance(labels, np.ndarray) and labels.ndim == 1:
        return list(labels.tolist())
    if not isinstance(labels, list | tuple | set | frozenset):
        raise InvalidDataError(
            f"labels must be a list, tuple or set for each sequence, as multi_label is True; got {labels!r:.60} "
            f"(sequence {index}). Put it into a list, or leave multi_label out."
        )
    return list(labels)


def read_groups(groups: Any, count: int, name: str = "groups") -> npt.NDArray[np.int64]:
    """Return a number for what each of `count` sequences comes from, the same for equal ones.

    Raises:
        InvalidArgumentError: They are more or fewer, or one is missing or not hashable.
    """
    values = list(map(plain, as_list(groups, name)))
    if len(values) != count:
        raise InvalidArgumentError(
            f"{name} must be as many as sequences; got {len(values)} for {count}. Give one for each."
        )
    numbers: dict[Any, int] = {}
    for index, value in enumerate(values):
        if is_missing(value):
            raise InvalidArgumentError(
                f"{name} must be known; got {value!r} (sequence {index}). Give such sequences groups of their own."
            )
        try:
            numbers.setdefault(value, len(numbers))
        except TypeError as error:
            raise InvalidArgumentError(f"{name} must be hashable; got {error} (sequence {index}).") from None
    return np.array([numbers[value] for value in values], np.int64)


def read_order(order: Any, count: int) -> npt.NDArray[Any]:
    """Return when each of `count` sequences came, as numbers or times that can be compared.

    Raises:
        InvalidArgumentError: They are more or fewer, one is missing, or they are neither numbers nor times.
    """
    values = list(map(plain, as_list(order, "order")))
    if len(values) != count:
        raise InvalidArgumentError(f"order must be as many as sequences; got {len(values)} for {count}.")
    for index, value in enumerate(values):
        if is_missing(value):
            raise InvalidArgumentError(f"order must be known; got {value!r} (sequence {index}).")
    if not all(isinstance(value, int | float) for value in values) and not all(
        isinstance(value, datetime.date | np.datetime64) for value in values
    ):
        raise InvalidArgumentError(f"order must hold numbers, or times; got {values[0]!r}.")
    found = np.array(values)
    return found if found.dtype != object else np.array(values, "datetime64[us]")


def _read(labels: list[Any]) -> list[Any]:
    """Return labels of unusual kinds as Python's own values, or raise."""
    labels = list(map(plain, labels))
    for index, label in enumerate(labels):
        if is_missing(label) or holds(label, lambda one: one is not None and is_missing(one)):
            raise InvalidDataError(
                f"labels must be known; got {label!r} (sequence {index}). Leave such sequences out, or give the "
                "missing label a name."
            )
        if isinstance(label, Enum):
            raise InvalidDataError(
                f"labels must be plain values, which files can hold; got {label!r} (sequence {index}). "
                "Pass label.name or label.value."
            )
        if not is_savable(label):
            _refuse_kind(label, index)
    _refuse_measured(labels)
    _refuse_equal(labels)
    return labels


def _refuse_kind(label: Any, index: int) -> None:
    try:
        hash(label)
    except TypeError:
        raise InvalidDataError(
            f"labels must be hashable; got {type(label).__name__} (sequence {index}). Use strings or integers; where a "
            "sequence may have several labels, pass multi_label=True."
        ) from None
    raise InvalidDataError(
        f"labels must be strings, numbers, bytes, dates, or tuples of these, which files can hold; got {label!r:.80} "
        f"(sequence {index}, {type(label).__name__}). Map the labels to strings."
    )


def _refuse_measured(labels: list[Any]) -> None:
    """Refuse floats of which nearly each is another: numbers that were measured, not classes."""
    if len(labels) < _FEW or not all(type(label) is float for label in labels):
        return
    distinct = len(set(labels))
    if 2 * distinct > len(labels) and (distinct > _MANY or not all(label.is_integer() for label in labels)):
        raise InvalidDataError(
            f"labels must be classes; got {distinct} different floats for {len(labels)} sequences, such as "
            f"{labels[0]!r} (sequence 0): to predict numbers is regression, which this library does not do. Cut them "
            "into a few ranges."
        )


def _refuse_equal(labels: list[Any]) -> None:
    """Refuse labels of two kinds that Python takes for equal, as True and 1 are."""
    first: dict[Any, tuple[Any, int]] = {}
    for index, label in enumerate(labels):
        other, place = first.setdefault(label, (label, index))
        if type(other) is not type(label):
            raise InvalidDataError(
                f"labels must be of one kind; got {other!r} (sequence {place}) and {label!r} (sequence {index}), which "
                "are equal. Use strings."
            )
