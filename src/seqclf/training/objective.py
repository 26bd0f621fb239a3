"""Objective: what training minimises, and its gradient."""

from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy


class Objective:
    """The mean cross-entropy of a batch, in the weights of its classes and sequences, with smoothed labels.

    Args:
        class_weights: The weight of each class, (C,); None counts all alike.
        label_smoothing: The part of each label that is spread over all classes.
        sample_weights: The weight of each sequence of the training data, (n,); None counts all alike.
    """

    def __init__(
        self, class_weights: Tensor | None, label_smoothing: float, sample_weights: Tensor | None = None
    ) -> None:
        self.class_weights = class_weights
        self.label_smoothing = label_smoothing
        self.sample_weights = sample_weights

    def to(self, reference: Tensor) -> None:
        """Bring the weights to the device and the type of another tensor."""
        self.class_weights = None if self.class_weights is None else self.class_weights.to(reference)
        self.sample_weights = None if self.sample_weights is None else self.sample_weights.to(reference)

    def __call__(self, logits: Tensor, labels: Tensor, indices: Tensor | None = None) -> Tensor:
        """Return the objective of logits (B, C) and labels (B,) of the sequences at some indices of the data, (B,)."""
        loss = partial(cross_entropy, logits, labels, weight=self.class_weights, label_smoothing=self.label_smoothing)
        if self.sample_weights is None:
            return loss()
        losses = loss(reduction="none")
        own = self.sample_weights[indices]
        whole = own if self.class_weights is None else own * self.class_weights[labels]
        return (losses * own).sum() / whole.sum()

    def total(self, labels: Tensor, indices: Tensor) -> float:
        """Return what the objective of some sequences is the mean over: their number, or their weights."""
        weights = torch.ones(len(labels), dtype=torch.float64)
        if self.class_weights is not None:
            weights = weights * self.class_weights.cpu()[labels]
        if self.sample_weights is not None:
            weights = weights * self.sample_weights.cpu()[indices]
        return float(weights.sum())

    def gradient(self, logits: Tensor, labels: Tensor, indices: Tensor | None = None) -> Tensor:
        """Return its gradient with respect to the logits, (B, C).

        Without weights that is what the probabilities have over the smoothed labels, divided by B.
        """
        if self.class_weights is not None or self.sample_weights is not None:
            return self._gradient_by_autograd(logits, labels, indices)
        smoothing = self.label_smoothing
        gradient = logits.softmax(1)
        if smoothing:
            gradient -= smoothing / logits.shape[1]
        gradient.scatter_add_(1, labels[:, None], gradient.new_full((len(labels), 1), smoothing - 1))
        return gradient.div_(len(labels))

    @torch.enable_grad()
    def _gradient_by_autograd(self, logits: Tensor, labels: Tensor, indices: Tensor | None) -> Tensor:
        leaf = logits.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(self(leaf, labels, indices), leaf)
        return gradient
