"""The packed way: the inputs as a `PackedSequence`, one call of the encoder."""

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from seqclf.models.encoder import CellEncoder, Embed
from seqclf.models.execution.weights import KERNELS, choose_weights, zero_state


def run(
    encoder: nn.RNNBase | CellEncoder,
    embed: Embed,
    inputs: Tensor | PackedSequence,
    lengths: Tensor,
    weight_dropout: float = 0.0,
) -> Tensor:
    """Return the states (B, T, directions * H), zero behind the end of each sequence."""
    if isinstance(inputs, Tensor):
        inputs = pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
    packed = inputs._replace(data=embed(inputs.data))
    if weight_dropout and isinstance(encoder, nn.RNNBase):
        packed = _run_with_dropped_weights(encoder, packed, weight_dropout)
    else:
        packed, _ = encoder(packed)
    states, _ = pad_packed_sequence(packed, batch_first=True)
    return states


def _run_with_dropped_weights(encoder: nn.RNNBase, packed: PackedSequence, weight_dropout: float) -> PackedSequence:
    """Do what the encoder's own forward does, with weights of which some are dropped."""
    weights = list(choose_weights(encoder, weight_dropout).values())
    layers = encoder.num_layers * (2 if encoder.bidirectional else 1)
    state = zero_state(encoder, packed.data, layers, int(packed.batch_sizes[0]))
    # has_biases, num_layers, dropout, train, bidirectional
    settings = (True, encoder.num_layers, encoder.dropout, encoder.training, encoder.bidirectional)
    data = KERNELS[encoder.mode](packed.data, packed.batch_sizes, state, weights, *settings)[0]
    return packed._replace(data=data)
