"""Accumulation: the gradients of a batch that memory would not hold, part by part."""

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from seqclf.data.dataset import SequenceDataset
from seqclf.data.sampling import BucketBatchSampler
from seqclf.models.classifier import RNNClassifier
from seqclf.training.objective import Objective
from seqclf.training.steps import IndexArray, StepData, Steps, make_steps


class AccumulatedSteps:
    """Gradients of whole batches, each the sum over its parts, of which every one counts by its sequences' weights.

    Args:
        model: The model.
        objective: What is minimised.
        train: The data.
        parts: How large a part may be: its `batch_size` and `max_tokens`.
    """

    def __init__(
        self, model: RNNClassifier, objective: Objective, train: SequenceDataset, parts: BucketBatchSampler
    ) -> None:
        self.model, self.objective, self.parts = model, objective, parts
        self.steps: Steps = make_steps(model, objective, train)
        self.lengths = train.sequences.lengths.numpy()

    def batches(self, arrays: Iterable[IndexArray], skip: int = 0) -> Iterator[StepData]:
        """Yield a batch, in its parts, for each array of indices but the first `skip`."""
        for indices in islice(arrays, skip, None):
            parts = tuple(self.steps.batches(self._split(indices)))
            labels = torch.cat([part.labels for part in parts])
            yield StepData(indices, labels, sum(part.padded_steps for part in parts), parts=parts)

    def compute_gradients(self, data: StepData, seed: int, epoch: int) -> Tensor:
        """Put the gradients of all parts together into the weights; return the logits of the batch (B, C)."""
        total = self.objective.total(data.labels, torch.from_numpy(data.indices))
        weights = [weight for weight in self.model.parameters() if weight.requires_grad]
        sums: list[Tensor | None] = [None] * len(weights)
        logits = []
        for part in data.parts:
            logits.append(self.steps.compute_gradients(part, seed, epoch))
            share = self.objective.total(part.labels, torch.from_numpy(part.indices)) / total
            for place, weight in enumerate(weights):
                if weight.grad is not None:
                    own, before = weight.grad * share, sums[place]
                    sums[place] = own if before is None else before.add_(own)
        for weight, gradient in zip(weights, sums, strict=True):
            weight.grad = gradient
        return torch.cat(logits)

    def release(self) -> None:
        """Give back the memory that the largest part has needed."""
        self.steps.release()

    def _split(self, indices: IndexArray) -> list[IndexArray]:
        """Cut a batch where its parts would become too large."""
        found, start, longest = [], 0, 0
        for place, length in enumerate(self.lengths[indices].tolist()):
            longest = max(longest, length)
            count = place + 1 - start
            too_long = self.parts.max_tokens is not None and count * longest > self.parts.max_tokens
            if count > 1 and (count > self.parts.batch_size or too_long):
                found.append(indices[start:place])
                start, longest = place, length
        return [*found, np.asarray(indices[start:])]
