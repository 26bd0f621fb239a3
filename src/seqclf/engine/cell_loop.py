"""The loop over steps: any cell, one step at a time, over the sequences that have not ended.

Inputs are packed: sorted by length, all first steps, then all second steps, and so on, so that the rows alive at a step
are the first of those before. The backward direction is the same loop over sequences that are each reversed within
their own length, so it never starts in any padding. Cells that can map all inputs at once, or scan all steps, do so.

torch's own encoders run in this way where parts of the state are to be dropped and the compiled kernels cannot be used,
as torch's kernels cannot do this.

Source of the dropout of states:
    Gal and Ghahramani, A Theoretically Grounded Application of Dropout in Recurrent Neural Networks, NIPS 2016,
    section 4: one choice for all steps of a sequence of what the products with the state see.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

from seqclf.cells.protocol import ProjectedCell, ScanCell, State
from seqclf.engine.dropout import Dropout
from seqclf.engine.encoder import CellEncoder
from seqclf.engine.torch_kernels import PackedBatch
from seqclf.engine.weights import layer_weights
from seqclf.errors import InvalidArgumentError


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


class CellLoop(PackedBatch):
    """One packed batch for any encoder."""

    def __init__(
        self,
        encoder: nn.RNNBase | CellEncoder,
        inputs: Tensor | PackedSequence,
        lengths: Tensor,
        truncate_steps: int | None = None,
    ) -> None:
        super().__init__(inputs, lengths)
        self.encoder = encoder
        self.sizes = self.layout.sizes
        self.truncate_steps = truncate_steps

    def run(self, x: Tensor) -> Tensor:
        """Run all layers over (N, E); return (N, directions * H)."""
        for layer in range(self.encoder.num_layers):
            x = self.run_layer(x, layer, None)
        return x

    def run_layer(self, x: Tensor, layer: int, dropout: Dropout | None) -> Tensor:
        """Run one layer over (N, E); return (N, directions * H)."""
        forward = self._run_direction(self._cell(x, layer, 0, dropout), x)
        if not self.encoder.bidirectional:
            return forward
        order = self.layout.reversal.to(x.device)
        backward = self._run_direction(self._cell(x, layer, 1, dropout), x[order])
        return torch.cat([forward, backward[order]], dim=1)

    def _cell(self, x: Tensor, layer: int, direction: int, dropout: Dropout | None) -> nn.Module | TorchCell:
        if isinstance(self.encoder, CellEncoder):
            return self.encoder.cell(layer, direction)
        assert dropout is not None
        weights = layer_weights(self.encoder, layer, direction, dropout.weights)
        sequences = self.positions.sequence[: self.sizes[0]]
        mask = dropout.state_mask(x, self.encoder.hidden_size, layer, direction, sequences)
        return TorchCell(self.encoder.mode, weights, mask)

    def _run_direction(self, cell: nn.Module | TorchCell, x: Tensor) -> Tensor:
        if isinstance(cell, ScanCell):
            return self._scan(cell, cell.project(x))
        if isinstance(cell, ProjectedCell | TorchCell):
            return self._loop(cell.step, cell.project(x))
        return self._loop(cell, x)

    def _loop(self, step: Callable[[Tensor, State | None], State], x: Tensor) -> Tensor:
        """Take one step after the other; the first rows go on when shorter sequences have ended."""
        state: State | None = None
        before = self.sizes[0]
        outputs = []
        for number, (x_t, size) in enumerate(zip(torch.split(x, list(self.sizes)), self.sizes, strict=True)):
            if state is not None and size < before:
                state = state[:size] if isinstance(state, Tensor) else tuple(part[:size] for part in state)
            if state is not None and self.truncate_steps and number % self.truncate_steps == 0:
                state = state.detach() if isinstance(state, Tensor) else tuple(part.detach() for part in state)
            state, before = step(x_t, state), size
            outputs.append(output_of(state, size, self.encoder.hidden_size))
        return torch.cat(outputs)

    def _scan(self, cell: ScanCell, projected: Tensor) -> Tensor:
        """Take all steps at once, padded; what a scan makes of the padding behind the ends is not looked at."""
        shape = (len(self.sizes), self.sizes[0], projected.shape[1])  # time first, as the rows already stand
        if self.sizes[-1] == self.sizes[0]:
            return self._scan_windows(cell, projected.view(shape)).flatten(0, 1)
        grid = tuple(index.to(projected.device) for index in (self.layout.steps, self.layout.ranks))
        return self._scan_windows(cell, projected.new_zeros(shape).index_put(grid, projected))[grid]

    def _scan_windows(self, cell: ScanCell, projected: Tensor) -> Tensor:
        """Scan (T, B, P) to (T, B, H); no gradient flows from window to window where steps are truncated."""
        states: list[Tensor] = []
        for window in torch.split(projected, self.truncate_steps or len(projected)):
            before = states[-1][-1].detach() if states else None
            states.append(cell.scan(window.transpose(0, 1), before).transpose(0, 1))
        return states[0] if len(states) == 1 else torch.cat(states)


def output_of(state: object, rows: int, hidden_size: int) -> Tensor:
    """Return the output in the state that a cell returned; raise where it is not one."""
    output = state[0] if isinstance(state, tuple) and state else state
    if not isinstance(output, Tensor) or output.shape != (rows, hidden_size):
        got = f"shape {tuple(output.shape)}" if isinstance(output, Tensor) else type(output).__name__
        raise InvalidArgumentError(
            f"a cell must return a tensor of shape (n, hidden_size) = ({rows}, {hidden_size}), or a tuple that starts "
            f"with one; got {got}. See the cell protocol in the documentation of RNNClassifier."
        )
    if isinstance(state, tuple) and not all(isinstance(part, Tensor) for part in state):
        kinds = ", ".join(type(part).__name__ for part in state)
        raise InvalidArgumentError(
            f"a cell that returns a tuple must return tensors alone, the output first; got ({kinds}). "
            "Return the state, such as (h, c), not the output beside it."
        )
    return output


def advance(encoder: nn.RNNBase | CellEncoder, x: Tensor, states: Any) -> tuple[Tensor, Any]:
    """Take one step in all layers of an encoder of one direction.

    Args:
        encoder: The encoder.
        x: The inputs, (n, E).
        states: What was returned for the step before; None at the first step.

    Returns:
        The outputs of the last layer, (n, H), and the states for the next step.
    """
    if not isinstance(encoder, CellEncoder):
        outputs, states = encoder(x[:, None], states)
        return outputs[:, 0], states
    states = states or [None] * encoder.num_layers
    following = []
    for layer, before in enumerate(states):
        state = encoder.cell(layer, 0)(x, before)
        following.append(state)
        x = output_of(state, len(x), encoder.hidden_size)
    return x, following
