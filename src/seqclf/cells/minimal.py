"""minGRU and minLSTM: gates that see the input alone, so that all steps can be computed at once."""

from abc import abstractmethod

import torch
from torch import Tensor, nn

from seqclf.cells.protocol import ScanCell, State
from seqclf.cells.scan import linear_scan

__all__ = ["MinGRUCell", "MinLSTMCell"]


class _LinearCell(ScanCell):
    """h_t = keep_t * h_{t-1} + new_t, both from the input alone."""

    @abstractmethod
    def split(self, projected: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is kept and what is added, each (..., H), from the projected inputs."""

    def step(self, projected: Tensor, state: State | None) -> State:
        """Take one step from the projected inputs (n, P)."""
        assert not isinstance(state, tuple)
        keep, new = self.split(projected)
        return new if state is None else torch.addcmul(new, keep, state)

    def scan(self, projected: Tensor, state: Tensor | None) -> Tensor:
        """Take all steps from the projected inputs (B, T, P)."""
        return linear_scan(*self.split(projected), state)


class MinGRUCell(_LinearCell):
    """minGRU: h_t = (1 - z_t) * h_{t-1} + z_t * W_h x_t, with the gate z_t = sigmoid(W_z x_t).

    The state goes on without a product, and long sequences train many times faster than with a GRU. What it cannot do
    in one layer is to let the past decide what to do with the present; with several layers it can.

    Args:
        input_size: The number of features E of the input.
        hidden_size: The number of features H of the state.

    References:
        Feng, Tung, Ahmed, Bengio and Hajimirsadeghi, Were RNNs All We Needed?, 2024, section 3.1.

    Example:
        >>> import torch
        >>> MinGRUCell(3, 4)(torch.ones(2, 3), None).shape
        torch.Size([2, 4])
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.project = nn.Linear(input_size, 2 * hidden_size)  # gate, candidate

    def split(self, projected: Tensor) -> tuple[Tensor, Tensor]:
        """Return 1 - z_t and z_t * W_h x_t."""
        gate, candidate = projected.chunk(2, dim=-1)
        gate = torch.sigmoid(gate)
        return 1 - gate, gate * candidate


class MinLSTMCell(_LinearCell):
    """minLSTM: h_t = f'_t * h_{t-1} + i'_t * W_h x_t, whose two gates see the input alone and sum to 1.

    Args:
        input_size: The number of features E of the input.
        hidden_size: The number of features H of the state.

    References:
        Feng, Tung, Ahmed, Bengio and Hajimirsadeghi, Were RNNs All We Needed?, 2024, section 3.2.

    Example:
        >>> import torch
        >>> MinLSTMCell(3, 4)(torch.ones(2, 3), None).shape
        torch.Size([2, 4])
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.project = nn.Linear(input_size, 3 * hidden_size)  # forget, input, candidate

    def split(self, projected: Tensor) -> tuple[Tensor, Tensor]:
        """Return f'_t and i'_t * W_h x_t."""
        forget, enter, candidate = projected.chunk(3, dim=-1)
        # sigmoid(f) / (sigmoid(f) + sigmoid(i)), without a division by what could be zero
        keep = torch.sigmoid(nn.functional.logsigmoid(forget) - nn.functional.logsigmoid(enter))
        return keep, (1 - keep) * candidate
