"""Objective: what training minimises, and its gradient."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from seqclf.errors import InvalidArgumentError

Loss = Callable[[Tensor, Tensor], Tensor]


class Objective:
    """The mean cross-entropy of a batch, in the weights of its classes and sequences, with smoothed labels.

    Args:
        class_weights: The weight of each class, (C,), or of each label where a sequence has it; None counts all alike.
        label_smoothing: The part of each label that is spread over all classes.
        sample_weights: The weight of each sequence of the training data, (n,); None counts all alike.
        loss: What to minimise the weighted mean of in place of the cross-entropy: a function of logits (B, C) and
            labels that returns (B,).
    """

    def __init__(
        self,
        class_weights: Tensor | None,
        label_smoothing: float,
        sample_weights: Tensor | None = None,
        loss: Loss | None = None,
    ) -> None:
        self.loss = loss
        self.class_weights = class_weights
        self.label_smoothing = label_smoothing
        self.sample_weights = sample_weights

    def to(self, reference: Tensor) -> None:
        """Bring the weights of classes to the device and the type of another tensor."""
        self.class_weights = None if self.class_weights is None else self.class_weights.to(reference)

    def __call__(self, logits: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        """Return the objective of logits (B, C) and labels (B,) of the sequences at some indices of the data, (B,)."""
        if self.loss is not None:
            return self._of_own_loss(self.loss, logits, labels, indices)
        if labels.ndim == 2:
            return self._of_several(logits, labels, indices)
        loss = partial(cross_entropy, logits, labels, weight=self.class_weights, label_smoothing=self.label_smoothing)
        factors = self.factors(labels, indices)
        return loss() if factors is None else (loss(reduction="none") * factors.to(logits)).sum()

    def _of_own_loss(self, loss: Loss, logits: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        losses = loss(logits, labels)
        if not isinstance(losses, Tensor) or losses.shape != (len(logits),):
            got = f"shape {tuple(losses.shape)}" if isinstance(losses, Tensor) else type(losses).__name__
            raise InvalidArgumentError(
                f"loss must return one value for each sequence, a tensor of shape ({len(logits)},); got {got}. "
                "Pass reduction='none' to functions of torch.nn.functional."
            )
        weights = self._weights(labels, indices)
        return (losses * (weights / weights.sum()).to(losses)).sum()

    @property
    def loss_name(self) -> str | None:
        """What tells the own loss from others; None without one."""
        if self.loss is None:
            return None
        return str(getattr(self.loss, "__qualname__", None) or type(self.loss).__qualname__)

    def _of_several(self, logits: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        """Likewise where each class may be a label or not, 0 or 1 in (B, C): the mean over classes."""
        targets = labels.to(logits) * (1 - self.label_smoothing) + self.label_smoothing / 2
        losses = binary_cross_entropy_with_logits(
            logits, targets, pos_weight=self.class_weights, reduction="none"
        ).mean(1)
        factors = self.factors(labels, indices)
        return losses.mean() if factors is None else (losses * factors.to(logits)).sum()

    def total(self, labels: Tensor, indices: Tensor) -> float:
        """Return what the objective of some sequences is the mean over: their number, or their weights."""
        return float(self._weights(labels, indices).sum())

    def factors(self, labels: Tensor, indices: Tensor) -> Tensor | None:
        """Return what each sequence's own loss is multiplied by, float64 (B,) on the CPU; None for 1 / B."""
        if self.sample_weights is None and (self.class_weights is None or labels.ndim == 2):
            return None
        own = torch.ones(len(indices), dtype=torch.float64)
        if self.sample_weights is not None:
            own = self.sample_weights[indices].double()
        return own / self._weights(labels, indices).sum()

    def _weights(self, labels: Tensor, indices: Tensor) -> Tensor:
        """Return the weight of each sequence, float64 (B,), on the CPU."""
        weights = torch.ones(len(labels), dtype=torch.float64)
        if self.class_weights is not None and labels.ndim == 1:
            weights = weights * self.class_weights.cpu()[labels.cpu()]
        if self.sample_weights is not None:
            weights = weights * self.sample_weights[indices]
        return weights
