"""Probabilities that can be believed: as sure as the model is right, and for the class frequencies to be expected."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, logsigmoid

from seqclf.data.dataset import SequenceDataset
from seqclf.errors import InvalidArgumentError
from seqclf.inference.average import Models, models_of
from seqclf.inference.logits import compute_logits
from seqclf.inference.predict import admit_for_each, predict_proba
from seqclf.models.classifier import RNNClassifier
from seqclf.reading.columns import as_mapping, as_numbers

__all__ = ["adjust_priors", "calibrate"]

_POINTS = 33  # from 0.05 to 20, each a fifth more than the one before

Frequencies = SequenceDataset | Sequence[float] | Tensor


def calibrate(model: Models, validation_data: SequenceDataset, *, batch_size: int = 256) -> float:
    """Make a model, in place, as sure as it is right on data that it was not trained on: temperature scaling.

    Networks that fit their training data well are too sure of themselves elsewhere. All logits are divided by the one
    temperature that makes the mean negative log-likelihood of `validation_data` least, between 0.05 and 20; the head's
    weights take it in, so nothing else changes. No prediction does, but probabilities, and whatever weighs them,
    such as `adjust_priors`, get better.

    Of a model of several labels the temperature makes the mean binary cross-entropy least; and the threshold of each
    label becomes the probability that makes its F1 on `validation_data` greatest, where it has a member there.

    Of a list of models, which answer together by the mean of their probabilities, one temperature for all of them makes
    the loss of that mean least: the mean of models that are each as sure as they are right is less sure than it is
    right, for it is right more often than they are. Alone, each is then too sure. Where they disagree, dividing logits
    can change which class has the greatest mean. Thresholds are chosen for the mean, and each model gets them.

    n sequences cannot show that a model is always right, even if it is on all of them. So each label is taken to be
    right with n + 1 in n + 2: with few sequences no model becomes certain, and with many this changes nothing.

    Args:
        model: The trained model; or a list of several, as for `predict`.
        validation_data: Labelled sequences that were not trained on, encoded with the model's vocabulary.
        batch_size: How many sequences to run at once.

    Returns:
        The temperature: above 1 where the model was too sure.

    Raises:
        InvalidDataError: `validation_data` do not fit the model.
        InvalidArgumentError: Several models do not agree.

    References:
        Guo, Pleiss, Sun and Weinberger, On Calibration of Modern Neural Networks, ICML 2017, section 4.2. The targets
        are those of Platt, Probabilistic Outputs for Support Vector Machines, 1999, section 2.2. For several models,
        Rahaman and Thiery, Uncertainty Quantification and Deep Ensembles, NeurIPS 2021.

    Example:
        >>> from seqclf import RNNClassifier, SequenceDataset, calibrate, evaluate, fit
        >>> train = SequenceDataset.from_pairs([("aab", "a"), ("bba", "b"), ("ab", "a"), ("ba", "b")])
        >>> other = SequenceDataset.from_pairs([("abb", "a"), ("ba", "a"), ("bb", "b")], vocabulary=train.vocabulary)
        >>> model = RNNClassifier.for_dataset(train, hidden_size=8, pooling="last", dropout=0.0, seed=0)
        >>> history = fit(model, train, epochs=60, label_smoothing=0.0, progress=False)
        >>> before = evaluate(model, other).loss
        >>> calibrate(model, other) > 1, evaluate(model, other).loss < before
        (True, True)
    """
    models = models_of(model)
    if len({id(one) for one in models}) < len(models):
        raise InvalidArgumentError("models must be distinct to be calibrated in place; got one of them twice.")
    validation_data = admit_for_each("validation_data", models, validation_data)
    logits = [torch.from_numpy(compute_logits(one, validation_data.sequences, batch_size)).double() for one in models]
    temperature = _best_temperature(torch.stack(logits), validation_data)
    for one in models:
        _divide_logits(one, temperature)
    if validation_data.multi_label:
        probabilities = predict_proba(model, validation_data, batch_size=batch_size)
        thresholds = _best_thresholds(validation_data.labels.numpy(), probabilities)
        for one in models:
            one.thresholds.copy_(thresholds)
    return temperature


def _best_temperature(logits: Tensor, data: SequenceDataset) -> float:
    """Return what dividing the logits (k, n, C) of k models by makes the loss of their mean probability least."""
    n, classes = (logits.shape[1], 2) if data.multi_label else logits.shape[1:]
    smoothing = min(classes / max(classes - 1, 1) / (n + 2), 1.0)  # so that all wrong classes have 1 / (n + 2) together

    def loss(log_temperature: float) -> float:
        return _loss_of_mean(logits / math.exp(log_temperature), data, smoothing)

    low, high = math.log(0.05), math.log(20.0)
    if len(logits) > 1:  # whose loss may have several valleys: the deepest of a coarse look
        points = torch.linspace(low, high, _POINTS, dtype=torch.float64).tolist()
        best = min(range(_POINTS), key=lambda place: loss(points[place]))
        low, high = points[max(best - 1, 0)], points[min(best + 1, _POINTS - 1)]
    # The loss of one model is convex in 1 / temperature, so it has one valley, which closing in from both sides finds.
    while high - low > 1e-4:
        left, right = low + (high - low) / 3, high - (high - low) / 3
        low, high = (low, right) if loss(left) <= loss(right) else (left, high)
    return math.exp((low + high) / 2)


def _loss_of_mean(logits: Tensor, data: SequenceDataset, smoothing: float) -> float:
    """Return the cross-entropy of the mean of the probabilities that logits (k, n, C) stand for, with softer labels."""
    if data.multi_label:
        targets = data.labels.double() * (1 - smoothing) + smoothing / 2  # (n, C)
        yes, no = (_log_mean(logsigmoid(one)) for one in (logits, -logits))
        return -float((targets * yes + (1 - targets) * no).mean())
    mean = _log_mean(logits.log_softmax(-1))  # (n, C), the logarithms of probabilities
    return float(cross_entropy(mean, data.labels, label_smoothing=smoothing))


def _log_mean(logs: Tensor) -> Tensor:
    """Return the logarithm of the mean over k models of what logarithms (k, n, C) are of, (n, C)."""
    return logs.logsumexp(0) - math.log(len(logs))


@torch.no_grad()
def _divide_logits(model: RNNClassifier, temperature: float) -> None:
    """Let a model's logits be so much smaller."""
    model.head.weight.div_(temperature)
    model.head.bias.div_(temperature)
    if model.context_logits is not None:
        for weight in model.context_logits.parameters():
            weight.div_(temperature)


