"""Encoders: stacked, one- or two-directional recurrences. torch's own for the built-in cells, ours for any other."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from seqclf.errors import InvalidArgumentError
from seqclf.models.cells import Cell, CellFactory, CellName, State

# What turns steps, ids (...) or features (..., F), into the vectors (..., E) that an encoder reads.
Embed = Callable[[Tensor], Tensor]


def build_encoder(
    cell: CellName | CellFactory,
    input_size: int,
    hidden_size: int,
    *,
    num_layers: int,
    bidirectional: bool,
    dropout: float,
) -> "nn.RNNBase | CellEncoder":
    """Make the encoder for `cell`: `nn.LSTM`, `nn.GRU` or `nn.RNN` by name, otherwise a `CellEncoder`."""
    dropout = dropout if num_layers > 1 else 0.0  # torch warns of a dropout that acts between layers when there is one
    if callable(cell):
        return CellEncoder(
            cell, input_size, hidden_size, num_layers=num_layers, bidirectional=bidirectional, dropout=dropout
        )
    if cell == "lstm":
        return nn.LSTM(input_size, hidden_size, num_layers, True, True, dropout, bidirectional)
    if cell == "gru":
        return nn.GRU(input_size, hidden_size, num_layers, True, True, dropout, bidirectional)
    nonlinearity = "relu" if cell == "rnn_relu" else "tanh"
    return nn.RNN(input_size, hidden_size, num_layers, nonlinearity, True, True, dropout, bidirectional)


class CellEncoder(nn.Module):
    """The recurrence of `nn.LSTM` and its like, for cells that take one step: packed in, packed out.

    At each step only the sequences that have not ended are computed. The backward direction is the same loop over
    sequences that are each reversed within their own length, so it never starts in any padding.

    Args:
        cell: Makes a cell from (input_size, hidden_size); called once for each layer and direction.
        input_size: The number of features of the inputs.
        hidden_size: The number of features that a cell puts out.
        num_layers: How many layers lie on top of each other.
        bidirectional: Whether each layer also runs backwards; outputs are then the two halves side by side.
        dropout: The probability with which outputs are dropped between layers.
    """

    def __init__(
        self,
        cell: CellFactory,
        input_size: int,
        hidden_size: int,
        *,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.bidirectional = bidirectional
        self.directions = 2 if bidirectional else 1
        self.dropout = nn.Dropout(dropout)
        widths = [input_size] + [hidden_size * self.directions] * (num_layers - 1)
        self.cells = nn.ModuleList(_make(cell, width, hidden_size) for width in widths for _ in range(self.directions))

    def forward(self, packed: PackedSequence) -> tuple[PackedSequence, None]:
        """Return the outputs of the last layer, packed, shape (N, directions * hidden_size), in nn.LSTM's pair form."""
        data, sizes = packed.data, packed.batch_sizes.tolist()
        reversal = _reversal(packed.batch_sizes).to(data.device) if self.bidirectional else None
        layers = [self.cells[start : start + self.directions] for start in range(0, len(self.cells), self.directions)]
        for number, layer in enumerate(layers):
            halves = [_run_cell(layer[0], data, sizes, self.hidden_size)]
            if reversal is not None:
                halves.append(_run_cell(layer[1], data[reversal], sizes, self.hidden_size)[reversal])
            data = torch.cat(halves, dim=1)  # (N, directions * H)
            data = data if number == len(layers) - 1 else self.dropout(data)
        return packed._replace(data=data), None


def _run_cell(cell: Cell, data: Tensor, sizes: list[int], hidden_size: int) -> Tensor:
    """Run one cell over packed steps (N, E); the first `size` rows go on when shorter sequences have ended."""
    state: State | None = None
    outputs = []
    for step, x_t in enumerate(torch.split(data, sizes)):
        if state is not None and sizes[step] < sizes[step - 1]:
            state = state[: sizes[step]] if isinstance(state, Tensor) else tuple(part[: sizes[step]] for part in state)
        state = cell(x_t, state)
        outputs.append(_output_of(state, sizes[step], hidden_size))
    return torch.cat(outputs)


def _output_of(state: object, size: int, hidden_size: int) -> Tensor:
    output = state[0] if isinstance(state, tuple) and state else state
    if not isinstance(output, Tensor) or output.shape != (size, hidden_size):
        got = f"shape {tuple(output.shape)}" if isinstance(output, Tensor) else type(output).__name__
        raise InvalidArgumentError(
            f"a cell must return a tensor of shape (n, hidden_size) = ({size}, {hidden_size}), or a tuple that starts "
            f"with one; got {got}. See the cell protocol in the documentation of RNNClassifier."
        )
    return output


def _reversal(batch_sizes: Tensor) -> Tensor:
    """Return the permutation of packed rows that reverses each sequence within its length; it is its own inverse."""
    steps = torch.arange(len(batch_sizes)).repeat_interleave(batch_sizes)  # (N,): the step of each row
    starts = batch_sizes.cumsum(0) - batch_sizes  # where each step starts
    columns = torch.arange(len(steps)) - starts[steps]  # (N,): the sequence of each row
    lengths = torch.bincount(columns)
    return starts[lengths[columns] - 1 - steps] + columns


def _make(cell: CellFactory, input_size: int, hidden_size: int) -> nn.Module:
    module = cell(input_size, hidden_size)
    if not isinstance(module, nn.Module):
        raise InvalidArgumentError(
            f"cell must make an nn.Module; got {type(module).__name__} from cell({input_size}, {hidden_size}). "
            "Pass the class of a cell, or a function that returns a new one."
        )
    return module
