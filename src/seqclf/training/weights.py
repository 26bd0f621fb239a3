"""Weights of classes and of single sequences in the loss that is minimised: what users may say, checked."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy.typing as npt
import torch
from torch import Tensor

from seqclf.checks import check_choice
from seqclf.data.dataset import SequenceDataset
from seqclf.errors import InvalidArgumentError
from seqclf.reading.columns import as_mapping, as_numbers

ClassWeight = Literal["balanced"] | Mapping[Any, float] | Sequence[float] | Tensor
SampleWeight = Sequence[float] | npt.NDArray[Any] | Tensor


def class_weights(class_weight: ClassWeight | None, train: SequenceDataset) -> Tensor | None:
    """Return the weight of each class, float64 (C,)."""
    if class_weight is None:
        return None
    if isinstance(class_weight, str):
        check_choice("class_weight", class_weight, ("balanced",))
        if train.multi_label:  # so that having a label counts as much as not having it
            own = train.compact_labels.sum(0).double()
            return (len(train) - own).clamp(min=1) / own.clamp(min=1)
        counts = torch.bincount(train.compact_labels, minlength=len(train.classes)).double()
        return len(train) / (len(train.classes) * counts.clamp(min=1))
    if (by_label := as_mapping(class_weight)) is not None:
        if unknown := [label for label in by_label if label not in train.classes]:
            raise InvalidArgumentError(f"class_weight must name classes of train; got {unknown[0]!r}, which is none.")
        class_weight = [by_label.get(label, 1.0) for label in train.classes]
    weights = as_numbers("class_weight", class_weight)
    if weights.shape != (len(train.classes),) or not bool((weights > 0).all() and weights.isfinite().all()):
        raise InvalidArgumentError(
            f"class_weight must hold {len(train.classes)} finite numbers above 0, one for each class; "
            f"got {weights.tolist()}."
        )
    return weights


def sample_weights(sample_weight: SampleWeight | None, train: SequenceDataset) -> Tensor | None:
    """Return the weight of each sequence, float64 (n,), on the CPU, in parts of the largest.

    Only ratios count; and in parts of the largest, no float type that a model may have makes the largest infinite or 0.
    """
    if sample_weight is None:
        return None
    weights = as_numbers("sample_weight", sample_weight)
    if weights.shape != (len(train),):
        raise InvalidArgumentError(
            f"sample_weight must hold {len(train)} numbers, one for each sequence of train; "
            f"got the shape {tuple(weights.shape)}."
        )
    wrong = torch.nonzero(~(weights.isfinite() & (weights >= 0)))
    if len(wrong):
        index = int(wrong[0])
        raise InvalidArgumentError(
            f"sample_weight must hold finite numbers of at least 0; got {float(weights[index])} (sequence {index})."
        )
    if not bool(weights.any()):
        raise InvalidArgumentError(
            "sample_weight must be above zero for one sequence at least; got weights of zero for all."
        )
    return weights / weights.max()
