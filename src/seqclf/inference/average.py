"""Several models as one: the mean of the probabilities that each gives.

Legend: k models, n sequences, C classes.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from seqclf.data.ragged import Ragged
from seqclf.errors import InvalidArgumentError
from seqclf.inference.logits import compute_logits, probabilities_of
from seqclf.models.classifier import RNNClassifier, check_is_model

Models = RNNClassifier | Sequence[RNNClassifier]
Doubles = npt.NDArray[np.float64]

_BLOCK_SEQUENCES, _BLOCK_LOGITS = 1 << 14, 1 << 21  # of each model, that are held at once


def models_of(model: Models) -> list[RNNClassifier]:
    """Return the models that are given: one, or a list of several that can be averaged.

    Raises:
        InvalidArgumentError: There are none, one is no model, or they do not agree.
    """
    if not isinstance(model, list | tuple):
        check_is_model("model", model)
        return [model]  # type: ignore[list-item]  # checked above
    if not model:
        raise InvalidArgumentError("model must be an RNNClassifier, or a list of some; got an empty list.")
    for place, one in enumerate(model):
        check_is_model(f"model[{place}]", one)
        for name, value in _traits(one).items():
            if (first := _traits(model[0])[name]) != value:
                raise InvalidArgumentError(
                    f"models must agree in {name} to be averaged; got {first!s:.100} in model[0] and {value!s:.100} in "
                    f"model[{place}]. Average models of one task, such as several seeds of one."
                )
    return list(model)


def _traits(model: RNNClassifier) -> dict[str, Any]:
    """Return what models must have in common: what they answer, and what kind of input they take."""
    return {
        "num_classes": model.num_classes,
        "classes": model.classes,
        "multi_label": model.multi_label,
        "input_size": model.input_size,
        "fields": None if model.fields is None else model.fields.names,
        "context_fields": None if model.context_fields is None else model.context_fields.names,
        "channels_first": model.channels_first,
        "empty": model.empty,
    }


def run_models(
    models: Sequence[RNNClassifier], stores: Sequence[Ragged], batch_size: int
) -> Iterator[tuple[slice, list[Doubles]]]:
    """Yield which sequences, and their logits (n, C) by each model in float64, some sequences at a time.

    Args:
        models: Which.
        stores: The sequences as each model takes them.
        batch_size: How many to run at once where the compiled kernels do not.
    """
    size = max(1, min(_BLOCK_SEQUENCES, _BLOCK_LOGITS // models[0].num_classes))
    for start in range(0, len(stores[0]), size):
        block = slice(start, min(start + size, len(stores[0])))
        places = np.arange(block.start, block.stop)
        yield (
            block,
            [
                compute_logits(model, store.select(places), batch_size).astype(np.float64)
                for model, store in zip(models, stores, strict=True)
            ],
        )


def mean_probabilities(models: Sequence[RNNClassifier], logits: Sequence[Doubles]) -> Doubles:
    """Return the mean of the probabilities (n, C) that the logits of each model, (n, C), stand for."""
    return mean_of([probabilities_of(model, own) for model, own in zip(models, logits, strict=True)])


def mean_thresholds(models: Sequence[RNNClassifier]) -> Doubles:
    """Return the mean of what models of several labels take for enough, (C,)."""
    return mean_of([model.thresholds.cpu().numpy() for model in models])


def mean_of(arrays: Sequence[npt.NDArray[Any]]) -> Doubles:
    """Return the mean of arrays, the same bits in whatever order they come: the least are added first."""
    ordered = np.sort(np.stack(arrays).astype(np.float64), axis=0)
    total: Doubles = ordered[0].copy()
    for one in ordered[1:]:  # one by one, as NumPy's own sums go by the shape
        total += one
    return total / len(ordered)
