"""Cells: the table of names, and the protocol that any other cell fulfils."""

from collections.abc import Callable
from typing import Literal, Protocol, get_args

from torch import Tensor, nn

from seqclf.errors import InvalidArgumentError, did_you_mean

State = Tensor | tuple[Tensor, ...]
CellName = Literal["lstm", "gru", "rnn", "rnn_relu"]


class Cell(Protocol):
    """What an own cell does: one step for many sequences at once.

    `cell(x_t, state)` takes the inputs of one step, shape (n, input_size), and the state that it returned for the step
    before, or None at the first step, which means zeros. It returns the new state: a tensor of shape (n, hidden_size),
    or a tuple of tensors whose first is the output, of that shape. Row i of everything belongs to one sequence, and no
    row may depend on another. n shrinks as the shorter sequences end.
    """

    def __call__(self, x_t: Tensor, state: State | None) -> State:
        """Take one step."""
        ...


CellFactory = Callable[[int, int], nn.Module]

# torch's own cells, which a saved model can name, so that `load` needs no help to make them again.
TORCH_CELLS: dict[str, CellFactory] = {
    "torch.nn.LSTMCell": nn.LSTMCell,
    "torch.nn.GRUCell": nn.GRUCell,
    "torch.nn.RNNCell": nn.RNNCell,
}


def cell_name(cell: CellName | CellFactory) -> str:
    """Return the name by which a model file calls `cell`; `"custom"` for one that only the user can supply."""
    if isinstance(cell, str):
        return cell
    return next((name for name, factory in TORCH_CELLS.items() if factory is cell), "custom")


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
