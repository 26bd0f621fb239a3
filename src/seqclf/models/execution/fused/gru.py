"""The recurrence of a GRU over packed rows, forwards and backwards, in buffers of its own.

With x the inputs' part of the gates (which has the bias of the states' part of r and z in it), and h the outputs:

    r, z = sigmoid(x + W h_before) of their parts;  u = W_n h_before + b_n
    n = tanh(x_n + r u);  h = n + z (h_before - n)

tanh is taken by the sigmoid, as in the LSTM. The gradients of all gates are multiples of dh, the gradient of the output
of the step, by factors that do not wait for later steps:

    dn = dh (1 - z) (1 - n^2);  dr = dn u r (1 - r);  dz = dh (h_before - n) z (1 - z);  du = dn r
"""

import torch
from torch import Tensor

from seqclf.models.execution.fused.arena import Block, StepViews, rows_before, scaled
from seqclf.models.layout import Layout


class GRU:
    """The buffers of one layout, and the passes through them; see `LSTM` for the attributes that all have."""

    gates = 3

    @staticmethod
    def floats(layout: Layout, size: int) -> int:
        """Return how many floats the buffers take."""
        return 10 * layout.total * size

    @staticmethod
    def tangent(size: int) -> slice:
        """Return the part of the gates that a tanh squashes, which is to be scaled by -2."""
        return slice(2 * size, 3 * size)

    @classmethod
    def project(
        cls, vectors: Tensor, weight_ih: Tensor, bias_ih: Tensor, bias_hh: Tensor, out: Tensor | None = None
    ) -> Tensor:
        """Return the inputs' part of the gates for vectors (n, E), as `inputs` has it: (n, gates * H)."""
        size = len(weight_ih) // cls.gates
        bias = bias_ih + bias_hh
        bias[2 * size :] = bias_ih[2 * size :]  # that of the states' part of n is multiplied by r
        gates = torch.addmm(bias, vectors, weight_ih.t(), out=out)
        gates[:, cls.tangent(size)].mul_(-2)
        return gates

    def __init__(self, block: Block, layout: Layout, size: int) -> None:
        rows = layout.total
        self.layout, self.size = layout, size
        self.inputs, self.of_inputs = block.cut(rows, 3 * size), block.cut(rows, 3 * size)
        self.outputs, self.of_outputs = block.cut(rows, size), block.cut(rows, size)
        self.products, self.of_candidate = block.cut(rows, size), block.cut(rows, size)  # products: -2 u
        self.r, self.z, self.n = torch.split(self.inputs, size, dim=1)
        self.one = self.inputs.new_ones(())
        self.forward_views = StepViews(
            layout,
            (self.inputs[:, : 2 * size], self.r, self.z, self.n, self.products, self.outputs),
            (self.outputs,),
        )
        of_product = self.of_inputs
        self.backward_views = StepViews(
            layout,
            (self.of_outputs, self.of_outputs[:, None], of_product, of_product.view(rows, 3, size), self.z),
            (self.of_outputs,),
        )

    def forward(self, weight: Tensor, bias: Tensor) -> None:
        """Go through all steps with weight_hh, (3 * H, H), and bias_hh."""
        weight, bias = (scaled(one, self.tangent(self.size)) for one in (weight, bias))
        of_rz, of_n = weight[: 2 * self.size].t(), weight[2 * self.size :].t()
        bias = bias[2 * self.size :]
        for rz, r, z, n, product, h, h_before in self.forward_views.forwards():
            if h_before is None:
                product.copy_(bias)
            else:
                rz.addmm_(h_before, of_rz)
                torch.addmm(bias, h_before, of_n, out=product)
            rz.sigmoid_()
            n.addcmul_(r, product).sigmoid_()
            torch.add(self.one, n, alpha=-2, out=n)
            if h_before is None:
                torch.addcmul(n, n, z, value=-1, out=h)
            else:
                torch.lerp(n, h_before, z, out=h)

    def backward(self, weight: Tensor) -> tuple[Tensor, Tensor | None]:
        """Go back through all steps; return the gradients of weight_hh and bias_hh."""
        self._compute_factors()
        for dh, dh_wide, of_product, of_product_wide, z, dh_before in self.backward_views.backwards():
            of_product_wide.mul_(dh_wide)
            if dh_before is not None:
                dh_before.addcmul_(dh, z).addmm_(of_product, weight)
        of_products = self.of_inputs
        of_weight = torch.mm(of_products[self.layout.batch :].t(), rows_before(self.outputs, self.layout))
        of_bias = of_products.sum(0)
        torch.mul(self.of_outputs, self.of_candidate, out=self.of_inputs[:, 2 * self.size :])
        return of_weight, of_bias

    def _compute_factors(self) -> None:
        """Put into `of_inputs` what the gradient of the products is a multiple of; into `of_candidate` that of n."""
        first = self.layout.batch
        of_r, of_z, of_u = torch.split(self.of_inputs, self.size, dim=1)
        torch.addcmul(self.one, self.n, self.n, value=-1, out=self.of_candidate)
        self.of_candidate.addcmul_(self.of_candidate, self.z, value=-1)
        torch.addcmul(self.r, self.r, self.r, value=-1, out=of_r)
        of_r.mul_(self.of_candidate).mul_(self.products).mul_(-0.5)
        torch.addcmul(self.z, self.z, self.z, value=-1, out=of_z)
        torch.sub(rows_before(self.outputs, self.layout), self.n[first:], out=of_u[first:])
        torch.neg(self.n[:first], out=of_u[:first])
        of_z.mul_(of_u)
        torch.mul(self.of_candidate, self.r, out=of_u)
