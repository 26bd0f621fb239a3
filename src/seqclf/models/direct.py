"""The gradients of a whole training step without autograd, for the models that this can be done for.

For short batches autograd's bookkeeping takes as long as the arithmetic. Where a model is an embedding, one of torch's
encoders, last states and a linear head, with nothing dropped, its gradient is a chain of few links, which this module
goes through by hand: the recurrences are the fused way's own, so the numbers are those that autograd gives.
"""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from seqclf.models.classifier import RNNClassifier
from seqclf.models.execution.choice import Shape, decide
from seqclf.models.execution.fused.reading import Reading
from seqclf.models.execution.fused.sharing import share
from seqclf.models.execution.fused.stack import Stack
from seqclf.models.execution.weights import layer_weights
from seqclf.models.inputs import unknown_ids
from seqclf.models.layout import layout_of
from seqclf.models.plain import is_plain


def goes_directly(model: RNNClassifier) -> bool:
    """Tell whether `step_directly` can take over from autograd: nothing that it leaves out would be missed."""
    return (
        is_plain(model)
        and type(model.head) is nn.Linear
        and not model.drops
        and not torch.is_anomaly_enabled()  # which watches autograd
        and model.truncate_steps is None
        and all(_is_left_alone(parameter) for parameter in model.parameters())
    )


def _is_left_alone(parameter: nn.Parameter) -> bool:
    hooks = parameter._backward_hooks or getattr(parameter, "_post_accumulate_grad_hooks", None)
    return parameter.requires_grad and not hooks


def suits_fused(model: RNNClassifier, packed: PackedSequence) -> bool:
    """Tell whether a model that `goes_directly` does so the faster for this batch."""
    layout, encoder = layout_of(packed), cast(nn.RNNBase, model.encoder)
    shape = Shape(layout.batch, len(layout.sizes), layout.total)
    decision = decide(encoder, shape, model.execution, drops_states=False, truncate_steps=None, directly=True)
    return decision.way == "fused"


@torch.no_grad()
def step_directly(model: RNNClassifier, packed: PackedSequence, gradient: Callable[[Tensor], Tensor]) -> Tensor:
    """Put the gradients of an objective into the weights of a model, in place of any before; return the logits (B, C).

    Args:
        model: One that `goes_directly`.
        packed: A batch, longest sequence first.
        gradient: What makes of logits (B, C) the gradient of the objective with respect to them.
    """
    encoder = cast(nn.RNNBase, model.encoder)
    weights, layout = _weights(encoder), layout_of(packed)
    steps, table = packed.data, model.vectors
    if model.features is not None:
        steps = model.features(packed).data
    folds = table is not None and len(table) <= len(steps)
    ids = steps if folds else None
    if ids is not None and not encoder.bidirectional:
        layout, ids = share(layout, ids)
    stack = Stack(Reading(encoder.mode, encoder.bidirectional, layout, ids, last_only=True))
    try:
        vectors = steps if table is None else table if folds else table.index_select(0, steps)
        pooled = stack.forward(vectors, weights)
    except IndexError as error:
        raise unknown_ids(model.vocab_size or 0, error) from error

    head = model.head
    logits = torch.addmm(head.bias, pooled, head.weight.t())
    of_logits = gradient(logits)
    of_vectors, of_weights = stack.backward(torch.mm(of_logits, head.weight), of_vectors=table is not None)

    head.weight.grad, head.bias.grad = torch.mm(of_logits.t(), pooled), of_logits.sum(0)
    for weight, of_weight in zip(weights, of_weights, strict=True):
        weight.grad = of_weight
    if table is not None and of_vectors is not None:
        table.grad = of_vectors if folds else torch.zeros_like(table).index_add_(0, steps, of_vectors)
        table.grad[0] = 0  # the vector of the padding is no weight
    return logits


def _weights(encoder: nn.RNNBase) -> list[Tensor]:
    """Return the weights of all layers and directions, in the order in which a stack takes them."""
    layers, directions = range(encoder.num_layers), range(2 if encoder.bidirectional else 1)
    return [
        weight for layer in layers for direction in directions for weight in layer_weights(encoder, layer, direction)
    ]
