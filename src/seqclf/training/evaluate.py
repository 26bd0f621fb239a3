"""evaluate: how well a model does on labelled sequences, whatever the batch size."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqclf.checks import check_int
from seqclf.data.dataset import SequenceDataset
from seqclf.data.duplicates import join_groups
from seqclf.inference.average import Models, mean_probabilities, mean_thresholds, models_of, run_models
from seqclf.inference.logits import run_batches
from seqclf.inference.predict import predict_proba, validate_dataset, validate_for_each
from seqclf.models.classifier import RNNClassifier
from seqclf.reading.labels import read_groups
from seqclf.training.distributed import Group
from seqclf.training.evaluation import Evaluation

__all__ = ["evaluate"]

_LEAST = 1e-12  # a probability, of which the logarithm is taken

Metric = Callable[[Tensor, Tensor], Any]


def evaluate(
    model: Models,
    dataset: SequenceDataset,
    *,
    batch_size: int = 256,
    metrics: Mapping[str, Metric] | None = None,
    groups: Iterable[Any] | None = None,
    keep_probabilities: bool = False,
) -> Evaluation:
    """Measure `model` on `dataset`, in eval mode and without gradients; afterwards its mode is as before.

    Sums and counts are taken over single sequences, so the batch size changes nothing but the speed.

    Args:
        model: The model; it stays on its device. Or a list of several, the mean of whose probabilities is measured.
        dataset: Sequences that were encoded with the model's vocabulary, labelled with its classes. Empty ones are left
            out, and have no place in the result, where the model's `empty` is `"skip"`.
        batch_size: How many sequences to run at once.
        metrics: Further measures by name: objects of torchmetrics, which are reset first, or any callables. Each is
            given the probabilities, float64 (n, C), and the true class indices, int64 (n,), as tensors on the CPU.
        groups: What each sequence comes from (a person, a device), as many as there are sequences: `interval` and
            `compare` then draw whole groups, as those of one are no independent observations. Equal sequences are one
            group in any case.
        keep_probabilities: Whether the result keeps the probability of each class, (n, C), from which `roc_auc`,
            `average_precision` and `top_k_accuracy` follow.

    Raises:
        InvalidDataError: The dataset has another vocabulary, other classes, or another number of features.
        InvalidArgumentError: `groups` are more or fewer than the sequences.

    Example:
        >>> from seqclf import RNNClassifier, SequenceDataset, evaluate
        >>> train = SequenceDataset.from_pairs([("aab", "a"), ("bba", "b"), ("bb", "b")])
        >>> model = RNNClassifier.for_dataset(train, seed=0)
        >>> result = evaluate(model, train, metrics={"brier": lambda p, y: float((p[:, 1] - y).square().mean())})
        >>> result.n, round(result.majority, 3), result.metrics["brier"] < 0.5
        (3, 0.667, True)
    """
    given, models = dataset, models_of(model)
    dataset = validate_for_each("dataset", models, dataset)
    check_int("batch_size", batch_size)
    if groups is not None:
        own = read_groups(groups, len(given))
        own = own if dataset is given else own[given.sequences.sizes.numpy() > 0]  # empty ones are left out
        return replace(
            evaluate(model, dataset, batch_size=batch_size, metrics=metrics, keep_probabilities=keep_probabilities),
            groups=join_groups(dataset.groups, own),
        )
    if dataset.multi_label:
        probabilities = predict_proba(model, dataset, batch_size=batch_size).astype(np.float64)
        whole = torch.from_numpy(probabilities)
        found = {name: measure(one, whole, dataset.labels) for name, one in (metrics or {}).items()}
        return evaluation_of_several(probabilities, dataset, mean_thresholds(models), found)
    labels = dataset.labels.numpy()
    losses, confidences = np.empty(len(labels)), np.empty(len(labels))
    predictions = np.empty(len(labels), np.int64)
    keeps = keep_probabilities or bool(metrics)
    kept = np.empty((len(labels) if keeps else 0, models[0].num_classes))  # the only thing as large as both together
    run = _run_one(models[0], dataset, batch_size) if len(models) == 1 else _run_several(models, dataset, batch_size)
    for indices, probabilities, answers, own_losses in run:
        losses[indices], predictions[indices], confidences[indices] = own_losses, answers, probabilities.max(1)
        if keeps:
            kept[indices] = probabilities
    whole = torch.from_numpy(kept)
    return Evaluation(
        losses=losses,
        labels=labels,
        predictions=predictions,
        classes=dataset.classes,
        groups=dataset.groups,
        confidences=confidences,
        metrics={name: measure(metric, whole, dataset.labels) for name, metric in (metrics or {}).items()},
        probabilities=kept if keep_probabilities else None,
        lengths=dataset.lengths.numpy(),
    )


# Which sequences, the probabilities of their classes (B, C), the best of these and the loss of the true one, (B,) each.
_Batches = Iterator[tuple[Any, npt.NDArray[np.float64], npt.NDArray[np.int64], npt.NDArray[np.float64]]]


def _run_one(model: RNNClassifier, dataset: SequenceDataset, batch_size: int) -> _Batches:
    labels = dataset.labels.numpy()
    for indices, _, logits in run_batches(model, dataset.sequences, batch_size, np.arange(len(labels))):
        log_probabilities = _log_softmax(logits.astype(np.float64))
        losses = -log_probabilities[np.arange(len(indices)), labels[indices]]
        yield indices, np.exp(log_probabilities), logits.argmax(1), losses


def _run_several(models: Sequence[RNNClassifier], dataset: SequenceDataset, batch_size: int) -> _Batches:
    """Likewise for the mean of the models' probabilities."""
    labels, stores = dataset.labels.numpy(), [dataset.sequences] * len(models)
    for block, logits in run_models(models, stores, batch_size):
        probabilities = mean_probabilities(models, logits)  # (B, C)
        # Of logarithms, as a probability of next to nothing has one and may be 0 itself; (k, B).
        own = np.stack([_log_softmax(one)[np.arange(len(one)), labels[block]] for one in logits])
        losses = np.log(len(models)) - np.logaddexp.reduce(np.sort(own, axis=0))
        yield block, probabilities, probabilities.argmax(1), losses


