"""The weights that one of torch's encoders runs with: its own, or with some of them dropped."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

Weights = dict[str, Tensor]

_KINDS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")

KERNELS: dict[str, Any] = {
    "LSTM": torch.lstm,
    "GRU": torch.gru,
    "RNN_TANH": torch.rnn_tanh,
    "RNN_RELU": torch.rnn_relu,
}


def choose_weights(encoder: nn.RNNBase, dropout: float) -> Weights:
    """Return the weights by name, in the order of torch's kernels, some of those from state to state dropped.

    Each is dropped with the given probability, and the others are scaled up. One draw serves the whole batch and all
    its steps, so how sequences are batched has no part in it.

    Source:
        Merity, Keskar and Socher, Regularizing and Optimizing LSTM Language Models, ICLR 2018, section 2; after
        Wan et al., Regularization of Neural Networks using DropConnect, ICML 2013.
    """
    suffixes = ("", "_reverse") if encoder.bidirectional else ("",)
    layers = [f"l{layer}{suffix}" for layer in range(encoder.num_layers) for suffix in suffixes]
    weights: Weights = {f"{kind}_{layer}": getattr(encoder, f"{kind}_{layer}") for layer in layers for kind in _KINDS}
    if dropout:
        weights |= {
            f"weight_hh_{layer}": functional.dropout(weights[f"weight_hh_{layer}"], dropout) for layer in layers
        }
    return weights


def select_layer(weights: Weights, suffix: str) -> list[Tensor]:
    """Return the weights of one layer in one direction, in the order of torch's kernels."""
    return [weights[f"{kind}_{suffix}"] for kind in _KINDS]


def zero_state(encoder: nn.RNNBase, like: Tensor, layers: int, rows: int) -> Tensor | tuple[Tensor, Tensor]:
    """Return the state before the first step, as torch's kernels expect it."""
    zeros = like.new_zeros(layers, rows, encoder.hidden_size)
    return (zeros, zeros) if encoder.mode == "LSTM" else zeros
