"""What a mistake of the report is explained by, and what equal sequences are labelled elsewhere."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch

from seqclf.data.dataset import SequenceDataset
from seqclf.data.duplicates import duplicate_groups
from seqclf.data.ragged import concatenate
from seqclf.training.evaluation import Evaluation

Labels = list[tuple[tuple[int, ...], int]]  # indices of classes, and how often a sequence has them


def explained_class(result: Evaluation, index: int) -> int:
    """Return the class that the model was surest of and wrong about; of several labels, one given or left out."""
    if not result.multi_label:
        return int(result.predictions[index])
    assert result.probabilities is not None
    given, chances = result.predictions[index], result.probabilities[index]  # (C,) each
    return int(np.where(given == result.labels[index], -1.0, np.where(given == 1, chances, 1 - chances)).argmax())


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
