"""The packed way: torch's own encoder over a `PackedSequence`, in one call or layer by layer."""

from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from seqclf.models.dropout import Dropout
from seqclf.models.execution.weights import KERNELS, layer_weights, zero_state
from seqclf.models.layout import Positions, layout_of


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

    @property
    def reads_ids(self) -> bool:
        """Whether the first layer takes ids, not vectors."""
        return False

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
        last = x.index_select(0, self.layout.last.to(x.device))
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
