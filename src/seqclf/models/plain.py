"""Which models are plain enough to be run by hand: nothing that the hand would leave out is missed."""

import torch
from torch import nn

from seqclf.models.classifier import RNNClassifier
from seqclf.models.pooling import LastPooling


def is_plain(model: RNNClassifier) -> bool:
    """Tell whether a model is an embedding or features, one of torch's encoders, last states and a head, and no more.

    Otherwise as `has_plain_encoder`.
    """
    return has_plain_encoder(model) and type(model.pooling) is LastPooling


def has_plain_encoder(model: RNNClassifier) -> bool:
    """Tell whether a model is an embedding or features and one of torch's encoders, up to the pooling.

    That is, on the CPU, in one type of floats, with no hook, no weight that is computed from others, and left free to
    run in the fused way.
    """
    dtype = model.head.weight.dtype
    return (
        type(model) is RNNClassifier
        and model.execution in ("auto", "fused")
        and model.device.type == "cpu"
        and not torch.is_autocast_enabled("cpu")
        and _is_usual(model.encoder)
        and (model.features is not None or model.vectors is not None)
        and dtype in (torch.float32, torch.float64)
        and all(parameter.dtype == dtype for parameter in model.parameters())
        and not any(_is_watched(module) for module in model.modules())
    )


def _is_usual(encoder: nn.Module) -> bool:
    """Tell whether an encoder is one that torch has and this library makes: with biases, and nothing projected."""
    return type(encoder) in {nn.LSTM, nn.GRU, nn.RNN} and bool(encoder.bias) and not encoder.proj_size


def _is_watched(module: nn.Module) -> bool:
    """Tell whether a module has hooks, or weights that are computed from others."""
    hooks = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks)
    return any(hooks) or hasattr(module, "parametrizations")
