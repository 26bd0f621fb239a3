"""The padded way: fused kernels over right-padded steps, exact because nothing real ever reads the padding.

In the forward direction, padding comes after all real steps, so no real state depends on it. The backward direction is
the forward kernel over steps that are reversed within each length, which again leaves the padding at the end.
"""

from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from seqclf.models.dropout import Dropout
from seqclf.models.execution.weights import KERNELS, layer_weights, zero_state
from seqclf.models.layout import Positions
from seqclf.models.pooling import last_states


class Padded:
    """One batch for one of torch's encoders, padded: x is (B, T, ...), meaningless but finite behind the ends."""

    reads_ids = False

    def __init__(
        self,
        encoder: nn.RNNBase,
        inputs: Tensor | PackedSequence,
        lengths: Tensor,
        truncate_steps: int | None = None,
    ) -> None:
        if isinstance(inputs, PackedSequence):
            inputs, _ = pad_packed_sequence(inputs, batch_first=True)
        self.encoder = encoder
        self.inputs = _clear_padding(inputs, lengths)
        self.lengths = lengths
        self.truncate_steps = truncate_steps

    @cached_property
    def positions(self) -> Positions:
        """The sequence and step of each place."""
        return Positions.of_padded(*self.inputs.shape[:2])

    def run(self, x: Tensor) -> Tensor:
        """Run all layers over (B, T, E); return (B, T, directions * H)."""
        if not self.encoder.bidirectional and self.truncate_steps is None:
            states: Tensor = self.encoder(x)[0]
            return states
        for layer in range(self.encoder.num_layers):
            x = self.run_layer(x, layer, None)
        return x

    def run_layer(self, x: Tensor, layer: int, dropout: Dropout | None) -> Tensor:
        """Run one layer over (B, T, E); return (B, T, directions * H)."""
        rate = dropout.weights if dropout else 0.0
        forward = self._run_direction(x, layer_weights(self.encoder, layer, 0, rate))
        if not self.encoder.bidirectional:
            return forward
        index = self._reversal.to(x.device)
        backward = self._run_direction(_reverse(x, index), layer_weights(self.encoder, layer, 1, rate))
        return torch.cat([forward, _reverse(backward, index)], dim=2)

    def pad(self, x: Tensor) -> Tensor:
        """Return states as they are, (B, T, D)."""
        return x

    def last(self, x: Tensor) -> Tensor:
        """Return from states (B, T, D) each direction's state after its last step, (B, D)."""
        return last_states(x, self.lengths, bidirectional=self.encoder.bidirectional)

    def _run_direction(self, x: Tensor, weights: list[Tensor]) -> Tensor:
        """Run one direction of a layer, in windows between which no gradient flows where steps are truncated."""
        state = zero_state(self.encoder, x, 1, len(x))
        states = []
        for window in torch.split(x, self.truncate_steps or x.shape[1], dim=1):
            # has_biases, num_layers, dropout, train, bidirectional, batch_first
            settings = (True, 1, 0.0, self.encoder.training, False, True)
            outputs, *last = KERNELS[self.encoder.mode](window, state, weights, *settings)
            states.append(outputs)
            last = [part.detach() for part in last]
            state = tuple(last) if len(last) > 1 else last[0]
        return states[0] if len(states) == 1 else torch.cat(states, dim=1)

    @cached_property
    def _reversal(self) -> Tensor:
        """For each row the order (B, T) that reverses its real steps and leaves its padding where it is."""
        step, ends = torch.arange(self.inputs.shape[1]), self.lengths[:, None]
        return torch.where(step < ends, ends - 1 - step, step)


def _clear_padding(inputs: Tensor, lengths: Tensor) -> Tensor:
    """Cut off steps that are padding in every row, and put zeros for the rest, whatever (NaN too) stood there."""
    inputs = inputs[:, : int(lengths.max())]
    if int(lengths.min()) == inputs.shape[1]:
        return inputs
    is_padding = (torch.arange(inputs.shape[1]) >= lengths[:, None]).to(inputs.device)  # (B, T)
    return inputs.masked_fill(is_padding if inputs.ndim == 2 else is_padding[..., None], 0)


def _reverse(x: Tensor, index: Tensor) -> Tensor:
    return x.gather(1, index[..., None].expand(x.shape))
