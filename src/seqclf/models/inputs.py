"""The edge of the model: what it may be made for and what a forward call may be given, checked once."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from seqclf.checks import check_int
from seqclf.choices import EmptyPolicy
from seqclf.engine.layout import packed_lengths
from seqclf.errors import InvalidArgumentError, InvalidDataError


def check_width(vocab_size: int | None, input_size: int | None) -> tuple[int | None, int | None]:
    """Return the number of ids, or of features, whichever a model is made for; the other is None."""
    if (vocab_size is None) == (input_size is None):
        raise InvalidArgumentError(
            f"exactly one of vocab_size and input_size must be given; got {vocab_size!r} and {input_size!r}. "
            "Give vocab_size for symbols, input_size for float features."
        )
    if vocab_size is not None:
        return check_int("vocab_size", vocab_size, minimum=2), None
    return None, check_int("input_size", input_size)


def check_inputs(inputs: Any, lengths: Any, input_size: int | None, empty: EmptyPolicy) -> Tensor:
    """Check what came to `forward` and return the lengths, int64 of shape (B,) on the CPU.

    Only shapes, types and the lengths are looked at, never the values of `inputs`.

    Args:
        inputs: Padded steps, (B, T) or (B, T, F), or a `PackedSequence` of them.
        lengths: The true lengths. A `PackedSequence` knows its own, so they may be None.
        input_size: The number of features F of each step; None for integer ids.
        empty: The policy for empty sequences; only with "zero" may a length be 0.
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
    return _check_lengths(_length_tensor(lengths), inputs.shape[0], inputs.shape[1], 0 if empty == "zero" else 1)


def check_keys(keys: Any, rows: int) -> Tensor | None:
    """Return the keys of a batch of `rows` sequences, int64; raise where they are none."""
    if keys is None:
        return None
    if not isinstance(keys, Tensor) or keys.shape != (rows,) or keys.dtype != torch.int64:
        got = f"{keys.dtype} of shape {tuple(keys.shape)}" if isinstance(keys, Tensor) else type(keys).__name__
        raise InvalidArgumentError(
            f"keys must be int64 of shape ({rows},), one for each sequence; got {got}. "
            "Pass, for instance, batch.indices."
        )
    return keys


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


def _check_lengths(lengths: Tensor, rows: int, steps: int, least: int) -> Tensor:
    if len(lengths) != rows or rows == 0:
        raise InvalidDataError(
            f"lengths must be as many as the rows of inputs, at least one; got {len(lengths)} lengths for {rows} rows. "
            "Inputs are batch first: (B, T)."
        )
    if int(lengths.min()) < least or int(lengths.max()) > steps:
        row = int(torch.nonzero((lengths < least) | (lengths > steps))[0])
        raise InvalidDataError(
            f"lengths must be from {least} to the number of steps, {steps}; got {int(lengths[row])} (row {row}). "
            "Pass the true length of each sequence; remove empty ones, or make the model with empty='zero'."
        )
    return lengths


def _short(lengths: Any) -> str:
    numbers = torch.as_tensor(lengths).tolist()
    return f"[{', '.join(map(str, numbers[:8]))}{', …' if len(numbers) > 8 else ''}]"
