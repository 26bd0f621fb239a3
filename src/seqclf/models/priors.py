"""Priors: tell a trained model of other class frequencies than those that it was trained on."""

from collections.abc import Sequence

import torch
from torch import Tensor

from seqclf.data.dataset import SequenceDataset
from seqclf.errors import InvalidArgumentError
from seqclf.models.classifier import RNNClassifier

__all__ = ["adjust_priors"]

Frequencies = SequenceDataset | Sequence[float] | Tensor


def adjust_priors(model: RNNClassifier, *, trained_on: Frequencies, expected: Frequencies) -> None:
    """Move a model, in place, from the class frequencies that it was trained on to those that are expected.

    Every probability is multiplied by the ratio of the expected to the trained-on frequency of its class, and all are
    brought to a sum of 1 again; the log of that ratio is added to the bias of the head. This is for training data that
    were balanced, weighted (`class_weight="balanced"` makes all classes count the same) or freed of duplicates, when
    what the model will meet is not.

    Args:
        model: The trained model.
        trained_on: The class frequencies of its training: a dataset, or C positive numbers in the order of its classes.
        expected: The class frequencies to expect, likewise.

    Raises:
        InvalidArgumentError: There are not C numbers, or one is not finite and positive (a class that never occurs).

    Source:
        Saerens, Latinne and Decaestecker, Adjusting the Outputs of a Classifier to New a Priori Probabilities, Neural
        Computation 14(1), 2002, equation 2.4.

    Example:
        >>> from seqclf import RNNClassifier, Vocabulary, adjust_priors, predict_proba
        >>> model = RNNClassifier(2, vocab_size=4, vocabulary=Vocabulary("ab"), seed=0)
        >>> before = predict_proba(model, ["ab"])[0]
        >>> adjust_priors(model, trained_on=[1, 1], expected=[9, 1])
        >>> after = predict_proba(model, ["ab"])[0]
        >>> round(float(after[0] / after[1] / (before[0] / before[1])), 3)
        9.0
    """
    shift = _log_shares("expected", expected, model) - _log_shares("trained_on", trained_on, model)
    with torch.no_grad():
        model.head.bias.add_(shift.to(model.head.bias))


def _log_shares(name: str, frequencies: Frequencies, model: RNNClassifier) -> Tensor:
    if isinstance(frequencies, SequenceDataset):
        counts = torch.bincount(frequencies.labels, minlength=len(frequencies.classes)).double()
    else:
        counts = torch.as_tensor(frequencies, dtype=torch.float64)
    if counts.shape != (model.num_classes,) or not bool((counts > 0).all() and counts.isfinite().all()):
        raise InvalidArgumentError(
            f"{name} must give {model.num_classes} finite frequencies above 0, one for each class; "
            f"got {counts.tolist()}. Every class must occur."
        )
    return (counts / counts.sum()).log()
