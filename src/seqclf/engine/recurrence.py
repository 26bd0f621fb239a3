"""The compiled kernels as a function of tensors, with a gradient that autograd knows.

Legend: B sequences, T steps of the longest, M steps that lie in memory, E features of an input.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

from seqclf.engine.dropout import Dropout
from seqclf.engine.kernels import Indices, NativeBatch, Packed, Pass, as_values
from seqclf.engine.layout import layout_of
from seqclf.engine.parts import NativeModel, Parts
from seqclf.errors import InvalidDataError


def run(
    parts: Parts,
    inputs: Tensor | PackedSequence,
    lengths: Tensor,
    dropout: Dropout | None = None,
    truncate_steps: int | None = None,
) -> Tensor:
    """Return what the parts of a classifier make of a batch: logits (B, C), pooled vectors (B, S) or states (B, T, D).

    Args:
        parts: The parts.
        inputs: The steps, padded or packed: ids, or features of the type of the weights.
        lengths: The true lengths, (B,).
        dropout: What is dropped; None is nothing.
        truncate_steps: Between windows of so many steps no gradient flows.
    """
    values, starts = _lay_out(inputs)
    batch = NativeBatch(
        as_values(values),
        starts,
        lengths.numpy(),
        None if dropout is None else dropout.keys.contiguous().numpy(),
        {} if dropout is None else dropout.fields(parts.sizes.vectors),
        truncate_steps,
        owner=dropout,
    )
    weights = parts.weights()
    if dropout is not None and dropout.weights:
        weights = _drop_weights(parts, weights, dropout.weights)
    given = values if values.is_floating_point() else None
    needs_gradient = torch.is_grad_enabled() and any(one.requires_grad for one in (*weights, values))
    if needs_gradient or dropout is not None:
        output: Tensor = _Recurrence.apply(parts, batch, given, *weights)  # type: ignore[no-untyped-call]
        return output
    return Packed(parts, full_table=False).run(batch)


def _lay_out(inputs: Tensor | PackedSequence) -> tuple[Tensor, Indices]:
    """Return steps (M,) or (M, E), in which those of a sequence follow each other, and where each sequence starts."""
    data = inputs if isinstance(inputs, Tensor) else inputs.data
    if data.device.type != "cpu":
        raise InvalidDataError(
            f"inputs must lie where the model does, on the cpu; got {data.device}. "
            "Move one of them: batch.to(model.device)."
        )
    if isinstance(inputs, Tensor):
        return inputs.flatten(0, 1), np.arange(len(inputs), dtype=np.int64) * inputs.shape[1]
    by_rank = layout_of(inputs).lengths.numpy()
    starts = by_rank.cumsum() - by_rank
    ranks = inputs.unsorted_indices
    return inputs.data.index_select(0, layout_of(inputs).by_sequence), starts if ranks is None else starts[
        ranks.numpy()
    ]


def _drop_weights(parts: Parts, weights: Sequence[Tensor], rate: float) -> list[Tensor]:
    """Return the weights, some of those from state to state dropped: the same for the whole batch and all its steps.

    References:
        Merity, Keskar and Socher, Regularizing and Optimizing LSTM Language Models, ICLR 2018, section 2; after
        Wan et al., Regularization of Neural Networks using DropConnect, ICML 2013.
    """
    passes = parts.sizes.layers * parts.sizes.directions
    recurrent = {4 * i + 1 for i in range(passes)}
    return [functional.dropout(weight, rate) if i in recurrent else weight for i, weight in enumerate(weights)]


class _Recurrence(torch.autograd.Function):
    """A pass of the kernels as one node of autograd's graph."""

    @staticmethod
    def forward(ctx: Any, parts: Parts, batch: NativeBatch, given: Tensor | None, *weights: Tensor) -> Tensor:
        """Return what the parts make of the batch."""
        ctx.save_for_backward(*(() if given is None else (given,)), *weights)
        wants_inputs = ctx.needs_input_grad[2]
        ctx.start = lambda own: _start(parts, batch, own, wants_inputs=wants_inputs)
        ctx.run, ctx.gradients = ctx.start(weights)
        output: Tensor = ctx.run.take_output()
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of the arguments."""
        saved = ctx.saved_tensors  # raises where one was changed since, or the graph is freed
        of_inputs = (
            torch.zeros_like(saved[0], memory_format=torch.contiguous_format) if ctx.needs_input_grad[2] else None
        )
        if ctx.run is None:  # the graph was kept, and is gone through once more
            ctx.run, ctx.gradients = ctx.start(saved[len(saved) - len(ctx.needs_input_grad) + 3 :])
        run, ctx.run = ctx.run, None
        run.backward(gradient, of_inputs)
        return None, None, of_inputs, *ctx.gradients


def _start(
    parts: Parts, batch: NativeBatch, weights: Sequence[Tensor], *, wants_inputs: bool
) -> tuple[Pass, list[Tensor]]:
    """Go forwards; return what goes back, and the tensors that the gradients will then be in."""
    gradients = [torch.empty_like(weight, memory_format=torch.contiguous_format) for weight in weights]
    return Pass(NativeModel(parts, weights, gradients), batch, wants_inputs=wants_inputs), gradients