def _best_thresholds(labels: npt.NDArray[np.int64], probabilities: npt.NDArray[Any]) -> Tensor:
    """Return for each label (C,) the threshold, midway between two probabilities (n, C), with the greatest F1."""
    found = np.full(labels.shape[1], 0.5)
    for place in np.flatnonzero(labels.any(0)):
        order = np.argsort(-probabilities[:, place], kind="stable")
        hits, ranked = np.cumsum(labels[order, place]), probabilities[order, place].astype(np.float64)
        last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)  # of those with one probability
        f1 = 2 * hits[last] / (last + 1 + hits[-1])
        cut = last[f1.argmax()]
        below = ranked[cut + 1] if cut + 1 < len(ranked) else 0.0
        found[place] = (ranked[cut] + below) / 2
    return torch.from_numpy(found)


def adjust_priors(model: RNNClassifier, *, trained_on: Frequencies, expected: Frequencies) -> None:
    """Move a model, in place, from the class frequencies that it was trained on to those that are expected.

    Every probability is multiplied by the ratio of the expected to the trained-on frequency of its class, and all are
    brought to a sum of 1 again; the log of that ratio is added to the bias of the head. This is for training data that
    were balanced, weighted (`class_weight="balanced"` makes all classes count the same) or freed of duplicates, when
    what the model will meet is not.

    Args:
        model: The trained model.
        trained_on: The class frequencies of its training: a dataset, numbers by label, or C positive numbers in the
            order of its classes.
        expected: The class frequencies to expect, likewise.

    Raises:
        InvalidArgumentError: There are not C numbers, or one is not finite and positive (a class that never occurs).

    References:
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
    if model.multi_label:
        raise InvalidArgumentError("model must have one label for each sequence to adjust priors; got several.")
    shift = _log_shares("expected", expected, model) - _log_shares("trained_on", trained_on, model)
    with torch.no_grad():
        model.head.bias.add_(shift.to(model.head.bias))


def _log_shares(name: str, frequencies: Frequencies, model: RNNClassifier) -> Tensor:
    if isinstance(frequencies, SequenceDataset):
        counts = torch.bincount(frequencies.labels, minlength=len(frequencies.classes)).double()
    else:
        by_label = as_mapping(frequencies)
        if by_label is not None:
            labels = range(model.num_classes) if model.classes is None else model.classes
            if wrong := [label for label in by_label if label not in labels]:
                raise InvalidArgumentError(f"{name} must name classes of the model; got {wrong[0]!r}, which is none.")
            frequencies = [by_label.get(label, 0.0) for label in labels]
        counts = as_numbers(name, frequencies)
    if counts.shape != (model.num_classes,) or not bool((counts > 0).all() and counts.isfinite().all()):
        raise InvalidArgumentError(
            f"{name} must give {model.num_classes} finite frequencies above 0, one for each class; "
            f"got {counts.tolist()}. Every class must occur."
        )
    return (counts / counts.sum()).log()
