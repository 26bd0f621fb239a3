"""Batch, and the two functions that collate samples into one: padded or packed.

Legend: B sequences in a batch, T steps of the longest of them, F features a step.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_sequence, pad_sequence
from typing_extensions import Self

from seqclf.errors import InvalidDataError
from seqclf.reading.plain import plain
from seqclf.reading.sequences import read_encoded

__all__ = ["Batch", "pack_collate", "pad_collate"]

Sample = tuple[Any, Any]


@dataclass(frozen=True, eq=False)
class Batch:
    """Sequences, their lengths and their labels, in one order.

    Attributes:
        inputs: The padded steps, (B, T) of int64 or (B, T, F) of floats; or a `PackedSequence` of them.
        lengths: The true lengths, int64 of shape (B,), always on the CPU, where torch wants them.
        labels: The class indices, int64 of shape (B,), or None.
        indices: Where the sequences stand in their dataset, int64 of shape (B,), on the CPU; None where that is not
            known.
        context: Facts about each whole sequence, (B, K), for a model that takes them; None where there are none.

    Example:
        >>> batch = pad_collate([([5, 6, 7], 0), ([8], 1)])
        >>> len(batch), batch.lengths
        (2, tensor([3, 1]))
        >>> batch.to("cpu").inputs
        tensor([[5, 6, 7],
                [8, 0, 0]])
    """

    inputs: Tensor | PackedSequence
    lengths: Tensor
    labels: Tensor | None = None
    indices: Tensor | None = None
    context: Tensor | None = None

    def __len__(self) -> int:
        return len(self.lengths)

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Self:
        """Return the batch with inputs and labels on `device`; the lengths stay on the CPU."""
        device = torch.device(device)
        labels, context = (
            None if one is None else one.to(device, non_blocking=non_blocking) for one in (self.labels, self.context)
        )
        inputs: Any = self.inputs  # both kinds move alike, but torch's stubs know only dtypes for packed ones
        return replace(self, inputs=inputs.to(device, non_blocking=non_blocking), labels=labels, context=context)

    def pin_memory(self) -> Self:
        """Return the batch with inputs and labels in page-locked memory; a pinning `DataLoader` calls this."""
        labels, context = (None if one is None else one.pin_memory() for one in (self.labels, self.context))
        return replace(self, inputs=self.inputs.pin_memory(), labels=labels, context=context)

    def __repr__(self) -> str:
        steps, kind = (self.inputs, "padded") if isinstance(self.inputs, Tensor) else (self.inputs.data, "packed")
        shape = f"{kind} {tuple(steps.shape)} of {str(steps.dtype).removeprefix('torch.')} on {steps.device}"
        lengths = f"lengths {int(self.lengths.min())}-{int(self.lengths.max())}" if len(self) else "no lengths"
        return f"Batch({len(self)} sequences, {shape}, {lengths}{'' if self.labels is None else ', with labels'})"


def pad_collate(samples: Sequence[Sample], *, allow_empty: bool = False) -> Batch:
    """Collate (sequence, label) pairs into a padded `Batch`, as the `collate_fn` of any torch `DataLoader`.

    Args:
        samples: Pairs of a sequence, of shape (T,) with integer ids or (T, F) with features, and a class index, or 0
            and 1 for each class where there may be several; or, with context, triples that have it last. The order is
            kept. The padding is zero, which nothing in this library ever looks at.
        allow_empty: Whether sequences may have no step, for a model with `empty="zero"`.

    Raises:
        InvalidDataError: There is no sample; or one is not a pair, is empty, has another width or kind than the first,
            or a label that is not an integer. The message gives its index.

    Example:
        >>> import torch
        >>> batch = pad_collate([(torch.tensor([3, 4]), 1), (torch.tensor([5, 6, 7]), 0)])
        >>> batch.inputs
        tensor([[3, 4, 0],
                [5, 6, 7]])
        >>> batch.labels
        tensor([1, 0])
    """
    sequences, lengths, labels, context = _check_samples(samples, allow_empty)
    return Batch(pad_sequence(sequences, batch_first=True), lengths, labels, context=context)


def pack_collate(samples: Sequence[Sample]) -> Batch:
    """Collate (sequence, label) pairs into a `Batch` whose inputs are a `PackedSequence`.

    The samples need not be sorted; lengths, labels and all that a model makes of the batch keep their order.

    Args:
        samples: As for `pad_collate`.

    Raises:
        InvalidDataError: As `pad_collate`.

    Example:
        >>> import torch
        >>> batch = pack_collate([(torch.tensor([3, 4]), 1), (torch.tensor([5, 6, 7]), 0)])
        >>> batch.inputs.data, batch.inputs.batch_sizes
        (tensor([5, 3, 6, 4, 7]), tensor([2, 2, 1]))
        >>> batch.lengths
        tensor([2, 3])
    """
    sequences, lengths, labels, context = _check_samples(samples)
    return Batch(pack_sequence(sequences, enforce_sorted=False), lengths, labels, context=context)


def _check_samples(
    samples: Sequence[Sample], allow_empty: bool = False
) -> tuple[list[Tensor], Tensor, Tensor, Tensor | None]:
    if len(samples) == 0:
        raise InvalidDataError(
            "samples must hold at least one (sequence, label) pair; got none. Leave out empty batches."
        )
    sequences: list[Tensor] = []
    labels: list[Any] = []
    context: list[Tensor] = []
    width = 3 if _has_context(samples[0]) else 2
    for index, sample in enumerate(samples):
        if not isinstance(sample, tuple | list) or len(sample) != width:
            raise InvalidDataError(
                f"samples must be (sequence, label) pairs; got {type(sample).__name__} (sequence {index}). "
                "Use a dataset that returns pairs, such as SequenceDataset."
            )
        sequences.append(_check_sequence(sample[0], index, sequences[0] if sequences else None, allow_empty))
        labels.append(_check_label(sample[1], index))
        context.extend(map(torch.as_tensor, sample[2:]))
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    return sequences, lengths, torch.tensor(labels), torch.stack(context) if context else None


def _check_sequence(sequence: Any, index: int, first: Tensor | None, allow_empty: bool) -> Tensor:
    tensor = read_encoded(sequence, index)
    if len(tensor) == 0 and not allow_empty:
        raise InvalidDataError(
            f"sequences must not be empty; got length 0 (sequence {index}). Remove it; or pass allow_empty=True to "
            "pad_collate, and empty='zero' to the model."
        )
    if first is not None and (tensor.shape[1:] != first.shape[1:] or tensor.dtype != first.dtype):
        raise InvalidDataError(
            f"sequences must be alike in width and type; got {tuple(first.shape)} {first.dtype} (sequence 0) and "
            f"{tuple(tensor.shape)} {tensor.dtype} (sequence {index}). Give each sequence the same features."
        )
    return tensor


def _has_context(sample: Any) -> bool:
    """Tell whether a sample is a triple, whose last part is a row of facts."""
    is_triple = isinstance(sample, tuple | list) and len(sample) == 3
    return is_triple and isinstance(sample[2], Tensor) and sample[2].ndim == 1 and sample[2].is_floating_point()


def _check_label(label: Any, index: int) -> int | list[int]:
    if isinstance(label, Tensor) and label.ndim == 1 and len(label) > 1 and bool(((label == 0) | (label == 1)).all()):
        return [int(one) for one in label.tolist()]
    number = plain(label)
    if isinstance(number, bool) or not isinstance(number, int):
        raise InvalidDataError(
            f"labels must be integer class indices; got {label!r} (sequence {index}). "
            "SequenceDataset turns labels of other kinds into indices."
        )
    return number
