"""The stepwise way: any cell, one step at a time, over the sequences that have not ended.

Inputs are packed: sorted by length, all first steps, then all second steps, and so on, so that the rows alive at a step
are the first of those before. The backward direction is the same loop over sequences that are each reversed within
their own length, so it never starts in any padding. Cells that can map all inputs at once, or scan all steps, do so.

torch's own encoders run in this way where parts of the state are to be dropped, which their kernels cannot do.

Source of the dropout of states:
    Gal and Ghahramani, A Theoretically Grounded Application of Dropout in Recurrent Neural Networks, NIPS 2016,
    section 4: one choice for all steps of a sequence of what the products with the state see.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from seqclf.cells.protocol import ProjectedCell, ScanCell, State
from seqclf.errors import InvalidArgumentError
from seqclf.models.dropout import Dropout
from seqclf.models.encoder import CellEncoder
from seqclf.models.execution.packed import PackedBatch
from seqclf.models.execution.torch_cell import TorchCell
from seqclf.models.execution.weights import layer_weights


class Steps(PackedBatch):
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
