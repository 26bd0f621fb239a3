"""Which mistakes are worth a look: those of which the model was surest, equal sequences once."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from seqclf.data.dataset import SequenceDataset
from seqclf.data.duplicates import duplicate_groups
from seqclf.data.ragged import concatenate
from seqclf.training.evaluation import Evaluation

Labels = list[tuple[tuple[int, ...], int]]  # indices of classes, and how often a sequence has them


@dataclass(frozen=True)
class Mistake:
    """One wrong answer.

    Attributes:
        index: Where the sequence stands in the test data.
        true: The indices of its true classes: one, or any number where there may be several.
        predicted: Those of the predicted ones.
        explained: The class that the model was surest of and wrong about: the predicted one; or a label that it gave or
            left out.
        probability: What the model gave to that class; NaN where it is not known.
        of_true: What it gave to the true class; NaN where there may be several.
    """

    index: int
    true: tuple[int, ...]
    predicted: tuple[int, ...]
    explained: int
    probability: float
    of_true: float


def surest_mistakes(result: Evaluation, dataset: SequenceDataset, most: int) -> list[Mistake]:
    """Return the wrong answers of which the model was surest, the surest first, one for each different sequence."""
    wrong = np.flatnonzero(~result.hits)
    sureness = _sureness(result)[wrong]
    order = wrong[np.argsort(-sureness, kind="stable")]
    _, firsts = np.unique(dataset.groups[order], return_index=True)
    return [_mistake(result, int(index)) for index in order[np.sort(firsts)][:most]]


def _sureness(result: Evaluation) -> npt.NDArray[np.float64]:
    """Return how sure the model was of each answer, (n,); of several labels, of the one it erred most about."""
    if result.probabilities is not None:
        return np.asarray(_wrongness(result).max(1))
    return result.losses if result.confidences is None else result.confidences


def _wrongness(result: Evaluation) -> npt.NDArray[np.float64]:
    """Return the probability that the model gave to each wrong answer about a label, (n, C); 0 where it is right."""
    assert result.probabilities is not None
    own: npt.NDArray[np.float64] = np.where(result.predictions == 1, result.probabilities, 1 - result.probabilities)
    own[result.predictions == result.labels] = 0.0
    return own


def _mistake(result: Evaluation, index: int) -> Mistake:
    if result.probabilities is not None:
        explained = int(_wrongness(result)[index].argmax())
        labels, answers = (tuple(np.flatnonzero(one[index]).tolist()) for one in (result.labels, result.predictions))
        return Mistake(index, labels, answers, explained, float(result.probabilities[index, explained]), np.nan)
    true, predicted = int(result.labels[index]), int(result.predictions[index])
    sure = np.nan if result.confidences is None else float(result.confidences[index])
    return Mistake(index, (true,), (predicted,), predicted, sure, float(np.exp(-result.losses[index])))


def labels_elsewhere(dataset: SequenceDataset, of: SequenceDataset, indices: Sequence[int]) -> list[Labels]:
    """Return for sequences of one dataset which labels an equal one has in another, and how often, by frequency."""
    own = len(dataset)
    groups = duplicate_groups(concatenate(dataset.sequences, of.sequences.select(list(indices))))
    found = []
    for group in groups[own:]:
        labels = dataset.labels[torch.from_numpy(np.flatnonzero(groups[:own] == group))]
        rows = (
            [tuple(np.flatnonzero(row).tolist()) for row in labels] if dataset.multi_label else labels[:, None].tolist()
        )
        found.append(Counter(map(tuple, rows)).most_common())
    return found
