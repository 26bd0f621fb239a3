"""The ragged store: sequences of many lengths, end to end in one tensor.

Legend: B sequences in a batch, T steps of the longest of them, F features a step, N steps in all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Places = Sequence[int] | npt.NDArray[np.int64] | Tensor  # from 0 up
Indices = Sequence[int] | npt.NDArray[Any] | Tensor | slice


@dataclass(frozen=True, eq=False)
class Ragged:
    """Sequences stored end to end: number i is `values[offsets[i]:offsets[i + 1]]`.

    Attributes:
        values: All steps: integer ids of shape (N,), or features of shape (N, F).
        offsets: Where each sequence starts, and where the last one ends: (len + 1,), of int32 where that suffices, as
            among short sequences they take more memory than the ids.
        sizes: The lengths of the sequences, in whatever type of integers they are kept: int64, or less in files.
        context: Facts about each whole sequence, float64 (len, K), where there are any.
    """

    values: Tensor
    offsets: Tensor
    sizes: Tensor = None  # type: ignore[assignment]  # set below, where it is not given
    context: Tensor | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "offsets", compact(self.offsets, int(self.offsets[-1]) + 1, (torch.int32,)))
        if self.sizes is None:
            object.__setattr__(self, "sizes", (self.offsets[1:] - self.offsets[:-1]).long())

    @property
    def lengths(self) -> Tensor:
        """The number of steps of each sequence: int64 of shape (len,)."""
        return self.sizes.long()

    @property
    def total(self) -> int:
        """The number of steps of all sequences together."""
        return int(self.offsets[-1])

    @property
    def is_tokens(self) -> bool:
        """Whether the steps are ids of symbols, not vectors of features."""
        return self.values.ndim == 1

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> Tensor:
        return self._as_input(self.values[self.offsets[index] : self.offsets[index + 1]])

    def select(self, indices: Places) -> "Ragged":
        """Return the sequences at `indices`, in that order, as a store of their own."""
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        lengths = self.sizes[chosen].long()
        offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        shift = torch.repeat_interleave(self.offsets[:-1][chosen] - offsets[:-1], lengths)
        context = None if self.context is None else self.context[chosen]
        return Ragged(self.values[shift + torch.arange(len(shift))], offsets, context=context)

    def pad(self, indices: Places) -> tuple[Tensor, Tensor]:
        """Gather the sequences at `indices` into one padded tensor, without Python work for each sequence.

        Returns:
            The steps, (B, T) of int64 or (B, T, F), zero behind the end of each sequence; and the lengths, (B,).
        """
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        starts, lengths = self.offsets[:-1][chosen], self.sizes[chosen].long()
        steps = torch.arange(int(lengths.max()))
        is_padding = steps >= lengths[:, None]  # (B, T)
        positions = (starts[:, None] + steps).masked_fill_(is_padding, 0)
        padded = self._as_input(self.values[positions])  # (B, T) or (B, T, F)
        return padded.masked_fill_(is_padding if self.is_tokens else is_padding[..., None], 0), lengths

    def steps(self, rows: Tensor) -> Tensor:
        """Return the steps that stand at `rows`, as models take them: int64 of shape (N,), or (N, F)."""
        return self._as_input(self.values[rows])

    def _as_input(self, values: Tensor) -> Tensor:
        """Widen compact ids to int64, the type that embeddings and users expect."""
        return values.long() if self.is_tokens else values


def compact(
    numbers: Tensor, size: int, dtypes: Sequence[torch.dtype] = (torch.uint8, torch.int16, torch.int32)
) -> Tensor:
    """Return numbers from 0 to `size` - 1 in the first of some integer types that holds them; else as they are."""
    for dtype in dtypes:
        if size <= torch.iinfo(dtype).max + 1:
            return numbers.to(dtype)
    return numbers


def concatenate(first: Ragged, second: Ragged) -> Ragged:
    """Return the sequences of both, in order."""
    offsets = torch.cat([first.offsets, second.offsets[1:].long() + first.offsets[-1]])
    has_context = first.context is not None and second.context is not None
    context = torch.cat([first.context, second.context]) if has_context else None  # type: ignore[list-item]
    return Ragged(torch.cat([first.values, second.values]), offsets, context=context)
