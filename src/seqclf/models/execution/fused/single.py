"""The recurrences over a batch of one, forwards and backwards: pointwise in NumPy, whose calls cost less than torch's.

Products stay torch's, as a second library of them would fight with torch's threads for the cores; both see the same
memory. The equations are those of `lstm`, `gru` and `rnn`. sigmoid(y) is taken as (1 + tanh(y / 2)) / 2, so that one
call squashes all gates of a step; whatever of the gradient does not wait for later steps is computed for all at once.

Legend: T steps, H features of a state, G gates. All arrays are (T, G * H) or (T, H); a forward call overwrites the
inputs' part of the gates, which have the order of torch's weights.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqclf.models.execution.fused.reading import Reading, input_gradients

Array = npt.NDArray[Any]


class _Recurrence(ABC):
    """One layer in one direction over one sequence.

    Attributes:
        gates: The inputs' part of the gates at first, (T, G * H); after `forward`, the gates.
        outputs: The outputs, (T, H), after `forward`.
    """

    def __init__(self, gates: Tensor, size: int) -> None:
        self.gates, self.size = gates, size
        self.outputs = gates.new_empty(len(gates), size)

    @abstractmethod
    def forward(self, weight: Tensor, bias: Tensor) -> None:
        """Go through all steps with weight_hh and bias_hh."""

    @abstractmethod
    def backward(self, of_outputs: Array, weight: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return the gradients of the inputs' part of the gates, of weight_hh, and of bias_hh where it has its own."""

    @staticmethod
    def input_bias(bias_ih: Tensor, bias_hh: Tensor) -> Tensor:
        """Return what of the biases the inputs' part has."""
        return bias_ih + bias_hh


