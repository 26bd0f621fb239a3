"""Objective: what training minimises, and its gradient."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy


class Objective:
    """The mean cross-entropy of a batch, in the weights of its classes, with smoothed labels.

    Args:
        class_weights: The weight of each class, (C,); None counts all alike.
        label_smoothing: The part of each label that is spread over all classes.
    """

    def __init__(self, class_weights: Tensor | None, label_smoothing: float) -> None:
        self.class_weights = class_weights
        self.label_smoothing = label_smoothing

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the objective of logits (B, C) and labels (B,)."""
        return cross_entropy(logits, labels, weight=self.class_weights, label_smoothing=self.label_smoothing)

    def total(self, labels: Tensor) -> float:
        """Return what the objective of sequences with some labels is the mean over: their number, or their weights."""
        return float(len(labels)) if self.class_weights is None else float(self.class_weights.cpu()[labels].sum())

    def gradient(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return its gradient with respect to the logits, (B, C).

        Without weights of classes that is what the probabilities have over the smoothed labels, divided by B.
        """
        if self.class_weights is not None:
            return self._gradient_by_autograd(logits, labels)
        smoothing = self.label_smoothing
        gradient = logits.softmax(1)
        if smoothing:
            gradient -= smoothing / logits.shape[1]
        gradient.scatter_add_(1, labels[:, None], gradient.new_full((len(labels), 1), smoothing - 1))
        return gradient.div_(len(labels))

    @torch.enable_grad()
    def _gradient_by_autograd(self, logits: Tensor, labels: Tensor) -> Tensor:
        leaf = logits.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(self(leaf, labels), leaf)
        return gradient
