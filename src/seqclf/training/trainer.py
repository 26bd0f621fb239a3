"""Trainer: the updates of one training run, and what is measured on the way."""

import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import PackedSequence
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CyclicLR, LRScheduler, OneCycleLR, ReduceLROnPlateau

from seqclf.checks import check_choice
from seqclf.data.batch import Batch
from seqclf.data.dataset import SequenceDataset
from seqclf.data.packing import pack_batches
from seqclf.data.sampling import BucketBatchSampler
from seqclf.errors import InvalidArgumentError, TrainingError
from seqclf.models.classifier import RNNClassifier
from seqclf.models.direct import goes_directly, step_directly, suits_fused
from seqclf.models.dropout import keys_for
from seqclf.training.objective import Objective

SchedulerFactory = Callable[[Optimizer], LRScheduler]

_KEPT_ROWS = 1 << 14  # how many sequences' logits wait to be measured together


class Trainer:
    """One training run: the model, what changes it, and the sums of the epoch under way."""

    def __init__(
        self,
        model: RNNClassifier,
        optimizer: Optimizer,
        class_weights: Tensor | None,
        label_smoothing: float,
        clip_grad_norm: float | None,
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        weights = None if class_weights is None else class_weights.to(model.device, model.head.weight.dtype)
        self.objective = Objective(weights, label_smoothing)
        self.clip_grad_norm = clip_grad_norm
        self.scheduler: LRScheduler | None = None
        self.interval = "epoch"
        self.learning_rate = 0.0  # of the latest update
        held = (parameter for group in optimizer.param_groups for parameter in group["params"])
        self.parameters = list({*model.parameters(), *held})

    def use_scheduler(self, scheduler: LRScheduler | SchedulerFactory | None, interval: str | None) -> None:
        """Take on a scheduler, or make it from the optimiser."""
        if interval is not None:
            check_choice("scheduler_interval", interval, ("epoch", "step"))
        if scheduler is None:
            return
        self.scheduler = scheduler if isinstance(scheduler, LRScheduler) else scheduler(self.optimizer)
        if getattr(self.scheduler, "optimizer", None) is not self.optimizer:
            raise InvalidArgumentError(
                "scheduler must steer the optimizer that is given to fit; got one of another optimizer. "
                "Pass both, or a callable that makes the scheduler from the optimizer."
            )
        self.interval = interval or ("step" if isinstance(self.scheduler, OneCycleLR | CyclicLR) else "epoch")

    def run_epoch(self, train: SequenceDataset, sampler: BucketBatchSampler, epoch: int, bar: Any) -> dict[str, float]:
        """Make one update for each batch, and return the measures of the epoch."""
        self.model.train()
        sampler.set_epoch(epoch)
        sums = _Sums(self.model.device)
        directly = goes_directly(self.model)
        padded_steps = 0
        start = time.perf_counter()
        for batch in pack_batches(train.sequences, train.labels, sampler.arrays()):
            assert batch.indices is not None
            padded_steps += len(batch) * _longest(batch)
            keys = keys_for(batch.indices, sampler.seed, epoch) if self.model.drops else None
            on_device = batch.to(self.model.device)
            sums.add(self._step(on_device, keys, directly), on_device.labels)
            bar.update()
        loss, accuracy = (total / len(train) for total in sums.read())
        if not math.isfinite(loss):
            raise TrainingError(
                f"the loss must stay finite; got {loss} in epoch {epoch + 1}. "
                "Lower the learning rate, or pass clip_grad_norm."
            )
        return {
            "loss": loss,
            "accuracy": accuracy,
            "learning_rate": self.learning_rate,
            "seconds": time.perf_counter() - start,
            "steps": float(len(sampler)),
            "padding_waste": padded_steps / max(1, int(train.lengths.sum())),
        }

    def _step(self, batch: Batch, keys: Tensor | None, directly: bool) -> Tensor:
        """Make one update, and return the logits of the batch, detached, still on the device."""
        inputs, labels = batch.inputs, batch.labels
        assert labels is not None

        if directly and isinstance(inputs, PackedSequence) and suits_fused(self.model, inputs):
            logits = step_directly(self.model, inputs, partial(self.objective.gradient, labels=labels))
        else:
            for parameter in self.parameters:
                parameter.grad = None
            logits = self.model(inputs, batch.lengths, keys=keys)
            torch.autograd.backward(self.objective(logits, labels))
        if self.clip_grad_norm is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_grad_norm)
        self.learning_rate = float(self.optimizer.param_groups[0]["lr"])
        self.optimizer.step()
        if self.scheduler is not None and self.interval == "step":
            self.scheduler.step()
        return logits.detach()

    def end_epoch(self, measures: dict[str, float]) -> None:
        """Step a scheduler that goes by epochs."""
        if self.scheduler is None or self.interval != "epoch":
            return
        if isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step(measures.get("val_loss", measures["loss"]))
        else:
            self.scheduler.step()


class _Sums:
    """The NLL and the hits of an epoch, measured many batches at a time: alone, each costs as much as a small step."""

    def __init__(self, device: torch.device) -> None:
        self.totals = torch.zeros(2, dtype=torch.float64, device=device)
        self.logits: list[Tensor] = []
        self.labels: list[Tensor] = []
        self.rows = 0

    def add(self, logits: Tensor, labels: Tensor | None) -> None:
        """Count one batch."""
        assert labels is not None
        self.logits.append(logits)
        self.labels.append(labels)
        self.rows += len(labels)
        if self.rows >= _KEPT_ROWS:
            self._measure()

    def read(self) -> list[float]:
        """Return the two sums."""
        if self.rows:
            self._measure()
        return self.totals.tolist()

    def _measure(self) -> None:
        logits, labels = torch.cat(self.logits), torch.cat(self.labels)
        losses = cross_entropy(logits, labels, reduction="none")
        hits = (logits.argmax(1) == labels).sum()
        self.totals += torch.stack([losses.sum(dtype=torch.float64), hits.double()])
        self.logits, self.labels, self.rows = [], [], 0


def _longest(batch: Batch) -> int:
    """Return how many steps a batch has, padding included."""
    inputs = batch.inputs
    return inputs.shape[1] if isinstance(inputs, Tensor) else len(inputs.batch_sizes)
