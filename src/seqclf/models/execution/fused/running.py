"""The recurrences without a gradient, one step at a time: each keeps nothing but what the next step needs.

A stepper takes the inputs' part of the gates of n sequences, (n, gates * H), which it overwrites, and their states
before (None at the first step), and writes the states after: the output first, for an LSTM the memory second. The
output may be written where the output before stands; a memory may not. The equations are those of the passes with a
gradient.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from seqclf.models.execution.fused.arena import scaled
from seqclf.models.execution.fused.gru import GRU
from seqclf.models.execution.fused.lstm import LSTM
from seqclf.models.execution.fused.rnn import ReluRNN, TanhRNN
from seqclf.models.execution.weights import layer_weights

States = Sequence[Tensor]


class Stepper(ABC):
    """What all of them have.

    Attributes:
        parts: Of how many tensors the state of a sequence consists.
    """

    parts: ClassVar[int] = 1

    def __init__(self, kind: Any, weight_hh: Tensor, bias_hh: Tensor) -> None:
        self.size = weight_hh.shape[1]
        self.weight = scaled(weight_hh, kind.tangent(self.size)).t()
        self.bias = scaled(bias_hh, kind.tangent(self.size))
        self.one, self.minus_two = weight_hh.new_tensor(1.0), weight_hh.new_tensor(-2.0)

    def new_states(self, count: int) -> list[Tensor]:
        """Return memory for the states of so many sequences."""
        return [self.weight.new_empty(count, self.size) for _ in range(self.parts)]

    @abstractmethod
    def __call__(self, x: Tensor, before: States | None, after: States) -> None:
        """Take one step."""


class LSTMStepper(Stepper):
    """A step of an LSTM."""

    parts = 2

    def __call__(self, x: Tensor, before: States | None, after: States) -> None:
        """Take one step."""
        h, c = after
        if before is not None:
            x.addmm_(before[0], self.weight)
        i, f, r, o = x.sigmoid_().chunk(4, dim=1)
        torch.addcmul(i, i, r, value=-2, out=c)
        if before is not None:
            c.addcmul_(f, before[1])
        p = torch.mul(c, self.minus_two, out=r).sigmoid_()  # r is not needed any more
        torch.addcmul(o, o, p, value=-2, out=h)


class GRUStepper(Stepper):
    """A step of a GRU."""

    def __init__(self, kind: Any, weight_hh: Tensor, bias_hh: Tensor) -> None:
        super().__init__(kind, weight_hh, bias_hh)
        self.of_rz, self.of_n = self.weight[:, : 2 * self.size], self.weight[:, 2 * self.size :]
        self.bias = self.bias[2 * self.size :]

    def __call__(self, x: Tensor, before: States | None, after: States) -> None:
        """Take one step."""
        (h,) = after
        rz, n = x[:, : 2 * self.size], x[:, 2 * self.size :]
        product = self.bias
        if before is not None:
            rz.addmm_(before[0], self.of_rz)
            product = torch.addmm(self.bias, before[0], self.of_n)
        r, z = rz.sigmoid_().chunk(2, dim=1)
        n.addcmul_(r, product).sigmoid_()
        torch.add(self.one, n, alpha=-2, out=n)
        if before is not None:
            torch.lerp(n, before[0], z, out=h)
        else:
            torch.addcmul(n, n, z, value=-1, out=h)


class TanhRNNStepper(Stepper):
    """A step of an RNN with tanh."""

    def __call__(self, x: Tensor, before: States | None, after: States) -> None:
        """Take one step."""
        if before is not None:
            x.addmm_(before[0], self.weight)
        torch.add(self.one, x.sigmoid_(), alpha=-2, out=after[0])


class ReluRNNStepper(Stepper):
    """A step of an RNN with relu."""

    def __call__(self, x: Tensor, before: States | None, after: States) -> None:
        """Take one step."""
        if before is not None:
            x.addmm_(before[0], self.weight)
        torch.clamp(x, min=0, out=after[0])


KINDS: dict[str, Any] = {"LSTM": LSTM, "GRU": GRU, "RNN_TANH": TanhRNN, "RNN_RELU": ReluRNN}
STEPPERS: dict[Any, type[Stepper]] = {
    LSTM: LSTMStepper,
    GRU: GRUStepper,
    TanhRNN: TanhRNNStepper,
    ReluRNN: ReluRNNStepper,
}


class RunningLayers:
    """All layers of an encoder, in one direction, over ids: a step at a time and without a gradient.

    The weights are copied, and the first layer's part that comes from the inputs is computed here, for every symbol.

    Args:
        encoder: One of torch's encoders; of two directions it may have but one layer.
        vectors: What stands for ids, (V, E).
        direction: 0 for forwards, 1 for backwards.
    """

    def __init__(self, encoder: nn.RNNBase, vectors: Tensor, direction: int = 0) -> None:
        kind = KINDS[encoder.mode]
        self.size = encoder.hidden_size
        self.steppers: list[Stepper] = []
        self.above: list[tuple[Tensor, Tensor]] = []  # of the second layer and those on top: bias and weight
        for layer in range(encoder.num_layers):
            weight_ih, weight_hh, bias_ih, bias_hh = layer_weights(encoder, layer, direction)
            self.steppers.append(STEPPERS[kind](kind, weight_hh, bias_hh))
            if not layer:
                self.table = kind.project(vectors, weight_ih, bias_ih, bias_hh)
                continue
            bias = kind.project(weight_ih.new_zeros(1, weight_ih.shape[1]), weight_ih, bias_ih, bias_hh)
            self.above.append((bias, scaled(weight_ih, kind.tangent(self.size)).t()))

    def new_states(self, count: int) -> list[Tensor]:
        """Return memory for the states of all layers of so many sequences; the output of the last layer comes first."""
        return [part for stepper in reversed(self.steppers) for part in stepper.new_states(count)]

    def new_following(self, states: States) -> list[Tensor]:
        """Return where a step may write the states that follow: outputs in their place, memories beside it."""
        end = len(states)
        following = list(states)
        for stepper in self.steppers:
            for number in range(end - stepper.parts + 1, end):
                following[number] = torch.empty_like(states[number])
            end -= stepper.parts
        return following

    def step(self, ids: Tensor, before: States | None, after: States) -> None:
        """Take one step with the ids (n,), from the states before, None at the first step, to those after."""
        x = self.table.index_select(0, ids)
        end = len(after)
        for layer, stepper in enumerate(self.steppers):
            own = slice(end - stepper.parts, end)
            stepper(x, None if before is None else before[own], after[own])
            end -= stepper.parts
            if layer < len(self.above):
                bias, weight = self.above[layer]
                x = torch.addmm(bias, after[own][0], weight)
