"""Poolings: from the states of all steps to one vector for each sequence, never reading a padding position.

Legend: B sequences, T steps of the longest, D = directions * H features of a state.

`native_name` is what the compiled kernels call a pooling that they do themselves; a subclass is not one of these.

`forward` pools whole sequences, and `prefixes` every prefix of each, in one pass: it takes states (B, T, D) and what it
returned for the steps before (None at the start), and returns the pooled prefixes (B, T, S) and what to pass on.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from seqclf.cells.scan import linear_scan
from seqclf.choices import PoolingName
from seqclf.engine.layout import last_states


class LastPooling(nn.Module):
    """The state after the last real step; of a backward half, the state after it has read back to the first step."""

    native_name = "last"

    def __init__(self, bidirectional: bool) -> None:
        super().__init__()
        self.bidirectional = bidirectional

    def forward(self, states: Tensor, lengths: Tensor) -> Tensor:
        """Pool (B, T, D) to (B, D)."""
        return last_states(states, lengths, bidirectional=self.bidirectional)

    def prefixes(self, states: Tensor, carry: Any = None) -> tuple[Tensor, Any]:
        """Pool each prefix: its last state."""
        return states, carry


class MeanPooling(nn.Module):
    """The mean over the real steps."""

    native_name = "mean"

    def forward(self, states: Tensor, lengths: Tensor) -> Tensor:
        """Pool (B, T, D) to (B, D)."""
        return zero_padding(states, lengths).sum(1) / lengths.to(states.device)[:, None]

    def prefixes(self, states: Tensor, carry: tuple[Tensor, int] | None = None) -> tuple[Tensor, tuple[Tensor, int]]:
        """Pool each prefix; the carry is the sum of the states so far, and their number."""
        total, count = carry or (torch.zeros_like(states[:, 0]), 0)
        sums = total[:, None] + states.cumsum(1)
        counts = torch.arange(count + 1, count + 1 + states.shape[1], device=states.device)
        return sums / counts[:, None], (sums[:, -1], count + states.shape[1])


class MaxPooling(nn.Module):
    """The largest value of each feature over the real steps; equal largest steps share the gradient."""

    native_name = "max"

    def forward(self, states: Tensor, lengths: Tensor) -> Tensor:
        """Pool (B, T, D) to (B, D)."""
        return states.masked_fill(_is_padding(states, lengths)[..., None], -torch.inf).amax(1)

    def prefixes(self, states: Tensor, carry: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Pool each prefix; the carry is the largest values so far."""
        largest = states.cummax(1).values
        largest = largest if carry is None else torch.maximum(largest, carry[:, None])
        return largest, largest[:, -1]


class AttentionPooling(nn.Module):
    """A weighted mean over the real steps, with weights softmax(v · tanh(W state + b)) that are learned.

    References:
        The word attention of Yang et al., Hierarchical Attention Networks for Document Classification, NAACL 2016,
        equations 5 to 7.
    """

    native_name = "attention"

    def __init__(self, size: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(size, size)
        self.context = nn.Linear(size, 1, bias=False)

    def forward(self, states: Tensor, lengths: Tensor) -> Tensor:
        """Pool (B, T, D) to (B, D)."""
        states = zero_padding(states, lengths)
        weights = self._scores(states).masked_fill(_is_padding(states, lengths), -torch.inf).softmax(1)
        return (weights[..., None] * states).sum(1)

    def prefixes(
        self, states: Tensor, carry: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Pool each prefix; the carry is the pooled states so far, and the log of the sum of their exp(score).

        With L_t that log, the pooled states are p_t = exp(L_{t-1} - L_t) p_{t-1} + exp(score_t - L_t) state_t: a linear
        recurrence whose factors lie between 0 and 1, so no prefix is lost beside a later, larger score.
        """
        scores = self._scores(states)
        pooled, before = carry or (None, scores.new_full((len(scores), 1), -torch.inf))
        logs = torch.cat([before, scores], dim=1).logcumsumexp(1)  # (B, 1 + T)
        keep = (logs[:, :-1] - logs[:, 1:]).exp()[..., None].expand(states.shape)
        prefixes = linear_scan(keep, (scores - logs[:, 1:]).exp()[..., None] * states, pooled)
        return prefixes, (prefixes[:, -1], logs[:, -1:])

    def _scores(self, states: Tensor) -> Tensor:
        scores: Tensor = self.context(torch.tanh(self.hidden(states)))[..., 0]
        return scores  # (B, T)


class SeveralPoolings(nn.Module):
    """The results of several poolings side by side."""

    def __init__(self, poolings: list[nn.Module], size: int) -> None:
        super().__init__()
        self.poolings = nn.ModuleList(poolings)
        self.output_size = size * len(poolings)

    def forward(self, states: Tensor, lengths: Tensor) -> Tensor:
        """Pool (B, T, D) to (B, output_size)."""
        return torch.cat([pooling(states, lengths) for pooling in self.poolings], dim=1)

    def prefixes(self, states: Tensor, carry: list[Any] | None = None) -> tuple[Tensor, list[Any]]:
        """Pool each prefix; the carry holds those of the poolings."""
        carries = carry or [None] * len(self.poolings)
        poolings: Any = self.poolings
        results = [pooling.prefixes(states, one) for pooling, one in zip(poolings, carries, strict=True)]
        return torch.cat([pooled for pooled, _ in results], dim=2), [one for _, one in results]


def native_poolings(pooling: nn.Module) -> tuple[tuple[str, nn.Module], ...]:
    """Return names and modules of a model's poolings as the compiled kernels know them; none where they do not."""
    modules = list(pooling.poolings) if type(pooling) is SeveralPoolings else [pooling]
    names: list[str] = [vars(type(module)).get("native_name", "") for module in modules]
    return tuple(zip(names, modules, strict=True)) if all(names) else ()


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
