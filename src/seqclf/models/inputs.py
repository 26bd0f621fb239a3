"""The edge of the model: what a forward call may be given, checked once."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from seqclf.errors import InvalidArgumentError, InvalidDataError


def check_inputs(inputs: Any, lengths: Any, input_size: int | None) -> Tensor:
    """Check what came to `forward` and return the lengths, int64 of shape (B,) on the CPU.

    Only shapes, types and the lengths are looked at, never the values of `inputs`.

    Args:
        inputs: Padded steps, (B, T) or (B, T, F), or a `PackedSequence` of them.
        lengths: The true lengths. A `PackedSequence` knows its own, so they may be None.
        input_size: The number of features F of each step; None for integer ids.
    """
    if isinstance(inputs, PackedSequence):
        _check_steps(inputs.data, "packed inputs", "N", input_size)
        known = packed_lengths(inputs)
        if lengths is not None and not torch.equal(_length_tensor(lengths), known):
            raise InvalidDataError(
                f"lengths must be those of the packed sequence, {_short(known)}; got {_short(lengths)}. Leave them out."
            )
        return known
    if not isinstance(inputs, Tensor):
        raise InvalidArgumentError(
            f"inputs must be a tensor or a PackedSequence; got {type(inputs).__name__}. "
            "For raw sequences use predict, or make a batch with pad_collate."
        )
    _check_steps(inputs, "padded inputs", "B, T", input_size)
    if lengths is None:
        raise InvalidArgumentError(
            "lengths must be given with padded inputs; got None. Pass batch.lengths, so that padding is never read."
        )
    return _check_lengths(_length_tensor(lengths), inputs.shape[0], inputs.shape[1])


def packed_lengths(packed: PackedSequence) -> Tensor:
    """Return the lengths of a packed batch in its original order: int64 of shape (B,) on the CPU."""
    rows = torch.arange(int(packed.batch_sizes[0]))
    lengths = (packed.batch_sizes[:, None] > rows).sum(0)
    return lengths if packed.unsorted_indices is None else lengths[packed.unsorted_indices.cpu()]


def _check_steps(steps: Tensor, name: str, shape: str, input_size: int | None) -> None:
    dimensions = shape.count(",") + 1
    if input_size is None:
        if steps.ndim != dimensions or steps.is_floating_point() or steps.is_complex() or steps.dtype == torch.bool:
            raise InvalidDataError(
                f"{name} must be integer ids of shape ({shape}); got {steps.dtype} of shape {tuple(steps.shape)}. "
                "Give input_size instead of vocab_size to the model for features."
            )
    elif steps.ndim != dimensions + 1 or not steps.is_floating_point() or steps.shape[-1] != input_size:
        raise InvalidDataError(
            f"{name} must be floats of shape ({shape}, {input_size}); got {steps.dtype} of shape {tuple(steps.shape)}. "
            "The last dimension holds the features of one step."
        )


def _length_tensor(lengths: Any) -> Tensor:
    tensor = torch.as_tensor(lengths)
    if tensor.ndim != 1 or tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool:
        raise InvalidDataError(
            f"lengths must be integers of shape (B,); got {tensor.dtype} of shape {tuple(tensor.shape)}. "
            "Pass batch.lengths."
        )
    return tensor.to("cpu", torch.int64)


def _check_lengths(lengths: Tensor, rows: int, steps: int) -> Tensor:
    if len(lengths) != rows or rows == 0:
        raise InvalidDataError(
            f"lengths must be as many as the rows of inputs, at least one; got {len(lengths)} lengths for {rows} rows. "
            "Inputs are batch first: (B, T)."
        )
    if int(lengths.min()) < 1 or int(lengths.max()) > steps:
        row = int(torch.nonzero((lengths < 1) | (lengths > steps))[0])
        raise InvalidDataError(
            f"lengths must be from 1 to the number of steps, {steps}; got {int(lengths[row])} (row {row}). "
            "Pass the true length of each sequence; remove empty ones."
        )
    return lengths


def _short(lengths: Any) -> str:
    numbers = torch.as_tensor(lengths).tolist()
    return f"[{', '.join(map(str, numbers[:8]))}{', …' if len(numbers) > 8 else ''}]"
