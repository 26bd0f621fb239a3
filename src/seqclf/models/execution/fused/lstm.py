"""The recurrence of an LSTM over packed rows, forwards and backwards, in buffers of its own.

With x the inputs' part of the gates, h the outputs and c the memories:

    i, f, o = sigmoid(x + W h_before) of their parts;  g = tanh(...)
    c = f c_before + i g;  h = o tanh(c)

Two things make it fast. tanh(y) is taken as 1 - 2 sigmoid(-2 y), as torch's sigmoid is about three times as fast as its
tanh on a CPU, and one call then squashes all gates; the factor -2 of g stands in the weights. And whatever of the
gradient does not wait for later steps is computed for all steps at once: with k = o (1 - tanh(c)^2) and the gradients
dh and dc of a step, the gates' are

    dc += dh k;  di = dc g i (1 - i);  df = dc c_before f (1 - f);  dg = dc i (1 - g^2);  do = dh tanh(c) o (1 - o)

so that the loop only multiplies dc and dh into factors that are there already.
"""

import torch
from torch import Tensor

from seqclf.models.execution.fused.arena import Block, StepViews, rows_before, scaled
from seqclf.models.layout import Layout


class LSTM:
    """The buffers of one layout, and the passes through them.

    Attributes:
        inputs: Where the inputs' part of the gates is put: (N, 4 * H), those of g times -2.
        outputs: The outputs, (N, H), after `forward`.
        of_outputs: Where the gradient of the outputs is put before `backward`, which changes it: (N, H).
        of_inputs: The gradient of the inputs' part, not scaled, after `backward`: (N, 4 * H).
    """

    gates = 4

    @staticmethod
    def floats(layout: Layout, size: int) -> int:
        """Return how many floats the buffers take."""
        return (13 * layout.total + layout.widest) * size

    @staticmethod
    def tangent(size: int) -> slice:
        """Return the part of the gates that a tanh squashes, which is to be scaled by -2."""
        return slice(2 * size, 3 * size)

    @classmethod
    def project(
        cls, vectors: Tensor, weight_ih: Tensor, bias_ih: Tensor, bias_hh: Tensor, out: Tensor | None = None
    ) -> Tensor:
        """Return the inputs' part of the gates for vectors (n, E), as `inputs` has it: (n, gates * H)."""
        gates = torch.addmm(bias_ih + bias_hh, vectors, weight_ih.t(), out=out)
        gates[:, cls.tangent(len(weight_ih) // cls.gates)].mul_(-2)
        return gates

    def __init__(self, block: Block, layout: Layout, size: int) -> None:
        rows = layout.total
        self.layout, self.size = layout, size
        self.inputs, self.of_inputs = block.cut(rows, 4 * size), block.cut(rows, 4 * size)
        self.outputs, self.of_outputs = block.cut(rows, size), block.cut(rows, size)
        self.memories, self.squashed, self.factors = (block.cut(rows, size) for _ in range(3))  # squashed: of -2 c
        self.of_memory = block.cut(layout.widest, size)
        # Quicker than to make a tensor of a number each time.
        self.zero, self.minus_two = self.inputs.new_tensor(0.0), self.inputs.new_tensor(-2.0)
        self.i, self.f, self.r, self.o = torch.split(self.inputs, size, dim=1)  # g = 1 - 2 r
        of_ifg = self.of_inputs[:, : 3 * size].view(rows, 3, size)
        of_o = self.of_inputs[:, 3 * size :]
        self.forward_views = StepViews(
            layout,
            (self.inputs, self.i, self.f, self.r, self.o, self.memories, self.squashed, self.outputs),
            (self.outputs, self.memories),
        )
        self.backward_views = StepViews(
            layout,
            (self.of_outputs, self.factors, of_ifg, of_o, self.of_inputs, self.f),
            (self.of_outputs,),
            (self.of_memory, self.of_memory[:, None]),
            carried=self.of_memory,
        )

    def forward(self, weight: Tensor, bias: Tensor) -> None:
        """Go through all steps with weight_hh, (4 * H, H); the bias stands in the inputs."""
        del bias
        weight = scaled(weight, self.tangent(self.size)).t()
        for x, i, f, r, o, c, p, h, h_before, c_before in self.forward_views.forwards():
            if h_before is not None:
                x.addmm_(h_before, weight)
            x.sigmoid_()
            torch.addcmul(i, i, r, value=-2, out=c)
            if c_before is not None:
                c.addcmul_(f, c_before)
            torch.mul(c, self.minus_two, out=p)
            p.sigmoid_()
            torch.addcmul(o, o, p, value=-2, out=h)

    def backward(self, weight: Tensor) -> tuple[Tensor, Tensor | None]:
        """Go back through all steps; return the gradient of weight_hh, and that of bias_hh where it has its own."""
        self._compute_factors()
        self.of_memory.zero_()
        for dh, k, of_ifg, of_o, of_gates, f, dh_before, dc, dc_wide in self.backward_views.backwards():
            dc.addcmul_(dh, k)
            of_ifg.mul_(dc_wide)
            of_o.mul_(dh)
            if dh_before is not None:
                dh_before.addmm_(of_gates, weight)
                dc.mul_(f)
        first = self.layout.batch
        return torch.mm(self.of_inputs[first:].t(), rows_before(self.outputs, self.layout)), None

    def _compute_factors(self) -> None:
        """Put into `of_inputs` and `factors` what the gradients of gates and memories are multiples of."""
        first = self.layout.batch
        of_i, of_f, of_g, of_o = torch.split(self.of_inputs, self.size, dim=1)
        torch.addcmul(self.inputs, self.inputs, self.inputs, value=-1, out=self.of_inputs)  # s' = s - s^2
        of_i.addcmul_(of_i, self.r, value=-2)
        of_f[:first].zero_()
        of_f[first:].mul_(rows_before(self.memories, self.layout))
        torch.addcmul(self.zero, of_g, self.i, value=4, out=of_g)
        of_o.addcmul_(of_o, self.squashed, value=-2)
        torch.addcmul(self.squashed, self.squashed, self.squashed, value=-1, out=self.factors)
        torch.addcmul(self.zero, self.factors, self.o, value=4, out=self.factors)
