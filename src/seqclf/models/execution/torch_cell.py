"""torch's recurrences one step at a time: for what its kernels cannot do, dropping parts of the state."""

import torch
from torch import Tensor
from torch.nn import functional

from seqclf.cells.protocol import State


class TorchCell:
    """One direction of a layer of an `nn.LSTM`, `nn.GRU` or `nn.RNN`, as a cell; the equations are those of its pages.

    Args:
        mode: Which of them: `encoder.mode`.
        weights: weight_ih, weight_hh, bias_ih and bias_hh.
        mask: What the output before is multiplied by in the product with weight_hh, and only there: (B, H), the rows
            in the order in which they are stepped.
    """

    def __init__(self, mode: str, weights: list[Tensor], mask: Tensor) -> None:
        self.mode = mode
        self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh = weights
        self.mask = mask

    def project(self, x: Tensor) -> Tensor:
        """Map inputs (n, E) of any steps to their part of the gates, (n, gates * H)."""
        return functional.linear(x, self.weight_ih, self.bias_ih)

    def step(self, projected: Tensor, state: State | None) -> State:
        """Take one step from the projected inputs."""
        if state is None:
            zeros = torch.zeros_like(self.mask)
            state = (zeros, zeros) if self.mode == "LSTM" else zeros
        output = state if isinstance(state, Tensor) else state[0]
        recurrent = functional.linear(output * self.mask[: len(output)], self.weight_hh, self.bias_hh)
        if isinstance(state, tuple):
            return _lstm(projected + recurrent, state[1])
        if self.mode == "GRU":
            return _gru(projected, recurrent, output)
        return (torch.tanh if self.mode == "RNN_TANH" else torch.relu)(projected + recurrent)


def _lstm(gates: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    i, f, g, o = gates.chunk(4, dim=1)
    memory = torch.addcmul(torch.sigmoid(f) * memory, torch.sigmoid(i), torch.tanh(g))
    return torch.sigmoid(o) * torch.tanh(memory), memory


def _gru(projected: Tensor, recurrent: Tensor, output: Tensor) -> Tensor:
    (r_x, z_x, n_x), (r_h, z_h, n_h) = projected.chunk(3, dim=1), recurrent.chunk(3, dim=1)
    candidate = torch.tanh(torch.addcmul(n_x, torch.sigmoid(r_x + r_h), n_h))
    return torch.lerp(candidate, output, torch.sigmoid(z_x + z_h))
