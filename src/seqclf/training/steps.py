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
from seqclf.engine.kernels import (
    KINDS,
    Workspace,
    address_of,
    as_values,
    check_places,
    check_size,
    check_status,
    value_type,
)
from seqclf.engine.library import CBatch, CObjective, COutputs, library
from seqclf.engine.parts import NativeModel
from seqclf.models.classifier import RNNClassifier
from seqclf.training.objective import Objective

IndexArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class StepData:
    """One batch, on its way to an update.

    Attributes:
        indices: Its sequences in the training data, (B,).
        labels: Their class indices, int64 (B,), or 0 and 1 for each class, (B, C), where the model lies.
        padded_steps: How many steps it has, padding included.
        batch: What autograd runs; None where the kernels read the data themselves.
        parts: What it is computed in, one after the other, where that is not all at once.
    """

    indices: IndexArray
    labels: Tensor
    padded_steps: int
    batch: Batch | None = None
    parts: "tuple[StepData, ...]" = ()


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
    plan = model.plan_training(train.sequences.lengths[:1])
    kind = NativeSteps if plan.scope == "training step" and objective.loss is None else AutogradSteps
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
            yield StepData(batch.indices.numpy(), batch.labels, len(batch.lengths) * int(batch.lengths.max()), batch)

    def compute_gradients(self, data: StepData, seed: int, epoch: int) -> Tensor:
        """Call the model, and go back from its objective."""
        batch, indices = data.batch, torch.from_numpy(data.indices)
        assert batch is not None
        for parameter in self.model.parameters():
            parameter.grad = None
        keys = keys_for(indices, seed, epoch) if self.model.drops else None
        known = {} if batch.context is None else {"context": batch.context}  # a subclass may know of none
        logits: Tensor = self.model(batch.inputs, batch.lengths, keys=keys, **known)
        torch.autograd.backward(self.objective(logits, data.labels, indices))
        return logits.detach()

    def release(self) -> None:
        """Do nothing: torch looks after its memory."""


