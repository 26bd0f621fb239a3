"""Measures by name: what `fit` can tell of the validation data after each epoch, beside loss and accuracy."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch

from seqclf.data.dataset import SequenceDataset
from seqclf.errors import InvalidArgumentError, did_you_mean
from seqclf.models.classifier import RNNClassifier
from seqclf.training.distributed import Group
from seqclf.training.evaluate import Metric, evaluate, evaluate_together, measure
from seqclf.training.evaluation import Evaluation

_NAMED: dict[str, Callable[[Evaluation], float]] = {
    "macro_f1": lambda result: result.macro_f1,
    "micro_f1": lambda result: result.micro_f1,
    "calibration_error": lambda result: result.calibration_error(),
    "average_precision": lambda result: result.average_precision,
    "roc_auc": lambda result: result.roc_auc,
}
_TOP = re.compile(r"top_([1-9]\d*)_accuracy")
_FROM_ANSWERS = {"macro_f1", "micro_f1", "calibration_error"}  # those that need no probability of each class


class Measures:
    """What to measure on the validation data.

    Args:
        metrics: Names, callables, or a mapping from names to callables, as for `fit`.

    Raises:
        InvalidArgumentError: One is unknown, or two have one name.
    """

    def __init__(self, metrics: Any) -> None:
        self.named: list[str] = []
        self.own: dict[str, Metric] = {}
        for name, metric in _pairs(metrics):
            if metric is None:
                self.named.append(_check_name(name))
            elif name in {"loss", "accuracy", *self.names}:
                raise InvalidArgumentError(
                    f"metrics must have names of their own; got {name!r}, which there is already. Pass a mapping."
                )
            else:
                self.own[name] = metric

    @property
    def names(self) -> list[str]:
        """Their names, without the `val_` that they have in the history."""
        return [*self.named, *self.own]

    def rehearse(self, dataset: SequenceDataset) -> None:
        """Try each on equal probabilities for all classes, so that none fails after an epoch.

        Raises:
            InvalidArgumentError: One fails, returns no number, or has no meaning for such labels.
            MissingDependencyError: One needs a package that is not installed.
        """
        labels, count = dataset.labels.numpy(), len(dataset.classes)
        even = 0.5 if dataset.multi_label else 1 / count
        equal = torch.full((len(dataset), count), even, dtype=torch.float64)
        result = Evaluation(
            losses=np.zeros(len(dataset)),
            labels=labels,
            predictions=np.zeros_like(labels),
            classes=dataset.classes,
            confidences=None if dataset.multi_label else np.full(len(dataset), even),
            probabilities=equal.numpy(),
        )
        for name in self.named:
            _figure(name, result)
        for name, metric in self.own.items():
            try:
                float(measure(metric, equal, dataset.labels))
            except Exception as error:
                raise InvalidArgumentError(
                    f"metrics must take probabilities (n, C) and labels, and return a number; {name} raised "
                    f"{type(error).__name__}: {error!s:.200}"
                ) from error

    def __call__(
        self, model: RNNClassifier, dataset: SequenceDataset, group: Group
    ) -> tuple[Evaluation, dict[str, float]]:
        """Measure a model; return all, and the figures by their names in the history."""
        if self.own or not _FROM_ANSWERS.issuperset(self.named):  # probabilities are too many to hand round
            result = evaluate(model, dataset, metrics=self.own, keep_probabilities=True)
        else:
            result = evaluate_together(model, dataset, group)
        found = {"val_loss": result.loss, "val_accuracy": result.accuracy}
        found |= {f"val_{name}": _figure(name, result) for name in self.named}
        return result, found | {f"val_{name}": float(result.metrics[name]) for name in self.own}


def _pairs(metrics: Any) -> Iterable[tuple[str, Any]]:
    """Yield names and callables; None for those that the name alone tells."""
    if isinstance(metrics, Mapping):
        metrics = list(metrics.items())
    elif isinstance(metrics, str) or callable(metrics):
        metrics = [metrics]
    elif not isinstance(metrics, Iterable):
        raise InvalidArgumentError(
            f"metrics must be a list of names and callables, or a mapping from names to callables; got {metrics!r:.80}."
        )
    for one in metrics:
        name, metric = one if isinstance(one, tuple) and len(one) == 2 else (one, one)
        if isinstance(metric, str):
            yield metric, None
        elif callable(metric):
            yield name if isinstance(name, str) else getattr(name, "__name__", type(name).__name__), metric
        else:
            raise InvalidArgumentError(f"metrics must be names or callables; got {type(metric).__name__}.")


def _check_name(name: str) -> str:
    if name not in _NAMED and not _TOP.fullmatch(name):
        raise InvalidArgumentError(
            f"metrics must be callables, or of {', '.join(_NAMED)} and top_3_accuracy or the like; got {name!r}."
            f"{did_you_mean(name, _NAMED)}"
        )
    return name


def _figure(name: str, result: Evaluation) -> float:
    top = _TOP.fullmatch(name)
    return result.top_k_accuracy(int(top[1])) if top else _NAMED[name](result)