class _LSTM(_Recurrence):
    def forward(self, weight: Tensor, bias: Tensor) -> None:
        del bias
        size, turned = self.size, weight.t()
        gates, outputs = self.gates.numpy(), self.outputs.numpy()
        self.memories, self.squashed = np.empty_like(outputs), np.empty_like(outputs)
        scale, shift = np.full(4 * size, 0.5, gates.dtype), np.full(4 * size, 0.5, gates.dtype)
        scale[2 * size : 3 * size], shift[2 * size : 3 * size] = 1, 0  # g is a tanh, the others are sigmoids
        x_rows, h_rows = torch.split(self.gates, 1), torch.split(self.outputs, 1)
        for step in range(len(gates)):
            z, c, q, h = gates[step], self.memories[step], self.squashed[step], outputs[step]
            if step:
                x_rows[step].addmm_(h_rows[step - 1], turned)
            z *= scale
            np.tanh(z, out=z)
            z *= scale
            z += shift
            np.multiply(z[:size], z[2 * size : 3 * size], out=c)
            if step:
                c += z[size : 2 * size] * self.memories[step - 1]
            np.tanh(c, out=q)
            np.multiply(q, z[3 * size :], out=h)

    def backward(self, of_outputs: Array, weight: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        size = self.size
        i, f, g, o = np.split(self.gates.numpy(), 4, axis=1)
        of_memories = o - o * self.squashed * self.squashed
        of_gates = self.gates - self.gates * self.gates  # of sigmoids
        rows = of_gates.numpy()
        rows[:, :size] *= g
        rows[:1, size : 2 * size] = 0
        rows[1:, size : 2 * size] *= self.memories[:-1]
        rows[:, 2 * size : 3 * size] = i - i * g * g
        rows[:, 3 * size :] *= self.squashed
        of_x_rows = torch.split(of_gates, 1)
        dh, dc = of_outputs[-1], np.zeros(size, rows.dtype)
        for step in range(len(rows) - 1, -1, -1):
            row = rows[step]
            dc += dh * of_memories[step]
            ifg = row[: 3 * size].reshape(3, size)
            ifg *= dc
            row[3 * size :] *= dh
            if step:
                dh = torch.mm(of_x_rows[step], weight).numpy()[0]
                dh += of_outputs[step - 1]
                dc *= f[step]
        return of_gates, torch.mm(of_gates[1:].t(), self.outputs[:-1]), None


class _GRU(_Recurrence):
    @staticmethod
    def input_bias(bias_ih: Tensor, bias_hh: Tensor) -> Tensor:
        bias = bias_ih + bias_hh
        first = len(bias) // 3 * 2
        bias[first:] = bias_ih[first:]  # that of the states' part of n is multiplied by r
        return bias

    def forward(self, weight: Tensor, bias: Tensor) -> None:
        first, size, turned = 2 * self.size, self.size, weight.t()
        gates, outputs, bias_of_n = self.gates.numpy(), self.outputs.numpy(), bias.numpy()[first:]
        self.products = np.empty_like(outputs)
        h_rows = torch.split(self.outputs, 1)
        before = np.zeros(size, gates.dtype)
        for step in range(len(gates)):
            rz, n, u, h = gates[step, :first], gates[step, first:], self.products[step], outputs[step]
            u[:] = bias_of_n
            if step:
                products = torch.mm(h_rows[step - 1], turned).numpy()[0]
                rz += products[:first]
                u += products[first:]
            rz *= 0.5
            np.tanh(rz, out=rz)
            rz *= 0.5
            rz += 0.5
            n += rz[:size] * u
            np.tanh(n, out=n)
            np.multiply(rz[size:], before - n, out=h)
            h += n
            before = h

    def backward(self, of_outputs: Array, weight: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        r, z, n = np.split(self.gates.numpy(), 3, axis=1)
        of_candidate = (1 - z) * (1 - n * n)
        difference = -n
        difference[1:] += self.outputs.numpy()[:-1]
        of_products = torch.empty_like(self.gates)
        rows = of_products.numpy()
        of_r, of_z, of_u = np.split(rows, 3, axis=1)
        of_r[:] = of_candidate * self.products * (r - r * r)
        of_z[:] = difference * (z - z * z)
        of_u[:] = of_candidate * r
        of_rows = torch.split(of_products, 1)
        dh = of_outputs[-1]
        for step in range(len(rows) - 1, -1, -1):
            row = rows[step].reshape(3, self.size)
            row *= dh
            of_candidate[step] *= dh
            if step:
                dh = dh * z[step] + of_outputs[step - 1]
                dh += torch.mm(of_rows[step], weight).numpy()[0]
        of_weight, of_bias = torch.mm(of_products[1:].t(), self.outputs[:-1]), of_products.sum(0)
        of_u[:] = of_candidate
        return of_products, of_weight, of_bias


class _TanhRNN(_Recurrence):
    def forward(self, weight: Tensor, bias: Tensor) -> None:
        del bias
        turned, outputs = weight.t(), self.outputs.numpy()
        x_rows, h_rows = torch.split(self.gates, 1), torch.split(self.outputs, 1)
        for step, x in enumerate(self.gates.numpy()):
            if step:
                x_rows[step].addmm_(h_rows[step - 1], turned)
            self._squash(x, outputs[step])

    def backward(self, of_outputs: Array, weight: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        of_gates = self._slope(self.outputs)
        rows, of_x_rows = of_gates.numpy(), torch.split(of_gates, 1)
        dh = of_outputs[-1]
        for step in range(len(rows) - 1, -1, -1):
            row = rows[step]
            row *= dh
            if step:
                dh = torch.mm(of_x_rows[step], weight).numpy()[0]
                dh += of_outputs[step - 1]
        return of_gates, torch.mm(of_gates[1:].t(), self.outputs[:-1]), None

    @staticmethod
    def _squash(x: Array, out: Array) -> None:
        np.tanh(x, out=out)

    @staticmethod
    def _slope(outputs: Tensor) -> Tensor:
        return 1 - outputs * outputs


class _ReluRNN(_TanhRNN):
    @staticmethod
    def _squash(x: Array, out: Array) -> None:
        np.maximum(x, 0, out=out)

    @staticmethod
    def _slope(outputs: Tensor) -> Tensor:
        return outputs.sign()


class SinglePass:
    """One direction of one layer over a batch of one; its methods are those of `Pass`."""

    kinds: ClassVar[dict[str, type[_Recurrence]]] = {
        "LSTM": _LSTM,
        "GRU": _GRU,
        "RNN_TANH": _TanhRNN,
        "RNN_RELU": _ReluRNN,
    }

    def __init__(self, reading: Reading, ids: Tensor | None, last_only: bool) -> None:
        self.kind = self.kinds[reading.mode]
        self.steps = reading.layout.total
        self.ids, self.last_only = ids, last_only

    def forward(self, vectors: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """Return the outputs, (T, H), or the last one, (1, H)."""
        self.vectors = vectors.detach()
        self.weight_ih, self.weight_hh, bias_ih, bias_hh = (weight.detach() for weight in weights)
        gates = torch.addmm(self.kind.input_bias(bias_ih, bias_hh), self.vectors, self.weight_ih.t())
        if self.ids is not None:
            gates = gates.index_select(0, self.ids)
        self.recurrence = self.kind(gates, self.weight_hh.shape[1])
        self.recurrence.forward(self.weight_hh, bias_hh)
        outputs = self.recurrence.outputs
        return outputs[-1:].clone() if self.last_only else outputs

    def backward(self, gradient: Tensor, *, of_vectors: bool) -> tuple[Tensor | None, list[Tensor]]:
        """Return the gradients of the vectors, if wanted, and of the weights, from that of what was returned."""
        of_outputs = gradient.numpy()
        if self.last_only:
            of_outputs = np.zeros((self.steps, gradient.shape[1]), of_outputs.dtype)
            of_outputs[-1] = gradient.numpy()[0]
        of_gates, of_weight_hh, of_bias_hh = self.recurrence.backward(of_outputs, self.weight_hh)
        found, of_weight_ih, of_bias = input_gradients(
            of_gates, self.vectors, self.ids, self.weight_ih, of_vectors=of_vectors
        )
        of_bias_hh = of_bias.clone() if of_bias_hh is None else of_bias_hh  # not one tensor for two weights
        return found, [of_weight_ih, of_weight_hh, of_bias, of_bias_hh]
