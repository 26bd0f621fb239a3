"""The recurrence of a plain RNN over packed rows: h = tanh(x + W h_before), or relu in place of tanh."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from seqclf.models.execution.fused.arena import Block, StepViews, rows_before, scaled
from seqclf.models.layout import Layout


class _RNN(ABC):
    """The buffers of one layout, and the passes through them; see `LSTM` for the attributes that all have."""

    gates = 1

    @staticmethod
    def floats(layout: Layout, size: int) -> int:
        """Return how many floats the buffers take."""
        return 4 * layout.total * size

    @classmethod
    def project(
        cls, vectors: Tensor, weight_ih: Tensor, bias_ih: Tensor, bias_hh: Tensor, out: Tensor | None = None
    ) -> Tensor:
        """Return the inputs' part of the gates for vectors (n, E), as `inputs` has it: (n, gates * H)."""
        gates = torch.addmm(bias_ih + bias_hh, vectors, weight_ih.t(), out=out)
        gates[:, cls.tangent(len(weight_ih))].mul_(-2)
        return gates

    def __init__(self, block: Block, layout: Layout, size: int) -> None:
        self.layout = layout
        self.inputs, self.outputs, self.of_outputs, self.of_inputs = (block.cut(layout.total, size) for _ in range(4))
        self.one = self.inputs.new_ones(())
        self.forward_views = StepViews(layout, (self.inputs, self.outputs), (self.outputs,))
        self.backward_views = StepViews(layout, (self.of_outputs, self.of_inputs), (self.of_outputs,))

    def forward(self, weight: Tensor, bias: Tensor) -> None:
        """Go through all steps with weight_hh, (H, H); the bias stands in the inputs."""
        del bias
        weight = scaled(weight, self.tangent(len(weight))).t()
        for x, h, h_before in self.forward_views.forwards():
            if h_before is not None:
                x.addmm_(h_before, weight)
            self._squash(x, h)

    def backward(self, weight: Tensor) -> tuple[Tensor, Tensor | None]:
        """Go back through all steps; return the gradient of weight_hh, and that of bias_hh where it has its own."""
        self._compute_factors()
        for dh, of_x, dh_before in self.backward_views.backwards():
            of_x.mul_(dh)
            if dh_before is not None:
                dh_before.addmm_(of_x, weight)
        return torch.mm(self.of_inputs[self.layout.batch :].t(), rows_before(self.outputs, self.layout)), None

    @staticmethod
    @abstractmethod
    def tangent(size: int) -> slice:
        """Return which of the gates a tanh squashes."""

    @abstractmethod
    def _squash(self, x: Tensor, h: Tensor) -> None:
        """Put into h what the nonlinearity makes of x."""

    @abstractmethod
    def _compute_factors(self) -> None:
        """Put into `of_inputs` the derivative of the outputs."""


class TanhRNN(_RNN):
    """An RNN with tanh."""

    @staticmethod
    def tangent(size: int) -> slice:
        """Return the part of the gates that a tanh squashes, which is to be scaled by -2: all."""
        return slice(0, size)

    def _squash(self, x: Tensor, h: Tensor) -> None:
        torch.add(self.one, x.sigmoid_(), alpha=-2, out=h)

    def _compute_factors(self) -> None:
        torch.addcmul(self.one, self.outputs, self.outputs, value=-1, out=self.of_inputs)


class ReluRNN(_RNN):
    """An RNN with relu."""

    @staticmethod
    def tangent(size: int) -> slice:
        """Return the part of the gates that a tanh squashes: none."""
        return slice(0, 0)

    def _squash(self, x: Tensor, h: Tensor) -> None:
        torch.clamp(x, min=0, out=h)

    def _compute_factors(self) -> None:
        torch.sign(self.outputs, out=self.of_inputs)
