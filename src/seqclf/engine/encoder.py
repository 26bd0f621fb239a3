"""Encoders: stacked, one- or two-directional recurrences. torch's own for the built-in cells, ours for any other."""

import inspect

from torch import nn

from seqclf.cells.protocol import CellFactory
from seqclf.choices import CellName
from seqclf.errors import InvalidArgumentError


def build_encoder(
    cell: CellName | CellFactory, input_size: int, hidden_size: int, *, num_layers: int, bidirectional: bool
) -> "nn.RNNBase | CellEncoder":
    """Make the encoder for `cell`: `nn.LSTM`, `nn.GRU` or `nn.RNN` by name, otherwise a `CellEncoder`."""
    if callable(cell):
        return CellEncoder(cell, input_size, hidden_size, num_layers=num_layers, bidirectional=bidirectional)
    if cell == "lstm":
        return nn.LSTM(input_size, hidden_size, num_layers, batch_first=True, bidirectional=bidirectional)
    if cell == "gru":
        return nn.GRU(input_size, hidden_size, num_layers, batch_first=True, bidirectional=bidirectional)
    nonlinearity = "relu" if cell == "rnn_relu" else "tanh"
    return nn.RNN(input_size, hidden_size, num_layers, nonlinearity, batch_first=True, bidirectional=bidirectional)


class CellEncoder(nn.Module):
    """The cells of a stacked recurrence, for cells that take one step; `execution` runs them.

    Args:
        cell: Makes a cell from (input_size, hidden_size); called once for each layer and direction.
        input_size: The number of features of the inputs.
        hidden_size: The number of features that a cell puts out.
        num_layers: How many layers lie on top of each other.
        bidirectional: Whether each layer also runs backwards; outputs are then the two halves side by side.

    Attributes:
        cells: The cells, layer by layer, and within a layer forwards first.
    """

    def __init__(
        self, cell: CellFactory, input_size: int, hidden_size: int, *, num_layers: int = 1, bidirectional: bool = False
    ) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bidirectional = bidirectional
        directions = 2 if bidirectional else 1
        widths = [input_size] + [hidden_size * directions] * (num_layers - 1)
        self.cells = nn.ModuleList(_make(cell, width, hidden_size) for width in widths for _ in range(directions))

    def cell(self, layer: int, direction: int) -> nn.Module:
        """Return the cell of one layer and direction, 0 for forwards and 1 for backwards."""
        return self.cells[layer * (2 if self.bidirectional else 1) + direction]


def _make(cell: CellFactory, input_size: int, hidden_size: int) -> nn.Module:
    module = cell(input_size, hidden_size)
    if not isinstance(module, nn.Module):
        raise InvalidArgumentError(
            f"cell must make an nn.Module; got {type(module).__name__} from cell({input_size}, {hidden_size}). "
            "Pass the class of a cell, or a function that returns a new one."
        )
    if isinstance(module, nn.RNNBase):
        raise InvalidArgumentError(
            f"cell must make modules that take one step; got {type(module).__name__}, which runs whole sequences. "
            "Pass 'lstm', 'gru' or 'rnn', or a cell such as nn.LSTMCell."
        )
    try:
        inspect.signature(module.forward).bind(None, None)
    except TypeError as error:
        raise InvalidArgumentError(
            f"cell must make modules whose forward takes a step and a state; got {type(module).__name__}: {error}. "
            "Pass a cell, such as nn.GRUCell."
        ) from None
    return module
