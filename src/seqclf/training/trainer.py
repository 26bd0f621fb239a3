"""Trainer: the updates of one training run, and what is measured on the way."""

import math
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CyclicLR, LRScheduler, OneCycleLR, ReduceLROnPlateau

from seqclf.data.dataset import SequenceDataset
from seqclf.data.sampling import BucketBatchSampler
from seqclf.errors import InvalidArgumentError, TrainingError
from seqclf.models.classifier import RNNClassifier
from seqclf.training.accumulate import AccumulatedSteps
from seqclf.training.distributed import Group, Signals
from seqclf.training.finite import refuse_update
from seqclf.training.objective import Objective
from seqclf.training.steps import StepData, Steps, make_steps
from seqclf.training.update import Updater

SchedulerFactory = Callable[[Optimizer], LRScheduler]

_KEPT_ROWS = 1 << 14  # how many sequences' logits wait to be measured together


class Trainer:
    """One training run: the model, what changes it, and the sums of the epoch under way."""

    def __init__(
        self,
        model: RNNClassifier,
        optimizer: Optimizer,
        objective: Objective,
        *,
        clip_grad_norm: float | None,
        parts: BucketBatchSampler,
        accumulate: int,
        places: Tensor | None = None,
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.parts, self.accumulate = parts, accumulate  # what is computed at once, and how many make an update
        self.places = places  # where the sequences stand in what the user gave, where some of that are left out
        self.objective = objective
        objective.to(model.head.weight)
        self.clip_grad_norm = clip_grad_norm
        self.scheduler: LRScheduler | None = None
        self.interval = "epoch"
        self.learning_rate = 0.0  # of the latest update
        self.so_far = EpochSoFar(model.device)
        held = (parameter for group in optimizer.param_groups for parameter in group["params"])
        self.parameters = list(dict.fromkeys([*model.parameters(), *held]))  # in the same order in all processes
        self.group = Group(model.device)
        self.updater = Updater(optimizer, clip_grad_norm, self.parameters)

    def use_scheduler(self, scheduler: LRScheduler | SchedulerFactory | None, interval: str | None) -> None:
        """Take on a scheduler, or make it from the optimiser."""
        if scheduler is None:
            return
        try:
            self.scheduler = scheduler if isinstance(scheduler, LRScheduler) else scheduler(self.optimizer)
        except (TypeError, ValueError) as error:
            raise InvalidArgumentError(
                f"scheduler must be one of torch's, or make one from the optimizer; got {type(error).__name__}: {error}"
            ) from error
        if getattr(self.scheduler, "optimizer", None) is not self.optimizer:
            raise InvalidArgumentError(
                "scheduler must steer the optimizer that is given to fit; got one of another optimizer. "
                "Pass both, or a callable that makes the scheduler from the optimizer."
            )
        self.interval = interval or ("step" if isinstance(self.scheduler, OneCycleLR | CyclicLR) else "epoch")

    def run_epoch(
        self,
        train: SequenceDataset,
        sampler: BucketBatchSampler,
        epoch: int,
        wishes: Callable[[int], Signals],
        after_update: Callable[[Signals], None],
    ) -> dict[str, float] | None:
        """Make one update for each batch that is left of an epoch, and return the measures of the epoch.

        Args:
            train: The data.
            sampler: Its batches.
            epoch: Which epoch it is.
            wishes: Called before each update, with the number of updates that the epoch will have had after it; says
                what this process wants to happen then.
            after_update: Called after each, with what any process has wanted. Where that was to stop, the epoch is
                broken off, and None returned.
        """
        self.model.train()
        so_far, steps = self.so_far, self.make_steps(train)
        self.updater.look_again()
        start = time.perf_counter() - so_far.seconds
        for data, part in self._shares(steps, train, sampler, epoch):
            logits = steps.compute_gradients(data, sampler.seed, epoch)
            signals = self.group.sum_gradients(self.parameters, part, wishes(so_far.updates + 1))
            self._update(logits, data, epoch)
            so_far.add(data, logits, time.perf_counter() - start, counts=part > 0)
            after_update(signals)
            if signals.stop:
                return None
        self.so_far = EpochSoFar(self.model.device)
        loss, hits, padded_steps = so_far.totals(self.group).tolist()
        if not math.isfinite(loss):
            raise TrainingError(
                f"the loss must stay finite; got {loss / len(train)} in epoch {epoch + 1}. "
                "Lower the learning rate, or pass clip_grad_norm.",
                epoch=epoch,
            )
        return {
            "loss": loss / len(train),
            "accuracy": hits / len(train),
            "learning_rate": self.learning_rate,
            "seconds": time.perf_counter() - start,
            "steps": float(so_far.updates),
            "padding_waste": padded_steps / max(1, train.sequences.total),
        }

    def make_steps(self, train: SequenceDataset) -> Steps:
        """Return what computes the gradients of a batch for the model as it is now."""
        if self.accumulate == 1:
            return make_steps(self.model, self.objective, train)
        return AccumulatedSteps(self.model, self.objective, train, self.parts)

    def _shares(
        self, steps: Steps, train: SequenceDataset, sampler: BucketBatchSampler, epoch: int
    ) -> Iterator[tuple[StepData, float]]:
        """Yield this process's share of each batch that is left, and the part of the batch that it counts for."""
        labels, group, skip = train.compact_labels, self.group, self.so_far.updates
        sampler.set_epoch(epoch)
        batches = steps.batches((group.share(indices) for indices in sampler.arrays()), skip)
        if group.count == 1:
            yield from ((data, 1.0) for data in batches)
            return
        sampler.set_epoch(epoch)
        for data, indices in zip(batches, islice(sampler.arrays(), skip, None), strict=True):
            own, whole = (
                self.objective.total(labels[one].long(), one)
                for one in (torch.from_numpy(data.indices), torch.from_numpy(indices))
            )
            yield data, own / whole if group.has_share(indices) else 0.0

    def _update(self, logits: Tensor, data: StepData, epoch: int) -> None:
        """Change the weights by their gradients, if these are finite."""
        self.learning_rate = float(self.optimizer.param_groups[0]["lr"])
        if not self.updater.step():
            indices = data.indices if self.places is None else self.places[data.indices].numpy()
            raise refuse_update(self.model, logits, indices.tolist(), epoch, self.so_far.updates)
        if self.scheduler is not None and self.interval == "step":
            self.scheduler.step()

    def end_epoch(self, measures: dict[str, float]) -> None:
        """Step a scheduler that goes by epochs."""
        if self.scheduler is None or self.interval != "epoch":
            return
        if isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step(measures.get("val_loss", measures["loss"]))
        else:
            self.scheduler.step()

    def state(self) -> dict[str, Any]:
        """Return what `load_state` goes on from."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": None if self.scheduler is None else self.scheduler.state_dict(),
            "learning_rate": self.learning_rate,
            "so_far": self.so_far.state(self.group),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["scheduler"])
        self.learning_rate = state["learning_rate"]
        self.so_far.load_state(state["so_far"], self.group)


class EpochSoFar:
    """What is known of an epoch that is under way: of its share, where several processes train.

    Attributes:
        updates: How many updates were made.
        padded_steps: How many steps the batches had, padding included.
        seconds: How long it took.
        sums: The sums that its measures come from.
    """

    def __init__(self, device: torch.device) -> None:
        self.updates = 0
        self.padded_steps = 0
        self.seconds = 0.0
        self.sums = _Sums(device)

    def add(self, data: StepData, logits: Tensor, seconds: float, *, counts: bool) -> None:
        """Count one update, and its batch if that counts; `seconds` are those of the whole epoch up to now."""
        self.updates += 1
        self.seconds = seconds
        if counts:
            self.padded_steps += data.padded_steps
            self.sums.add(logits, data.labels)

    def totals(self, group: Group) -> Tensor:
        """Return loss, hits and padded steps, summed over all sequences of all processes."""
        own = self.sums.read()
        return group.sum(torch.cat([own, own.new_tensor([float(self.padded_steps)])]))

    def state(self, group: Group) -> dict[str, Any]:
        """Return what `load_state` goes on from, whatever the number of processes then.

        Alone, sequences that wait to be measured are kept as they are, so that sums come out the same bit for bit.
        """
        sums, padded_steps = self.sums, self.padded_steps
        totals, waiting = sums.totals, (sums.logits, sums.labels)
        if group.count > 1:
            *_, steps = whole = self.totals(group)
            totals, padded_steps, waiting = whole[:2], int(steps), ([], [])
        return {
            "updates": self.updates,
            "padded_steps": padded_steps,
            "seconds": self.seconds,
            "totals": totals,
            "waiting": [torch.cat(one) for one in waiting if one],
        }

    def load_state(self, state: dict[str, Any], group: Group) -> None:
        """Go on from what `state` returned; the first process takes over all that was counted."""
        self.updates, self.seconds = state["updates"], state["seconds"]
        if group.rank:
            return
        self.padded_steps = state["padded_steps"]
        device = self.sums.totals.device
        self.sums.totals = state["totals"].to(device)
        if state["waiting"]:
            logits, labels = state["waiting"]
            self.sums.add(logits.to(device), labels.to(device))


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

    def read(self) -> Tensor:
        """Return the two sums, (2,)."""
        if self.rows:
            self._measure()
        return self.totals

    def _measure(self) -> None:
        logits, labels = torch.cat(self.logits), torch.cat(self.labels)
        if labels.ndim == 2:
            losses = binary_cross_entropy_with_logits(logits, labels.to(logits), reduction="none").mean(1)
            hits = ((logits >= 0) == labels).all(1).sum()
        else:
            losses = cross_entropy(logits, labels, reduction="none")
            hits = (logits.argmax(1) == labels).sum()
        self.totals += torch.stack([losses.sum(dtype=torch.float64), hits.double()])
        self.logits, self.labels, self.rows = [], [], 0
