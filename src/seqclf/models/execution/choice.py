"""Which way to run one of torch's encoders, where the caller leaves it open: the cheapest by measured costs.

What a way costs is a sum: of its calls, steps, features, multiplications and readings of weights. The
coefficients lie in `costs.json`; `python -m benchmarks.costs` measures and fits them. They differ from machine to
machine, but only their ratios count here.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from seqclf.models.encoder import CellEncoder

ExecutionName = Literal["auto", "padded", "packed", "fused"]
WayName = Literal["padded", "packed", "fused"]
KernelName = Literal["padded", "packed", "level", "fused", "single"]

WAYS: tuple[WayName, ...] = ("fused", "padded", "packed")
KERNELS: tuple[KernelName, ...] = (*WAYS, "level", "single")


@dataclass(frozen=True)
class Shape:
    """The size of a batch.

    Attributes:
        batch: How many sequences.
        longest: How many steps the longest has.
        rows: How many steps all have together.
    """

    batch: int
    longest: int
    rows: int

    @property
    def is_level(self) -> bool:
        """Whether all sequences have the same length."""
        return self.rows == self.batch * self.longest


@dataclass(frozen=True)
class Decision:
    """The way that a batch takes, and why.

    Attributes:
        way: "fused", "padded" or "packed"; or "steps", one step after the other.
        reason: Why.
        costs: The milliseconds that each way was estimated to take, where that decided.
    """

    way: WayName | Literal["steps"]
    reason: str
    costs: Mapping[WayName, float] = field(default_factory=dict)


def decide(
    encoder: nn.RNNBase | CellEncoder,
    shape: Shape,
    execution: ExecutionName,
    *,
    drops_states: bool,
    truncate_steps: int | None,
    directly: bool = False,
) -> Decision:
    """Return the way that a batch of some shape takes through an encoder.

    Args:
        encoder: The encoder.
        shape: The shape of the batch.
        execution: What the caller asked for.
        drops_states: Whether parts of the state are dropped.
        truncate_steps: Between windows of so many steps no gradient flows.
        directly: Whether the fused way would go without autograd.
    """
    if isinstance(encoder, CellEncoder) or drops_states:
        return Decision("steps", "other cells, and dropout of the state, go one step after the other")
    if truncate_steps is not None:
        return Decision("padded", "only there are gradients cut between windows of steps")
    if execution != "auto":
        return Decision(execution, "it was asked for")
    return _choose(encoder, shape, directly)


def _choose(encoder: nn.RNNBase, shape: Shape, directly: bool) -> Decision:
    if encoder.weight_hh_l0.device.type != "cpu":  # nothing was measured; packed, two directions stay in one call
        return Decision("packed" if encoder.bidirectional else "padded", "it suits cuDNN")
    costs = estimate(encoder, shape, training=torch.is_grad_enabled(), directly=directly)
    if not fits_fused(encoder):
        del costs["fused"]
        return Decision(_least(costs), "hooks and other types of floats are left to torch, and it costs least", costs)
    return Decision(_least(costs), "by measurement it costs least", costs)


def _least(costs: Mapping[WayName, float]) -> WayName:
    return min(costs, key=lambda way: costs[way])


def fits_fused(encoder: nn.RNNBase) -> bool:
    """Tell whether the fused way does all that the encoder itself would."""
    hooks = (encoder._forward_hooks, encoder._forward_pre_hooks, encoder._backward_hooks, encoder._backward_pre_hooks)
    return encoder.weight_hh_l0.dtype in (torch.float32, torch.float64) and not any(hooks)


def estimate(encoder: nn.RNNBase, shape: Shape, *, training: bool, directly: bool = False) -> dict[WayName, float]:
    """Return the milliseconds that each way would take through an encoder, on the machine where they were measured."""
    mode = "RNN_TANH" if encoder.mode == "RNN_RELU" else encoder.mode
    passes = encoder.num_layers * (2 if encoder.bidirectional else 1)
    found = dict(_estimate(mode, training, encoder.input_size, encoder.hidden_size, shape))
    for way in found:
        found[way] *= passes
    if directly:
        found["fused"] -= _costs()["direct"]
    return found


@lru_cache(maxsize=4096)  # many batches have the same shape
def _estimate(mode: str, training: bool, input_size: int, size: int, shape: Shape) -> dict[WayName, float]:
    costs = _costs()["ways"][f"{mode} {'training' if training else 'inference'}"]
    return {way: cost(costs[kernel_of(way, shape)], features(way, shape, input_size, size)) for way in WAYS}


def kernel_of(way: WayName, shape: Shape) -> KernelName:
    """Return whose costs count: some ways run batches of one, or those in which all have one length, otherwise."""
    if way == "fused":
        return "single" if shape.batch == 1 else way
    return "level" if way == "packed" and shape.is_level else way


def cost(coefficients: Sequence[float], counts: Sequence[float]) -> float:
    """Return what so many calls, steps and so on cost."""
    return sum(one * count for one, count in zip(coefficients, counts, strict=True))


def features(way: WayName, shape: Shape, input_size: int, size: int) -> list[float]:
    """Return what a way does for a batch: calls, steps, and in millions features, multiplications and weights read."""
    rows = shape.longest * shape.batch if way == "padded" else shape.rows
    products = rows * size * input_size + (rows - shape.batch) * size * size  # at the first step there is no state
    numbers = (rows * size, products, (shape.longest - 1) * size * size)
    return [1.0, float(shape.longest), *(number / 1e6 for number in numbers)]


@cache
def _costs() -> Any:
    return json.loads((Path(__file__).parent / "costs.json").read_text(encoding="utf-8"))
