"""The linear scan: all states of a linear recurrence at once, exact, in time linear in the steps."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["linear_scan"]

_LARGE_STEP = 4096  # elements, from which on a call costs less than what it computes


def linear_scan(keep: Tensor, new: Tensor, state: Tensor | None = None) -> Tensor:
    """Return all h_t = keep_t * h_{t-1} + new_t, from the state before the first step.

    Where a step is small, the steps are cut into blocks of about sqrt(T), and all blocks advance side by side: some
    3 * sqrt(T) calls for T steps. There is no logarithm or division, so neither gates of zero nor long sequences lose
    precision. The gradient is one scan from the end to the start.

    Args:
        keep: The factors, (B, T, H).
        new: What is added, (B, T, H).
        state: The state before the first step, (B, H); None for zeros.

    Returns:
        The states, (B, T, H).

    References:
        The two-level form of the scan for first-order recurrences of Blelloch, Prefix Sums and Their Applications,
        1990, section 1.4.

    Example:
        >>> import torch
        >>> keep, new = torch.full((1, 4, 1), 0.5), torch.ones(1, 4, 1)
        >>> linear_scan(keep, new).flatten()
        tensor([1.0000, 1.5000, 1.7500, 1.8750])
    """
    if state is not None:  # the first step takes it in; gradients flow to it of themselves
        first = torch.addcmul(new[:, :1], keep[:, :1], state[:, None])
        new = torch.cat([first, new[:, 1:]], dim=1)
    states: Tensor = _LinearScan.apply(keep, new)  # type: ignore[no-untyped-call]
    return states


class _LinearScan(torch.autograd.Function):
    """The scan from zero; its gradient by `new` is a scan from the end, d_t = g_t + keep_{t+1} * d_{t+1}."""

    @staticmethod
    def forward(ctx: Any, keep: Tensor, new: Tensor) -> Tensor:
        states = _scan(keep, new)
        ctx.save_for_backward(keep, states)
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        keep, states = ctx.saved_tensors
        by_new = _scan_back(keep, gradient)
        by_keep = _empty_like(keep)
        by_keep[:, :1] = 0
        torch.mul(by_new[:, 1:], states[:, :-1], out=by_keep[:, 1:])
        return by_keep, by_new


def _scan(keep: Tensor, new: Tensor) -> Tensor:
    """Run the recurrence from zero over (B, T, H), whatever the strides.

    Where a step is large, steps follow each other. Otherwise a first pass runs all blocks from zero, side by side, and
    keeps their ends only, which are then carried from block to block; a second pass runs all blocks, side by side, from
    where each really starts.
    """
    rows, steps, size = new.shape
    states = _empty_like(new)
    block = steps if rows * size >= _LARGE_STEP else max(1, round(steps**0.5))
    blocks = steps // block
    whole = blocks * block
    by_block = [torch.unflatten(part[:, :whole], 1, (blocks, block)).unbind(2) for part in (keep, new, states)]
    start = new.new_zeros(rows, 1, size) if blocks == 1 else _starts(*by_block[:2])
    for kept, added, state in zip(*by_block, strict=True):  # each (B, blocks, H)
        start = torch.addcmul(added, kept, start, out=state)
    last = states[:, whole - 1]
    for step in range(whole, steps):
        last = torch.addcmul(new[:, step], keep[:, step], last, out=states[:, step])
    return states


def _scan_back(keep: Tensor, gradient: Tensor) -> Tensor:
    """Run d_t = g_t + keep_{t+1} * d_{t+1} from the end."""
    rows, steps, size = gradient.shape
    if rows * size < _LARGE_STEP:
        following = torch.cat([keep[:, 1:], torch.zeros_like(keep[:, :1])], dim=1)
        return _scan(following.flip(1), gradient.flip(1)).flip(1)
    found = _empty_like(gradient)
    kept, added, out = (part.unbind(1) for part in (keep, gradient, found))
    out[-1].copy_(added[-1])
    for step in range(steps - 2, -1, -1):
        torch.addcmul(added[step], kept[step + 1], out[step + 1], out=out[step])
    return found


def _starts(keep: tuple[Tensor, ...], new: tuple[Tensor, ...]) -> Tensor:
    """Return the state before each block, (B, blocks, H), from the steps of all blocks side by side."""
    end, product = new[0].clone(), keep[0].clone()
    for kept, added in zip(keep[1:], new[1:], strict=True):
        torch.addcmul(added, kept, end, out=end)
        product.mul_(kept)
    starts = torch.zeros_like(end)
    for number in range(1, end.shape[1]):
        torch.addcmul(end[:, number - 1], product[:, number - 1], starts[:, number - 1], out=starts[:, number])
    return starts


def _empty_like(steps: Tensor) -> Tensor:
    """Return an empty tensor of the same shape (B, T, H) in which each step lies in one piece."""
    rows, count, size = steps.shape
    return steps.new_empty(count, rows, size).transpose(0, 1)
