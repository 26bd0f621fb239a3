"""The packed way: the inputs as a `PackedSequence`, one call of the encoder."""

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from seqclf.models.encoder import CellEncoder, Embed


def run(encoder: nn.RNNBase | CellEncoder, embed: Embed, inputs: Tensor | PackedSequence, lengths: Tensor) -> Tensor:
    """Return the states (B, T, directions * H), zero behind the end of each sequence."""
    if isinstance(inputs, Tensor):
        inputs = pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
    packed, _ = encoder(inputs._replace(data=embed(inputs.data)))
    states, _ = pad_packed_sequence(packed, batch_first=True)
    return states
