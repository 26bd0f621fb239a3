"""The protocols of a cell: one step at a time; and, if it can, its input's part or all steps at once.

Legend: n rows, each of another sequence; E features of the input, H of the output, P of what `project` makes.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Protocol

from torch import Tensor, nn

State = Tensor | tuple[Tensor, ...]
CellFactory = Callable[[int, int], nn.Module]


class Cell(Protocol):
    """What a cell does: one step for many sequences at once.

    `cell(x_t, state)` takes the inputs of one step, shape (n, E), and the state that it returned for the step before,
    or None at the first step, which means zeros. It returns the new state: a tensor of shape (n, H), or a tuple of
    tensors whose first is the output, of that shape. Row i of everything belongs to one sequence, and no row may depend
    on another. n shrinks as the shorter sequences end.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> cell: Cell = nn.GRUCell(3, 4)
        >>> state = cell(torch.ones(2, 3), None)
        >>> cell(torch.ones(1, 3), state[:1]).shape  # the second sequence has ended
        torch.Size([1, 4])
    """

    def __call__(self, x_t: Tensor, state: State | None, /) -> State:
        """Take one step."""
        ...


class ProjectedCell(nn.Module):
    """A base class for cells whose step first maps the input: that is then done for all steps in one product.

    A class that derives from it writes `project`, what of a step depends on its input alone, and `step`, the rest.
    Together they are one step of the `Cell` protocol, so such a cell also runs wherever any other does. `forward` is
    not called in batches, so do not override it.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> class ElmanCell(ProjectedCell):
        ...     def __init__(self, input_size, hidden_size):
        ...         super().__init__()
        ...         self.project = nn.Linear(input_size, hidden_size)
        ...         self.recur = nn.Linear(hidden_size, hidden_size, bias=False)
        ...     def step(self, projected, state):
        ...         return torch.tanh(projected if state is None else projected + self.recur(state))
        >>> from seqclf import RNNClassifier, verify_batching
        >>> model = RNNClassifier(3, vocab_size=9, cell=ElmanCell, seed=0)
        >>> verify_batching(model, [[2, 3, 4], [5], [6, 7]]).passed
        True
    """

    project: Callable[[Tensor], Tensor]
    """Map inputs (n, E) of any steps to what `step` needs of them, (n, P)."""

    @abstractmethod
    def step(self, projected: Tensor, state: State | None) -> State:
        """Take one step from the projected inputs (n, P) and the state, as `Cell` does from inputs."""

    def forward(self, x_t: Tensor, state: State | None = None) -> State:
        """Take one step, as `Cell` says."""
        return self.step(self.project(x_t), state)


class ScanCell(ProjectedCell):
    """A cell that can also run all steps at once, because its state is a linear function of the state before.

    The state is one tensor, the output. `step` and `scan` must do the same: whoever overrides one, overrides both.

    Example:
        >>> import torch
        >>> from seqclf.cells import MinGRUCell
        >>> cell = MinGRUCell(3, 4)
        >>> isinstance(cell, ScanCell), cell.scan(cell.project(torch.ones(2, 5, 3)), None).shape
        (True, torch.Size([2, 5, 4]))
    """

    @abstractmethod
    def scan(self, projected: Tensor, state: Tensor | None) -> Tensor:
        """Return the outputs of all steps (B, T, H) from the projected inputs (B, T, P) and the state before (B, H)."""
