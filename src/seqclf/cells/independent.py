"""IndRNN: each feature of the state goes on by itself."""

from typing import Literal

import torch
from torch import Tensor, nn

from seqclf.cells.protocol import ProjectedCell, State
from seqclf.checks import check_choice

__all__ = ["IndRNNCell"]


class IndRNNCell(ProjectedCell):
    """IndRNN: h_t = act(W x_t + b + u * h_{t-1}), without a matrix product of the state, so cheap.

    Args:
        input_size: The number of features E of the input.
        hidden_size: The number of features H of the state.
        nonlinearity: `"relu"`, as in the paper, or `"tanh"`.

    References:
        Li, Li, Cook, Zhu and Gao, Independently Recurrent Neural Network (IndRNN), CVPR 2018, equation 2. The recurrent
        weights start between 0 and 1. The paper's clipping of them is left to the user: with relu, weights u above 1
        let states grow as u^T over T steps.

    Example:
        >>> import torch
        >>> cell = IndRNNCell(3, 4)
        >>> cell(torch.ones(2, 3), None).shape
        torch.Size([2, 4])
    """

    def __init__(self, input_size: int, hidden_size: int, nonlinearity: Literal["relu", "tanh"] = "relu") -> None:
        super().__init__()
        self.nonlinearity = check_choice("nonlinearity", nonlinearity, ("relu", "tanh"))
        self.project = nn.Linear(input_size, hidden_size)
        self.recurrent = nn.Parameter(torch.empty(hidden_size).uniform_())

    def step(self, projected: Tensor, state: State | None) -> State:
        """Take one step from the projected inputs (n, H)."""
        assert not isinstance(state, tuple)
        total = projected if state is None else torch.addcmul(projected, self.recurrent, state)
        return torch.relu(total) if self.nonlinearity == "relu" else torch.tanh(total)
