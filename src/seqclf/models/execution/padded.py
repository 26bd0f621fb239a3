"""The padded way: fused kernels over right-padded steps, exact because nothing real ever reads the padding.

In the forward direction, padding comes after all real steps, so no real state depends on it. The backward direction is
the forward kernel over steps that are reversed within each length, which again leaves the padding at the end.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from seqclf.models.encoder import Embed
from seqclf.models.execution.weights import KERNELS, choose_weights, select_layer, zero_state


def run(
    encoder: nn.RNNBase,
    embed: Embed,
    inputs: Tensor | PackedSequence,
    lengths: Tensor,
    weight_dropout: float = 0.0,
) -> Tensor:
    """Return the states (B, T, directions * H); behind the end of each sequence they are meaningless but finite."""
    if isinstance(inputs, PackedSequence):
        inputs, _ = pad_packed_sequence(inputs, batch_first=True)
    x: Tensor = embed(_clear_padding(inputs, lengths))  # (B, T, E)
    if not encoder.bidirectional and not weight_dropout:
        x, _ = encoder(x)
        return x
    weights = choose_weights(encoder, weight_dropout)
    index = _reversal(lengths, x.shape[1]).to(x.device) if encoder.bidirectional else None
    for layer in range(encoder.num_layers):
        halves = [_run_layer(encoder, x, select_layer(weights, f"l{layer}"))]
        if index is not None:
            backward = _run_layer(encoder, _reverse(x, index), select_layer(weights, f"l{layer}_reverse"))
            halves.append(_reverse(backward, index))
        x = torch.cat(halves, dim=2)  # (B, T, directions * H)
        if encoder.dropout and layer < encoder.num_layers - 1:
            x = functional.dropout(x, encoder.dropout, encoder.training)
    return x


def _clear_padding(inputs: Tensor, lengths: Tensor) -> Tensor:
    """Cut off steps that are padding in every row, and put zeros for the rest, whatever (NaN too) stood there."""
    inputs = inputs[:, : int(lengths.max())]
    if int(lengths.min()) == inputs.shape[1]:
        return inputs
    is_padding = (torch.arange(inputs.shape[1]) >= lengths[:, None]).to(inputs.device)  # (B, T)
    return inputs.masked_fill(is_padding if inputs.ndim == 2 else is_padding[..., None], 0)


def _run_layer(encoder: nn.RNNBase, x: Tensor, weights: list[Tensor]) -> Tensor:
    """Run one layer in one direction over (B, T, E)."""
    state = zero_state(encoder, x, 1, len(x))
    # has_biases, num_layers, dropout, train, bidirectional, batch_first
    states: Tensor = KERNELS[encoder.mode](x, state, weights, True, 1, 0.0, encoder.training, False, True)[0]
    return states


def _reversal(lengths: Tensor, steps: int) -> Tensor:
    """Return for each row the order (B, T) that reverses its real steps and leaves its padding where it is."""
    step = torch.arange(steps)
    return torch.where(step < lengths[:, None], lengths[:, None] - 1 - step, step)


def _reverse(x: Tensor, index: Tensor) -> Tensor:
    return x.gather(1, index[..., None].expand(x.shape))
