"""The plan: which kernels run a model, how much of it, and why. What `explain_execution` shows is what is run."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module

from seqclf.engine.encoder import CellEncoder
from seqclf.engine.library import MOST_POOLINGS, library

# Hooks that are called for every module there is.
_everyones_hooks = (
    torch_module._global_forward_hooks,
    torch_module._global_forward_pre_hooks,
    torch_module._global_backward_hooks,
    torch_module._global_backward_pre_hooks,
)

_MUST_BE_CALLED = "a subclass, or hooks of the model, must be called"

ExecutionName = Literal["auto", "native", "padded", "packed"]
Backend = Literal["native", "padded", "packed", "cells"]
Scope = Literal["training step", "classifier", "layers"]


@dataclass(frozen=True)
class ExecutionPlan:
    """How a batch is run.

    Attributes:
        backend: `"native"`, the library's compiled kernels; `"padded"` or `"packed"`, torch's own; or `"cells"`, one
            step after the other.
        scope: How much one call of it does: the recurrent `"layers"`, the `"classifier"` from symbols to logits, or,
            in `fit`, a whole `"training step"` with all gradients.
        reason: Why not faster, or why so fast.
    """

    backend: Backend
    scope: Scope
    reason: str


def plan_forward(model: Any, lengths: Tensor, *, drops_states: bool, truncates: bool) -> ExecutionPlan:
    """Return how a forward call of a classifier runs a batch of such lengths."""
    encoder = model.encoder
    if isinstance(encoder, CellEncoder):
        return ExecutionPlan("cells", "layers", "cells other than the built-in ones take one step at a time")
    obstacle = native_obstacle(model)
    if not obstacle:
        return _plan_native(model)
    if drops_states:
        return ExecutionPlan("cells", "layers", f"recurrent_dropout takes one step at a time where {obstacle}")
    if truncates:
        return ExecutionPlan("padded", "layers", f"truncate_steps runs padded where {obstacle}")
    if model.execution in {"padded", "packed"}:
        return ExecutionPlan(model.execution, "layers", obstacle)
    return ExecutionPlan(_choose_layout(encoder, lengths), "layers", obstacle)


def _choose_layout(encoder: nn.RNNBase, lengths: Tensor) -> Literal["padded", "packed"]:
    """Choose between torch's own kernels.

    On a GPU packed batches keep both directions in one call. On a CPU torch has a fused kernel for padded LSTMs, which
    is worth up to twice the steps; its others are about as fast either way, so that padding only costs.
    """
    if encoder.weight_hh_l0.device.type != "cpu":
        return "packed" if encoder.bidirectional else "padded"
    padding = len(lengths) * int(lengths.max()) / int(lengths.sum())
    return "padded" if padding <= (2.0 if encoder.mode == "LSTM" else 1.2) else "packed"


def _plan_native(model: Any) -> ExecutionPlan:
    head, pooling = model.head, model.pooling
    if not 0 < len(model.native_poolings) <= MOST_POOLINGS:
        why = f"the pooling, {type(pooling).__name__}, is left to torch"
    elif type(head) is not nn.Linear or head.bias is None:
        why = f"the head, {type(head).__name__}, is left to torch"
    elif any(map(is_watched, (head, *pooling.modules()))):
        why = "hooks or parametrizations of pooling and head are left to torch"
    else:
        return ExecutionPlan("native", "classifier", "nothing is left to torch")
    return ExecutionPlan("native", "layers", why)


def native_obstacle(model: Any) -> str:
    """Return why the compiled kernels cannot run a classifier's layers, as the end of a sentence; "" if they can."""
    return next(_obstacles(model), "")


def _obstacles(model: Any) -> Iterator[str]:
    encoder, embedding, features, weight = model.encoder, model.embedding, model.features, model.head.weight
    if model.execution in {"padded", "packed"}:
        yield f"execution={model.execution!r} was asked for"
    if not weight.is_cpu:
        yield f"the weights lie on {weight.device}, which torch's own kernels are for"
    if type(encoder) not in {nn.LSTM, nn.GRU, nn.RNN} or not encoder.bias or encoder.proj_size:
        yield f"the encoder, {type(encoder).__name__}, was replaced by one that the compiled kernels do not know"
    if weight.dtype not in {torch.float32, torch.float64} or {one.dtype for one in _weights(model)} != {weight.dtype}:
        yield f"the weights are {str(weight.dtype).removeprefix('torch.')}, or of several types, not float32 or float64"
    if torch.is_autocast_enabled("cpu"):
        yield "autocast is on"
    if embedding is not None and model.vectors is None:
        yield "options of the embedding, such as max_norm, are left to torch"
    read = (embedding, model.position_vectors, model.ngram_vectors, *(() if features is None else features.modules()))
    if any(is_watched(module) for module in (encoder, *read) if module is not None):
        yield "hooks or parametrizations of embedding or encoder are for torch to run"
    if library() is None:
        yield "the compiled kernels could not be loaded (see the warning)"


def plan_inference(model: Any, lengths: Tensor, *, is_subclass: bool) -> ExecutionPlan:
    """Return how `predict` and its like run a batch: a model that has to be called, as a subclass's own, is called."""
    plan = plan_forward(model, lengths, drops_states=False, truncates=False)
    if plan.scope != "classifier" or not (is_subclass or is_watched(model)):
        return plan
    return replace(plan, scope="layers", reason=_MUST_BE_CALLED)


def plan_training(model: Any, lengths: Tensor, *, is_subclass: bool) -> ExecutionPlan:
    """Return how `fit` computes the gradients of a batch."""
    obstacle = next(_training_obstacles(model, is_subclass), "")
    if not obstacle:
        return ExecutionPlan("native", "training step", "nothing is left to torch")
    plan = plan_forward(
        model, lengths, drops_states=bool(model.recurrent_dropout), truncates=model.truncate_steps is not None
    )
    return plan if plan.scope == "layers" else replace(plan, reason=obstacle)


def _training_obstacles(model: Any, is_subclass: bool) -> Iterator[str]:
    """Yield why `fit` cannot compute a whole step's gradients in one call."""
    if is_subclass or is_watched(model):
        yield _MUST_BE_CALLED
    if not isinstance(model.encoder, nn.RNNBase):
        yield "cells other than the built-in ones take one step at a time"
    yield from _obstacles(model)
    plan = _plan_native(model)
    if plan.scope != "classifier":
        yield plan.reason
    if model.weight_dropout:
        yield "weight_dropout draws from torch's generator"
    if torch.is_anomaly_enabled():
        yield "anomaly mode watches autograd"
    if any(_has_hooks(parameter) for parameter in model.parameters()):
        yield "hooks of weights are for autograd to call"


def _weights(model: Any) -> list[Tensor]:
    """Return the weights that the kernels would read, but for the head's."""
    found = [*model.encoder._flat_weights, *model.pooling.parameters()]  # the former are what torch's own kernels read
    return found if model.vectors is None else [*found, *model.vectors.tables()]


def _has_hooks(parameter: nn.Parameter) -> bool:
    return bool(parameter._backward_hooks or getattr(parameter, "_post_accumulate_grad_hooks", None))


def is_watched(module: nn.Module) -> bool:
    """Whether a module has hooks, or weights that are computed from others."""
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
        or "parametrizations" in module._modules
        or any(_everyones_hooks)
    )
