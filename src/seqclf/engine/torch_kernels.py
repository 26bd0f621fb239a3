"""torch's own kernels, packed or padded: where the compiled ones cannot be used, and for comparison with them.

Padded is exact because nothing real ever reads the padding. In the forward direction it comes after all real steps, so
no real state depends on it. The backward direction is the forward kernel over steps that are reversed within each
length, which again leaves the padding at the end.
"""

from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from seqclf.engine.dropout import Dropout
from seqclf.engine.layout import Positions, last_states, layout_of
from seqclf.engine.weights import KERNELS, layer_weights, zero_state


class PackedBatch:
    """One batch, packed: the rows of its steps are (N, ...).

    Attributes:
        packed: The batch.
        layout: Where its rows stand.
        inputs: Its steps, (N,) of ids or (N, F) of features.
        encoder: What runs over it.
    """

    encoder: Any  # what each kind of it is for

    def __init__(self, inputs: Tensor | PackedSequence, lengths: Tensor) -> None:
        if isinstance(inputs, Tensor):
            inputs = pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
        self.packed = inputs
        self.layout = layout_of(inputs)
        self.inputs = inputs.data

    @cached_property
    def positions(self) -> Positions:
        """The sequence and step of each of the N rows."""
        return Positions.of_packed(self.packed)

    def pad(self, x: Tensor) -> Tensor:
        """Return states (N, D) as (B, T, D), in the order of the batch, zero behind the end of each sequence."""
        states, _ = pad_packed_sequence(self.packed._replace(data=x), batch_first=True)
        return states

    def last(self, x: Tensor) -> Tensor:
        """Return from states (N, D) each direction's state after its last step, (B, D), in the order of the batch."""
        last = x.index_select(0, self.layout.last_rows.to(x.device))
        if self.encoder.bidirectional:
            half = self.encoder.hidden_size
            last = torch.cat([last[:, :half], x[: self.layout.batch, half:]], dim=1)
        return self.unsort(last)

    def unsort(self, x: Tensor) -> Tensor:
        """Bring rows (B, ...), longest sequence first, into the order of the batch."""
        order = self.packed.unsorted_indices
        return x if order is None else x.index_select(0, order)


class Packed(PackedBatch):
    """One packed batch for one of torch's encoders."""

    encoder: nn.RNNBase

    def __init__(self, encoder: nn.RNNBase, inputs: Tensor | PackedSequence, lengths: Tensor) -> None:
        super().__init__(inputs, lengths)
        self.encoder = encoder

    def run(self, x: Tensor) -> Tensor:
        """Run all layers over (N, E); return (N, directions * H)."""
        states: Tensor = self.encoder(self.packed._replace(data=x))[0].data
        return states

    def run_layer(self, x: Tensor, layer: int, dropout: Dropout | None) -> Tensor:
        """Run one layer over (N, E); return (N, directions * H)."""
        encoder, rate = self.encoder, dropout.weights if dropout else 0.0
        directions = 2 if encoder.bidirectional else 1
        weights = [part for number in range(directions) for part in layer_weights(encoder, layer, number, rate)]
        state = zero_state(encoder, x, directions, int(self.packed.batch_sizes[0]))
        # has_biases, num_layers, dropout, train, bidirectional
        settings = (True, 1, 0.0, encoder.training, encoder.bidirectional)
        states: Tensor = KERNELS[encoder.mode](x, self.packed.batch_sizes, state, weights, *settings)[0]
        return states


class Padded:
    """One batch for one of torch's encoders, padded: x is (B, T, ...), meaningless but finite behind the ends."""

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
