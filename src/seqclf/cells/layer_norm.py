"""Cells with layer normalisation: every sequence and step by itself, so it is the same in any batch."""

import torch
from torch import Tensor, nn

from seqclf.cells.protocol import ProjectedCell, State

__all__ = ["LayerNormGRUCell", "LayerNormLSTMCell"]


class LayerNormLSTMCell(ProjectedCell):
    """An LSTM with layer normalisation of the inputs' part, of the states' part, and of the memory.

    Args:
        input_size: The number of features E of the input.
        hidden_size: The number of features H of the state.

    References:
        Ba, Kiros and Hinton, Layer Normalization, 2016, the LSTM of the supplementary material. The forget gate's bias
        starts at 1.

    Example:
        >>> import torch
        >>> output, memory = LayerNormLSTMCell(3, 4)(torch.ones(2, 3), None)
        >>> output.shape, memory.shape
        (torch.Size([2, 4]), torch.Size([2, 4]))
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        input_norm = nn.LayerNorm(4 * hidden_size)  # its shift is the bias of the gates, and one is enough
        nn.init.ones_(input_norm.bias[hidden_size : 2 * hidden_size])
        self.project = nn.Sequential(nn.Linear(input_size, 4 * hidden_size, bias=False), input_norm)
        self.recur = nn.Sequential(
            nn.Linear(hidden_size, 4 * hidden_size, bias=False), nn.LayerNorm(4 * hidden_size, bias=False)
        )
        self.norm = nn.LayerNorm(hidden_size)

    def step(self, projected: Tensor, state: State | None) -> State:
        """Take one step from the projected inputs (n, 4 * H): input, forget, candidate, output."""
        if state is None:  # the norm of a product with zeros is zero
            memory = projected.new_zeros(len(projected), self.hidden_size)
            gates = projected
        else:
            output, memory = state
            gates = projected + self.recur(output)
        i, f, g, o = gates.chunk(4, dim=1)
        memory = torch.addcmul(torch.sigmoid(f) * memory, torch.sigmoid(i), torch.tanh(g))
        return torch.sigmoid(o) * torch.tanh(self.norm(memory)), memory


class LayerNormGRUCell(ProjectedCell):
    """A GRU with layer normalisation of the inputs' part and of the states' part.

    Args:
        input_size: The number of features E of the input.
        hidden_size: The number of features H of the state.

    References:
        Ba, Kiros and Hinton, Layer Normalization, 2016, the GRU of the supplementary material, with torch's sense of
        the update gate: how much of the state is kept.

    Example:
        >>> import torch
        >>> LayerNormGRUCell(3, 4)(torch.ones(2, 3), None).shape
        torch.Size([2, 4])
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.from_input = nn.Linear(input_size, 3 * hidden_size, bias=False)
        self.from_state = nn.Linear(hidden_size, 3 * hidden_size, bias=False)
        self.input_norms = nn.ModuleList([nn.LayerNorm(2 * hidden_size), nn.LayerNorm(hidden_size)])
        self.state_norms = nn.ModuleList([nn.LayerNorm(2 * hidden_size, bias=False), nn.LayerNorm(hidden_size)])

    def project(self, x: Tensor) -> Tensor:
        """Map inputs (n, E) to the normalised parts of gates and candidate, (n, 3 * H)."""
        return self._normalise(self.from_input(x), self.input_norms)

    def step(self, projected: Tensor, state: State | None) -> State:
        """Take one step from the projected inputs (n, 3 * H): reset, update, candidate."""
        assert not isinstance(state, tuple)
        state = projected.new_zeros(len(projected), self.hidden_size) if state is None else state
        recurrent = self._normalise(self.from_state(state), self.state_norms)
        size = 2 * self.hidden_size
        reset, update = torch.sigmoid(projected[:, :size] + recurrent[:, :size]).chunk(2, dim=1)
        candidate = torch.tanh(torch.addcmul(projected[:, size:], reset, recurrent[:, size:]))
        return torch.lerp(candidate, state, update)

    def _normalise(self, parts: Tensor, norms: nn.ModuleList) -> Tensor:
        """Normalise the gates together and the candidate by itself."""
        gates, candidate = torch.split(parts, [2 * self.hidden_size, self.hidden_size], dim=1)
        return torch.cat([norms[0](gates), norms[1](candidate)], dim=1)
