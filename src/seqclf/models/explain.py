"""explain_execution: which way a model runs a batch, and why."""

from dataclasses import replace

import torch

from seqclf.data.batch import Batch
from seqclf.models.classifier import RNNClassifier
from seqclf.models.execution import shape_of
from seqclf.models.execution.choice import Decision, decide

__all__ = ["explain_execution"]


def explain_execution(model: RNNClassifier, batch: Batch) -> Decision:
    """Say which way a model runs a batch, and why.

    All ways give the same answers. Which is the fastest depends on cell, sizes, lengths, and on whether a gradient is
    wanted, so `execution="auto"` goes by costs that were measured on many shapes.

    Args:
        model: The model, in training or eval mode; eval mode stands for a pass without a gradient.
        batch: The batch.

    Returns:
        A `Decision` with the `way`, the `reason`, and `costs`: the milliseconds that each way was estimated to take
        through the whole encoder, on the machine where the costs were measured. On others only their ratios count.

    Example:
        >>> from seqclf import RNNClassifier, explain_execution, pad_collate
        >>> model = RNNClassifier(num_classes=3, vocab_size=10, seed=0)
        >>> batch = pad_collate([([2, 3] * pairs, 0) for pairs in range(1, 21)])
        >>> explain_execution(model, batch).way
        'fused'
        >>> explain_execution(RNNClassifier(3, vocab_size=10, execution="packed"), batch)
        Decision(way='packed', reason='it was asked for', costs={})
    """
    training = model.training
    with torch.set_grad_enabled(training):
        decision = decide(
            model.encoder,
            shape_of(batch.lengths),
            model.execution,
            drops_states=training and bool(model.recurrent_dropout),
            truncate_steps=model.truncate_steps if training else None,
        )
    return replace(decision, costs={way: round(cost, 3) for way, cost in decision.costs.items()})