def evaluation_of_several(
    probabilities: npt.NDArray[np.float64],
    dataset: SequenceDataset,
    thresholds: Any = 0.5,
    metrics: Mapping[str, Any] | None = None,
) -> Evaluation:
    """Return what was measured where each sequence may have several labels, of whose probabilities (n, C)."""
    labels = dataset.labels.numpy()
    own = np.where(labels == 1, probabilities, 1 - probabilities).clip(min=_LEAST)  # of what is true
    return Evaluation(
        losses=-np.log(own).mean(1),
        labels=labels,
        predictions=(probabilities >= thresholds).astype(np.int64),
        classes=dataset.classes,
        groups=dataset.groups,
        metrics=metrics or {},
        probabilities=probabilities,
        lengths=dataset.lengths.numpy(),
    )


def _log_softmax(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    with np.errstate(all="ignore"):  # logits without bound give NaN
        logits -= logits.max(1, keepdims=True)
        logits -= np.log(np.exp(logits).sum(1, keepdims=True))
    return logits


def measure(metric: Any, probabilities: Tensor, labels: Tensor) -> Any:
    """Return what a metric says; one with a state, as those of torchmetrics have, begins anew."""
    if not (hasattr(metric, "update") and hasattr(metric, "compute")):
        return metric(probabilities, labels)
    metric.reset()
    metric.update(probabilities, labels)
    return metric.compute()


def evaluate_together(model: RNNClassifier, dataset: SequenceDataset, group: Group) -> Evaluation:
    """Measure `model` as `evaluate` does, each process a share of the sequences; all get the whole result."""
    if group.count == 1 or dataset.multi_label:  # whose answers are too many to be worth handing round
        return evaluate(model, dataset)
    dataset = validate_dataset("dataset", model, dataset)
    own = torch.arange(group.rank, len(dataset), group.count)
    losses, predictions, confidences = (
        torch.zeros(len(dataset), dtype=dtype) for dtype in (torch.float64, torch.int64, torch.float64)
    )
    if len(own):
        share = evaluate(model, dataset.subset(own))
        assert share.confidences is not None
        losses[own], predictions[own] = torch.from_numpy(share.losses), torch.from_numpy(share.predictions)
        confidences[own] = torch.from_numpy(share.confidences)
    losses, predictions, confidences = (
        group.sum(one.to(group.device)).cpu() for one in (losses, predictions, confidences)
    )
    return Evaluation(
        losses.numpy(),
        dataset.labels.numpy(),
        predictions.numpy(),
        dataset.classes,
        dataset.groups,
        confidences.numpy(),
        lengths=dataset.lengths.numpy(),
    )
