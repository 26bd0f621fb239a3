"""Which step of which sequence stands where: in a padded tensor, and in a packed one."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence


@dataclass(frozen=True, eq=False)
class Positions:
    """The sequence and the step that each row of a tensor of steps belongs to; the two broadcast with each other.

    Attributes:
        sequence: The index of the sequence in its batch: (B, 1) for padded steps, (N,) for packed ones. On the CPU.
        step: The number of the step, from 0: (1, T) or (N,). On the CPU.
    """

    sequence: Tensor
    step: Tensor

    @classmethod
    def of_padded(cls, rows: int, steps: int) -> "Positions":
        """Return the positions of (B, T) padded steps."""
        return cls(torch.arange(rows)[:, None], torch.arange(steps)[None])

    @classmethod
    def of_packed(cls, packed: PackedSequence) -> "Positions":
        """Return the positions of the N rows of a packed batch."""
        steps, ranks = packed_grid(packed.batch_sizes)
        return cls(ranks if packed.sorted_indices is None else packed.sorted_indices.cpu()[ranks], steps)


def packed_grid(batch_sizes: Tensor) -> tuple[Tensor, Tensor]:
    """Return the step of each of the N packed rows, and the rank of its sequence, longest first: both int64 (N,)."""
    steps = torch.arange(len(batch_sizes)).repeat_interleave(batch_sizes)
    starts = batch_sizes.cumsum(0) - batch_sizes
    return steps, torch.arange(len(steps)) - starts[steps]


def packed_lengths(packed: PackedSequence) -> Tensor:
    """Return the lengths of a packed batch in its original order: int64 of shape (B,) on the CPU."""
    lengths = torch.bincount(packed_grid(packed.batch_sizes)[1])
    return lengths if packed.unsorted_indices is None else lengths[packed.unsorted_indices.cpu()]
