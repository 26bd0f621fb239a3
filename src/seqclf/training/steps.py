"""The gradients of a batch: in one call of the compiled kernels, or by autograd."""

import ctypes
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqclf.data.batch import Batch
from seqclf.data.dataset import SequenceDataset
from seqclf.data.packing import pack_batches
from seqclf.engine.dropout import keys_for
from seqclf.engine.kernels import KINDS, NativeBatch, NativeModel, Workspace, as_values, check_status
from seqclf.engine.library import CObjective, COutputs, library
from seqclf.engine.plan import plan_training
from seqclf.models.classifier import RNNClassifier
from seqclf.training.objective import Objective

IndexArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class StepData:
    """One batch, on its way to an update.

    Attributes:
        indices: Its sequences in the training data, (B,).
        labels: Their class indices, int64 (B,), where the model lies.
        longest: The number of steps of the longest.
        batch: What autograd runs; None where the kernels read the data themselves.
    """

    indices: IndexArray
    labels: Tensor
    longest: int
    batch: Batch | None = None


class Steps(Protocol):
    """What computes gradients, batch by batch."""

    def batches(self, arrays: Iterable[IndexArray], skip: int = 0) -> Iterator[StepData]:
        """Yield a batch for each array of indices but the first `skip`."""
        ...

    def compute_gradients(self, data: StepData, seed: int, epoch: int) -> Tensor:
        """Put the gradients of a batch into the weights, in place of any before; return its logits (B, C), detached."""
        ...

    def release(self) -> None:
        """Give back the memory that the largest batch has needed."""
        ...


def make_steps(model: RNNClassifier, objective: Objective, train: SequenceDataset) -> Steps:
    """Return what computes the gradients for a model as it is now."""
    plan = plan_training(model, train.sequences.lengths[:1], is_subclass=type(model) is not RNNClassifier)
    kind = NativeSteps if plan.scope == "training step" else AutogradSteps
    return kind(model, objective, train)


class AutogradSteps:
    """Gradients by a forward call and autograd."""

    def __init__(self, model: RNNClassifier, objective: Objective, train: SequenceDataset) -> None:
        self.model, self.objective, self.train = model, objective, train

    def batches(self, arrays: Iterable[IndexArray], skip: int = 0) -> Iterator[StepData]:
        """Yield packed batches."""
        train = self.train
        for batch in pack_batches(train.sequences, train.compact_labels, arrays, self.model.device, skip=skip):
            assert batch.indices is not None
            assert batch.labels is not None
            yield StepData(batch.indices.numpy(), batch.labels, int(batch.lengths.max()), batch)

    def compute_gradients(self, data: StepData, seed: int, epoch: int) -> Tensor:
        """Call the model, and go back from its objective."""
        batch, indices = data.batch, torch.from_numpy(data.indices)
        assert batch is not None
        for parameter in self.model.parameters():
            parameter.grad = None
        keys = keys_for(indices, seed, epoch) if self.model.drops else None
        logits: Tensor = self.model(batch.inputs, batch.lengths, keys=keys)
        torch.autograd.backward(self.objective(logits, data.labels, indices))
        return logits.detach()

    def release(self) -> None:
        """Do nothing: torch looks after its memory."""


class NativeSteps:
    """Gradients by one call of the kernels, which read the sequences where the dataset has them.

    All gradients lie in one piece of memory, of which each weight's `grad` is a part.
    """

    def __init__(self, model: RNNClassifier, objective: Objective, train: SequenceDataset) -> None:
        kernels = library()
        assert kernels is not None
        self.model, self.objective = model, objective
        self._kernels, self._kind = kernels, kernels.kinds[KINDS[model.head.weight.dtype]]
        self._workspace = Workspace(kernels, torch.get_num_threads())
        self._weights = model.parts.weights()
        flat = torch.zeros(sum(weight.numel() for weight in self._weights), dtype=model.head.weight.dtype)
        parts = torch.split(flat, [weight.numel() for weight in self._weights])
        self._gradients = [part.view(weight.shape) for part, weight in zip(parts, self._weights, strict=True)]
        self._native = NativeModel(model.parts, self._weights, self._gradients)
        self._pointers = [weight.data_ptr() for weight in self._weights]
        self._store = train.sequences
        self._values = as_values(self._store.values) if model.features is None else None
        self._offsets = self._store.offsets.numpy().astype(np.int64)
        self._lengths = self._store.lengths.numpy()
        self._labels = train.compact_labels
        self._dropout = model.new_dropout(torch.zeros(0, dtype=torch.int64)) if model.drops else None
        self._objective = CObjective(
            class_weight=None if objective.class_weights is None else objective.class_weights.data_ptr(),
            smoothing=objective.label_smoothing,
        )

    def batches(self, arrays: Iterable[IndexArray], skip: int = 0) -> Iterator[StepData]:
        """Yield indices and labels; the sequences stay where they are."""
        for indices in islice(arrays, skip, None):
            labels = self._labels[torch.from_numpy(indices)].long()
            yield StepData(indices, labels, int(self._lengths[indices].max()))

    def compute_gradients(self, data: StepData, seed: int, epoch: int) -> Tensor:
        """Compute all gradients in one call."""
        self._follow_weights()
        logits = torch.empty(len(data.indices), self.model.num_classes, dtype=self.model.head.weight.dtype)
        batch = self._batch(data, seed, epoch)
        factors = self.objective.factors(data.labels, torch.from_numpy(data.indices))
        factors = None if factors is None else factors.to(logits)
        self._objective.labels = data.labels.data_ptr()
        self._objective.factor = None if factors is None else factors.data_ptr()
        outputs = COutputs(logits=logits.data_ptr())
        status = self._kernels.train(
            self._kind,
            self._native.address,
            ctypes.addressof(batch.struct),
            ctypes.addressof(self._objective),
            ctypes.addressof(outputs),
            self._workspace.address,
            torch.get_num_threads(),
        )
        check_status(status, self.model.vocab_size or 0)
        for weight, gradient in zip(self._weights, self._gradients, strict=True):
            if weight.grad is not gradient:
                weight.grad = gradient if weight.requires_grad else None
        return logits

    def release(self) -> None:
        """Begin with new memory, of which the kernels take as much as a batch needs."""
        self._workspace = Workspace(self._kernels, torch.get_num_threads())

    def _follow_weights(self) -> None:
        """Notice where an optimiser has put other memory under a weight."""
        pointers = [weight.data_ptr() for weight in self._weights]
        if pointers != self._pointers:
            self._native = NativeModel(self.model.parts, self._weights, self._gradients)
            self._pointers = pointers

    def _batch(self, data: StepData, seed: int, epoch: int) -> NativeBatch:
        starts, lengths = self._offsets[data.indices], self._lengths[data.indices]
        values = self._values
        if values is None:
            assert self.model.features is not None
            chosen = self._store.select(data.indices)
            prepared = self.model.features.prepare(chosen.values.to(self.model.head.weight.dtype), chosen.lengths)
            values, starts = as_values(prepared), lengths.cumsum() - lengths
        if self._dropout is None:
            return NativeBatch(values, starts, lengths, truncate_steps=self.model.truncate_steps)
        keys = keys_for(torch.from_numpy(data.indices), seed, epoch).numpy()
        return NativeBatch(values, starts, lengths, keys, self._dropout.thresholds, self.model.truncate_steps)
