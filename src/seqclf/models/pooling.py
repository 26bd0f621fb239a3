"""Poolings: from the states of all steps to one vector for each sequence, never reading a padding position.

Legend: B sequences, T steps of the longest, D = directions * H features of a state.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

PoolingName = Literal["last", "mean", "max", "attention"]


class LastPooling(nn.Module):
    """The state after the last real step; of a backward half, the state after it has read back to the first step."""

    def __init__(self, bidirectional: bool) -> None:
        super().__init__()
        self.bidirectional = bidirectional

    def forward(self, states: Tensor, lengths: Tensor) -> Tensor:
        """Pool (B, T, D) to (B, D)."""
        rows, steps, size = states.shape
        flat = states.reshape(rows * steps, size)
        first = torch.arange(0, rows * steps, steps)
        last = flat.index_select(0, (first + lengths - 1).to(states.device))
        if not self.bidirectional:
            return last
        half = size // 2
        return torch.cat([last[:, :half], states[:, 0, half:]], dim=1)


class MeanPooling(nn.Module):
    """The mean over the real steps."""

    def forward(self, states: Tensor, lengths: Tensor) -> Tensor:
        """Pool (B, T, D) to (B, D)."""
        return zero_padding(states, lengths).sum(1) / lengths.to(states.device)[:, None]


class MaxPooling(nn.Module):
    """The largest value of each feature over the real steps; equal largest steps share the gradient."""

    def forward(self, states: Tensor, lengths: Tensor) -> Tensor:
        """Pool (B, T, D) to (B, D)."""
        return states.masked_fill(_is_padding(states, lengths)[..., None], -torch.inf).amax(1)


class AttentionPooling(nn.Module):
    """A weighted mean over the real steps, with weights softmax(v · tanh(W state + b)) that are learned.

    Source:
        The word attention of Yang et al., Hierarchical Attention Networks for Document Classification, NAACL 2016,
        equations 5 to 7.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(size, size)
        self.context = nn.Linear(size, 1, bias=False)

    def forward(self, states: Tensor, lengths: Tensor) -> Tensor:
        """Pool (B, T, D) to (B, D)."""
        states = zero_padding(states, lengths)
        scores: Tensor = self.context(torch.tanh(self.hidden(states)))[..., 0]  # (B, T)
        weights = scores.masked_fill(_is_padding(states, lengths), -torch.inf).softmax(1)
        pooled: Tensor = (weights[..., None] * states).sum(1)
        return pooled


class SeveralPoolings(nn.Module):
    """The results of several poolings side by side."""

    def __init__(self, poolings: list[nn.Module], size: int) -> None:
        super().__init__()
        self.poolings = nn.ModuleList(poolings)
        self.output_size = size * len(poolings)

    def forward(self, states: Tensor, lengths: Tensor) -> Tensor:
        """Pool (B, T, D) to (B, output_size)."""
        return torch.cat([pooling(states, lengths) for pooling in self.poolings], dim=1)


def build_pooling(names: Sequence[PoolingName], size: int, bidirectional: bool) -> nn.Module:
    """Make the poolings called `names` for states of `size` features: one, or several side by side."""
    poolings = [_build_one(name, size, bidirectional) for name in names]
    return poolings[0] if len(poolings) == 1 else SeveralPoolings(poolings, size)


def _build_one(name: PoolingName, size: int, bidirectional: bool) -> nn.Module:
    if name == "last":
        return LastPooling(bidirectional)
    if name == "mean":
        return MeanPooling()
    if name == "max":
        return MaxPooling()
    return AttentionPooling(size)


def zero_padding(states: Tensor, lengths: Tensor) -> Tensor:
    """Return `states` (B, T, D) with zeros behind the end of each sequence."""
    return states.masked_fill(_is_padding(states, lengths)[..., None], 0)


def _is_padding(states: Tensor, lengths: Tensor) -> Tensor:
    return (torch.arange(states.shape[1]) >= lengths[:, None]).to(states.device)  # (B, T)
