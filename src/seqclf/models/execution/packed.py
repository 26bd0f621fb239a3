"""The packed way: torch's own encoder over a `PackedSequence`, in one call or layer by layer."""

from functools import cached_property

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from seqclf.models.dropout import Dropout
from seqclf.models.execution.weights import KERNELS, layer_weights, zero_state
from seqclf.models.positions import Positions


class PackedBatch:
    """One batch, packed: the rows of its steps are (N, ...).

    Attributes:
        packed: The batch.
        inputs: Its steps, (N,) of ids or (N, F) of features.
    """

    def __init__(self, inputs: Tensor | PackedSequence, lengths: Tensor) -> None:
        if isinstance(inputs, Tensor):
            inputs = pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
        self.packed = inputs
        self.inputs = inputs.data

    @cached_property
    def positions(self) -> Positions:
        """The sequence and step of each of the N rows."""
        return Positions.of_packed(self.packed)

    def pad(self, x: Tensor) -> Tensor:
        """Return states (N, D) as (B, T, D), in the order of the batch, zero behind the end of each sequence."""
        states, _ = pad_packed_sequence(self.packed._replace(data=x), batch_first=True)
        return states


class Packed(PackedBatch):
    """One packed batch for one of torch's encoders."""

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