@dataclass(frozen=True, eq=False)
class _Made:
    """What torch has made for the kernels to read, and what they give back.

    Attributes:
        value: What autograd knows.
        given: The same as the kernels read it.
        gradient: Where they put its gradient; None where none is wanted.
    """

    value: Tensor
    given: Tensor
    gradient: Tensor | None


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
        self._values = as_values(self._store.values) if model.features is None else self._store.values
        self._starts = self._store.offsets.numpy()[:-1].astype(np.int64)
        self._lengths = self._store.lengths.numpy()
        check_places(self._values, self._starts, self._lengths)  # once for all batches
        self._labels = train.labels.numpy()
        self._dropout = model.new_dropout(torch.zeros(0, dtype=torch.int64)) if model.drops else None
        self._batch = CBatch(
            values=self._values.data_ptr(),
            value_type=value_type(self._values if model.features is None else model.head.weight),
            truncate=model.truncate_steps or 0,
            **({} if self._dropout is None else self._dropout.fields(model.vocab_size or 0)),
        )
        self._objective = CObjective(
            class_weight=None if objective.class_weights is None else objective.class_weights.data_ptr(),
            smoothing=objective.label_smoothing,
        )
        self._context = train.sequences.context
        self._others = [own for own in model.parameters() if not any(own is weight for weight in self._weights)]
        self._outputs = COutputs()
        self._addresses = [ctypes.addressof(one) for one in (self._batch, self._objective, self._outputs)]

    def batches(self, arrays: Iterable[IndexArray], skip: int = 0) -> Iterator[StepData]:
        """Yield indices and labels; the sequences stay where they are."""
        for indices in islice(arrays, skip, None):
            padded_steps = len(indices) * int(self._lengths[indices].max())
            yield StepData(indices, torch.from_numpy(self._labels[indices]), padded_steps)

    def compute_gradients(self, data: StepData, seed: int, epoch: int) -> Tensor:
        """Compute all gradients in one call; those of what torch has made of rows and context, from what comes back."""
        self._follow_weights()
        for parameter in self._others:  # an empty table has a gradient too, as autograd gives it
            parameter.grad = None if parameter.numel() else torch.zeros_like(parameter)
        logits = torch.empty(len(data.indices), self.model.num_classes, dtype=self.model.head.weight.dtype)
        rows, added = self._read(data.indices), self._add(data.indices)
        kept = [self._drop(data, seed, epoch), self._weigh(data)]  # while the kernels read
        targets = data.labels.to(torch.uint8) if data.labels.ndim == 2 else None
        self._objective.labels = data.labels.data_ptr()
        self._objective.targets = None if targets is None else targets.data_ptr()
        self._outputs.logits = logits.data_ptr()
        status = self._kernels.train(
            self._kind, self._native.address, *self._addresses, self._workspace.address, torch.get_num_threads()
        )
        del kept
        check_status(status, self.model.vocab_size or 0)
        made = [one for one in (rows, added) if one is not None and one.value.requires_grad]
        if made:
            torch.autograd.backward([one.value for one in made], [one.gradient for one in made])
        for weight, gradient in zip(self._weights, self._gradients, strict=True):
            if weight.grad is not gradient:
                weight.grad = gradient if weight.requires_grad else None
        return logits

    def _read(self, indices: IndexArray) -> "_Made | None":
        """Point to the sequences of a batch: where they lie, or, with features, prepared."""
        starts, lengths = self._starts[indices], self._lengths[indices]
        check_size(lengths)
        made: _Made | None = None
        if self.model.features is not None:
            chosen = self._store.select(indices)
            prepared = self.model.features.prepare(chosen.values, chosen.lengths, self.model.head.weight.dtype)
            values, starts = as_values(prepared), lengths.cumsum() - lengths
            made = _Made(prepared, values, torch.empty_like(values) if prepared.requires_grad else None)
            self._batch.values = values.data_ptr()
            self._objective.d_inputs = None if made.gradient is None else made.gradient.data_ptr()
        self._batch.count = len(indices)
        self._batch.starts, self._batch.lengths = address_of(starts), address_of(lengths)
        self._places = starts, lengths  # while the kernels read
        return made

    def _add(self, indices: IndexArray) -> "_Made | None":
        """Point to what facts about the sequences of a batch add to their logits, and where its gradient goes."""
        if self.model.context_logits is None or self._context is None:
            return None
        added: Tensor = self.model.context_logits(self._context[torch.from_numpy(indices)])
        given, gradient = added.detach().contiguous(), torch.empty_like(added)
        self._objective.offset, self._objective.d_logits = given.data_ptr(), gradient.data_ptr()
        return _Made(added, given, gradient)

    def _drop(self, data: StepData, seed: int, epoch: int) -> list[object]:
        """Point to the keys of a batch, where something is dropped."""
        if self._dropout is None:
            return []
        keys = keys_for(torch.from_numpy(data.indices), seed, epoch)
        self._batch.keys = keys.data_ptr()
        return [keys]

    def _weigh(self, data: StepData) -> list[object]:
        """Point to the factors of the sequences of a batch, where they count differently."""
        factors = self.objective.factors(data.labels, torch.from_numpy(data.indices))
        if factors is None:
            return []
        factors = factors.to(self.model.head.weight.dtype)
        self._objective.factor = factors.data_ptr()
        return [factors]

    def release(self) -> None:
        """Begin with new memory, of which the kernels take as much as a batch needs."""
        self._workspace = Workspace(self._kernels, torch.get_num_threads())

    def _follow_weights(self) -> None:
        """Notice where an optimiser has put other memory under a weight."""
        pointers = [weight.data_ptr() for weight in self._weights]
        if pointers != self._pointers:
            self._native = NativeModel(self.model.parts, self._weights, self._gradients)
            self._pointers = pointers
