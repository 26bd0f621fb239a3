"""The LSTM whose gates see its memory."""

import math

import torch
from torch import Tensor, nn

from seqclf.cells.protocol import ProjectedCell, State

__all__ = ["PeepholeLSTMCell"]


class PeepholeLSTMCell(ProjectedCell):
    """An LSTM whose gates also see the memory: the input and forget gate as it was, the output gate as it becomes.

    Args:
        input_size: The number of features E of the input.
        hidden_size: The number of features H of the state.

    References:
        Gers, Schraudolph and Schmidhuber, Learning Precise Timing with LSTM Recurrent Networks, JMLR 3, 2002; in the
        form of Graves, Generating Sequences With Recurrent Neural Networks, 2013, equations 7 to 11, with peepholes
        from each memory to its own gates.

    Example:
        >>> import torch
        >>> output, memory = PeepholeLSTMCell(3, 4)(torch.ones(2, 3), None)
        >>> output.shape, memory.shape
        (torch.Size([2, 4]), torch.Size([2, 4]))
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(hidden_size)
        self.hidden_size = hidden_size
        self.project = nn.Linear(input_size, 4 * hidden_size)
        self.recurrent = nn.Linear(hidden_size, 4 * hidden_size, bias=False)
        self.peepholes = nn.Parameter(torch.empty(3, hidden_size).uniform_(-bound, bound))  # input, forget, output
        nn.init.uniform_(self.project.weight, -bound, bound)
        nn.init.uniform_(self.project.bias, -bound, bound)

    def step(self, projected: Tensor, state: State | None) -> State:
        """Take one step from the projected inputs (n, 4 * H): input, forget, candidate, output."""
        if state is None:
            zeros = projected.new_zeros(len(projected), self.hidden_size)
            state = (zeros, zeros)
        output, memory = state
        gates = projected + self.recurrent(output)
        i, f, g, o = gates.chunk(4, dim=1)
        to_i, to_f, to_o = self.peepholes
        kept = torch.sigmoid(torch.addcmul(f, to_f, memory)) * memory
        memory = torch.addcmul(kept, torch.sigmoid(torch.addcmul(i, to_i, memory)), torch.tanh(g))
        return torch.sigmoid(torch.addcmul(o, to_o, memory)) * torch.tanh(memory), memory
