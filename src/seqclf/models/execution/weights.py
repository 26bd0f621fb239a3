"""The weights that one of torch's encoders runs with: its own, or with some of them dropped."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

Weights = dict[str, Tensor]

KERNELS: dict[str, Any] = {
    "LSTM": torch.lstm,
    "GRU": torch.gru,
    "RNN_TANH": torch.rnn_tanh,
    "RNN_RELU": torch.rnn_relu,
}


def choose_weights(encoder: nn.RNNBase, dropout: float) -> Weights:
    """Return the weights by name; of those from state to state, each is dropped with the given probability.

    One draw serves the whole batch and all its steps, so how sequences are batched has no part in it.

    Source:
        Merity, Keskar and Socher, Regularizing and Optimizing LSTM Language Models, ICLR 2018, section 2; after
        Wan et al., Regularization of Neural Networks using DropConnect, ICML 2013.
    """
    weights: Weights = dict(encoder.named_parameters())
    if dropout:
        dropped = {name: functional.dropout(weights[name], dropout) for name in weights if "weight_hh" in name}
        weights |= dropped
    return weights


def select_layer(weights: Weights, suffix: str) -> list[Tensor]:
    """Return the weights of one layer in one direction, in the order of torch's kernels."""
    return [weights[f"{name}_{suffix}"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]


def zero_state(encoder: nn.RNNBase, like: Tensor, layers: int, rows: int) -> Tensor | tuple[Tensor, Tensor]:
    """Return the state before the first step, as torch's kernels expect it."""
    zeros = like.new_zeros(layers, rows, encoder.hidden_size)
    return (zeros, zeros) if encoder.mode == "LSTM" else zeros
