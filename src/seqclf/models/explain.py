"""explain_execution: which kernels run a batch, how much of it, and why."""

from seqclf.data.batch import Batch
from seqclf.engine.plan import ExecutionPlan
from seqclf.models.classifier import RNNClassifier

__all__ = ["explain_execution"]


def explain_execution(model: RNNClassifier, batch: Batch) -> ExecutionPlan:
    """Say which kernels run a batch, how much of it in one call, and why: the plan that is run.

    Args:
        model: The model. In training mode the plan is that of `fit`; in eval mode that of a forward call, of `predict`
            and of `evaluate`.
        batch: The batch.

    Returns:
        An `ExecutionPlan`: the `backend` (`"native"` for the library's compiled kernels, `"padded"` or `"packed"` for
        torch's own, `"cells"` for one step after the other), its `scope` and the `reason`.

    Example:
        >>> from seqclf import RNNClassifier, explain_execution, pad_collate
        >>> model = RNNClassifier(num_classes=3, vocab_size=10, seed=0)
        >>> batch = pad_collate([([2, 3] * pairs, 0) for pairs in range(1, 21)])
        >>> explain_execution(model, batch).scope
        'training step'
        >>> explain_execution(RNNClassifier(3, vocab_size=10, execution="packed"), batch)
        ExecutionPlan(backend='packed', scope='layers', reason="execution='packed' was asked for")
    """
    return model.plan_training(batch.lengths) if model.training else model.plan_inference(batch.lengths)
