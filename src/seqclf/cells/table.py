"""The table of cells: by which names `RNNClassifier` and model files know them."""

from typing import get_args

from torch import nn

from seqclf.cells.independent import IndRNNCell
from seqclf.cells.layer_norm import LayerNormGRUCell, LayerNormLSTMCell
from seqclf.cells.minimal import MinGRUCell, MinLSTMCell
from seqclf.cells.peephole import PeepholeLSTMCell
from seqclf.cells.protocol import CellFactory
from seqclf.choices import CellName
from seqclf.errors import InvalidArgumentError, did_you_mean

# Cells that a saved model can name, so that `load` needs no help to make them again.
KNOWN_CELLS: dict[str, CellFactory] = {
    "torch.nn.LSTMCell": nn.LSTMCell,
    "torch.nn.GRUCell": nn.GRUCell,
    "torch.nn.RNNCell": nn.RNNCell,
    "seqclf.cells.IndRNNCell": IndRNNCell,
    "seqclf.cells.LayerNormGRUCell": LayerNormGRUCell,
    "seqclf.cells.LayerNormLSTMCell": LayerNormLSTMCell,
    "seqclf.cells.MinGRUCell": MinGRUCell,
    "seqclf.cells.MinLSTMCell": MinLSTMCell,
    "seqclf.cells.PeepholeLSTMCell": PeepholeLSTMCell,
}


def cell_name(cell: CellName | CellFactory) -> str:
    """Return the name by which a model file calls `cell`; `"custom"` for one that only the user can supply."""
    if isinstance(cell, str):
        return cell
    return next((name for name, factory in KNOWN_CELLS.items() if factory is cell), "custom")


def check_cell(cell: object) -> None:
    """Raise unless `cell` is a name from the table or a callable that makes cells."""
    names = get_args(CellName)
    if callable(cell) and not isinstance(cell, nn.Module):
        return
    if isinstance(cell, str) and cell in names:
        return
    hint = did_you_mean(cell, names) if isinstance(cell, str) else ""
    if isinstance(cell, nn.Module):
        hint = " Pass the class or a function that makes it: each layer and direction needs a cell of its own."
    raise InvalidArgumentError(
        f"cell must be one of {', '.join(map(repr, names))}, or a callable (input_size, hidden_size) -> nn.Module; "
        f"got {str(cell).splitlines()[0]!r}.{hint}"
    )
