"""The weights that a layer of one of torch's encoders runs with: its own, or with some of them dropped."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

KERNELS: dict[str, Any] = {
    "LSTM": torch.lstm,
    "GRU": torch.gru,
    "RNN_TANH": torch.rnn_tanh,
    "RNN_RELU": torch.rnn_relu,
}


def layer_weights(encoder: nn.RNNBase, layer: int, direction: int, dropout: float = 0.0) -> list[Tensor]:
    """Return the weights of one direction of a layer, in the order of torch's kernels; some of weight_hh are dropped.

    Each is dropped with the given probability, and the others are scaled up. One draw serves the whole batch and all
    its steps, so how sequences are batched has no part in it.

    References:
        Merity, Keskar and Socher, Regularizing and Optimizing LSTM Language Models, ICLR 2018, section 2; after
        Wan et al., Regularization of Neural Networks using DropConnect, ICML 2013.
    """
    suffix = f"l{layer}_reverse" if direction else f"l{layer}"
    weight_ih, weight_hh, bias_ih, bias_hh = (
        getattr(encoder, f"{kind}_{suffix}") for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    return [weight_ih, functional.dropout(weight_hh, dropout) if dropout else weight_hh, bias_ih, bias_hh]


def zero_state(encoder: nn.RNNBase, like: Tensor, layers: int, rows: int) -> Tensor | tuple[Tensor, Tensor]:
    """Return the state before the first step, as torch's kernels expect it."""
    zeros = like.new_zeros(layers, rows, encoder.hidden_size)
    return (zeros, zeros) if encoder.mode == "LSTM" else zeros
