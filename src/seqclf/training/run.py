"""One call of fit: all that changes while it goes on, epoch by epoch."""

import hashlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from torch.optim import Optimizer

from seqclf.data.dataset import SequenceDataset
from seqclf.data.sampling import BucketBatchSampler
from seqclf.models.classifier import OPTIONS, RNNClassifier
from seqclf.reading.plain import plain
from seqclf.reading.sequences import warn
from seqclf.seeding import Draws
from seqclf.training.checkpoint import Checkpoints
from seqclf.training.config import TrainingConfig
from seqclf.training.distributed import Signals
from seqclf.training.dry_run import try_largest_batch
from seqclf.training.evaluate import evaluate_together
from seqclf.training.history import History
from seqclf.training.interrupt import Interruption
from seqclf.training.steps import make_steps
from seqclf.training.stopping import BestSoFar
from seqclf.training.trainer import Trainer

_LEAST_GAIN = 0.03  # of what the majority leaves open, below which training has come to nothing


@dataclass(frozen=True)
class EpochEnd:
    """What a callback of `fit` is given when an epoch has ended.

    Attributes:
        epoch: The index of the epoch, from 0.
        model: The model as it is now. Callbacks may look and copy, and should not change it.
        optimizer: The optimiser as it is now.
        history: The measures up to now, this epoch's included.

    Example:
        >>> from seqclf import RNNClassifier, SequenceDataset, fit
        >>> from seqclf.callbacks import EpochEnd
        >>> train = SequenceDataset.from_pairs([("aab", "a"), ("bba", "b")])
        >>> def stop_soon(end: EpochEnd) -> bool:
        ...     return end.epoch == 1
        >>> history = fit(RNNClassifier.for_dataset(train), train, callbacks=[stop_soon], progress=False)
        >>> history.epochs, history.stopped_by
        (2, 'callback')
    """

    epoch: int
    model: RNNClassifier = field(repr=False)
    optimizer: Optimizer = field(repr=False)
    history: History


Callback = Callable[[EpochEnd], bool | None]


@dataclass(eq=False)
class Run:
    """The state of a training run, and what takes it from epoch to epoch.

    Attributes:
        trainer: What makes the updates.
        sampler: The batches of the training data.
        train: The training data.
        validation_data: What each epoch is measured on, if anything.
        best: The best epoch up to now, where training is to stop early.
        callbacks: What is called after each epoch.
        draws: What the model draws from.
        config: The options that it goes by.
        history: What was measured.
        epoch: The one that is under way, or comes next.
    """

    trainer: Trainer
    sampler: BucketBatchSampler
    train: SequenceDataset
    validation_data: SequenceDataset | None
    best: BestSoFar | None
    callbacks: Sequence[Callback]
    draws: Draws
    config: TrainingConfig
    history: History = field(default_factory=History)
    epoch: int = 0

    @property
    def model(self) -> RNNClassifier:
        """The model."""
        return self.trainer.model

    def go(self, epochs: int, bar: Any, checkpoints: Checkpoints | None, interruption: Interruption) -> History:
        """Train up to so many epochs, and return what was measured."""
        self.history.config = self.config.to_dict() | self._further_options()
        group = self.trainer.group
        group.copy_from_first(self.model)

        def wishes(updates: int) -> Signals:
            is_due = checkpoints is not None and checkpoints.is_due(updates)
            return Signals(is_due or interruption.requested, interruption.requested)

        def after_update(signals: Signals) -> None:
            bar.update()
            if signals.write and checkpoints is not None:
                checkpoints.write(self.updates, self.state())

        bar.update(self.updates)  # those of a run that goes on
        while self.epoch < epochs and self.history.stopped_by == "epochs":
            bar.set_description(f"epoch {self.epoch + 1}/{epochs}")
            self.sampler.set_epoch(self.epoch)
            left = (epochs - self.epoch) * len(self.sampler) - self.trainer.so_far.updates
            bar.total = bar.n + left  # with max_tokens no two epochs need have as many
            measures = self.trainer.run_epoch(self.train, self.sampler, self.epoch, wishes, after_update)
            if measures is not None:
                self._end_epoch(measures, bar)
                if checkpoints is not None:
                    checkpoints.write(self.updates, self.state())
            if checkpoints is not None and (measures is None or group.any(interruption.requested)):
                self.history.stopped_by = "interrupted"
                warnings.warn(
                    f"training was interrupted in epoch {self.epoch + 1}. What it had come to is in "
                    f"{checkpoints.folder}, and resume=True goes on from there.",
                    stacklevel=3,
                )
        if self.history.stopped_by != "interrupted":
            self._warn_of_no_gain()
        if self.best and self.best.epoch >= 0:
            self.history.best_epoch = self.best.epoch
            self.best.restore(self.model)
        return self.history

    def _warn_of_no_gain(self) -> None:
        """Warn where the model has learned no more than which class is the most frequent."""
        majority = float(np.bincount(self.train.answers).max()) / len(self.train)
        best = max(self.history.measures.get("accuracy", []), default=1.0)
        if majority < 1 and best - majority < _LEAST_GAIN * (1 - majority):
            warn(
                f"the training accuracy came to {best:.3f} at best, where always answering the most frequent class has "
                f"{majority:.3f}: the model has learned next to nothing. Give it more epochs or another learning_rate, "
                "or see dataset.report() for what the data hold."
            )

    def _further_options(self) -> dict[str, Any]:
        """Return what was not left to the rules: what the history tells beside what was."""
        scheduler = self.trainer.scheduler
        return {
            "optimizer": type(self.trainer.optimizer).__name__,
            "scheduler": scheduler and type(scheduler).__name__,
            "batch_size": self.sampler.batch_size,
            "max_tokens": self.sampler.max_tokens,
            "seed": self.sampler.seed,
        }

    def try_largest_batch(self) -> None:
        """See whether memory holds the largest batch."""
        self.model.train()
        steps = make_steps(self.model, self.trainer.objective, self.train)
        try_largest_batch(self.train, self.sampler, steps, self.trainer.places)

    @property
    def updates(self) -> int:
        """How many updates were made, all epochs together."""
        return int(sum(self.history.measures.get("steps", []))) + self.trainer.so_far.updates

    def _end_epoch(self, measures: dict[str, float], bar: Any) -> None:
        """Measure what an epoch has come to, and see whether it was the last."""
        if self.validation_data is not None:
            result = evaluate_together(self.model, self.validation_data, self.trainer.group)
            measures |= {"val_loss": result.loss, "val_accuracy": result.accuracy}
        self.trainer.end_epoch(measures)
        self.history.append(measures)
        bar.set_postfix({name: f"{measures[name]:.3f}" for name in measures if "loss" in name or "accuracy" in name})
        end = EpochEnd(self.epoch, self.model, self.trainer.optimizer, self.history)
        if self.trainer.group.any(any(plain(callback(end)) is True for callback in self.callbacks)):
            self.history.stopped_by = "callback"
        if self.best and self.best.update(self.epoch, measures[self.best.rule.monitor], self.model):
            self.history.stopped_by = "early_stopping"
        self.epoch += 1

    def about(self) -> dict[str, Any]:
        """Return what this run is of, by name, as values ready for JSON: runs in which it differs are others."""
        trainer, sampler, scheduler = self.trainer, self.sampler, self.trainer.scheduler
        groups = [_plain(group) for group in trainer.optimizer.param_groups]
        weights, own = trainer.objective.class_weights, trainer.objective.sample_weights
        return {
            "train": self.train.fingerprint,
            "validation_data": self.validation_data and self.validation_data.fingerprint,
            "weights": {name: f"{one.dtype} {tuple(one.shape)}" for name, one in self.model.state_dict().items()},
            "model": {name: getattr(self.model, name) for name in OPTIONS},
            "device": self.model.device.type,
            "batch_size": sampler.batch_size,
            "max_tokens": sampler.max_tokens,
            "seed": sampler.seed,
            "schedule": self._about_schedule(),
            "scheduler": scheduler and [type(scheduler).__name__, trainer.interval, _plain(scheduler.state_dict())],
            "optimizer": [type(trainer.optimizer).__name__, groups],
            "clip_grad_norm": trainer.clip_grad_norm,
            "class_weight": None if weights is None else weights.tolist(),
            "sample_weight": None if own is None else hashlib.sha256(own.double().cpu().numpy().tobytes()).hexdigest(),
            "label_smoothing": trainer.objective.label_smoothing,
            "early_stopping": self.best and asdict(self.best.rule),
        }

    def _about_schedule(self) -> list[Any] | None:
        """Return what decides the learning rates; a constant one does not go by the number of updates."""
        config = self.config
        is_constant = config.schedule in {None, "constant"} and not config.warmup
        return None if is_constant else [config.schedule, config.warmup, config.updates]

    def state(self) -> dict[str, Any]:
        """Return what `load_state` goes on from."""
        return {
            "epoch": self.epoch,
            "history": vars(self.history),
            "trainer": self.trainer.state(),
            "best": None if self.best is None else self.best.state(),
            "rng": self.draws.state(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.epoch = state["epoch"]
        self.history = History(**state["history"])
        self.trainer.load_state(state["trainer"])
        if self.best is not None:
            self.best.load_state(state["best"])
        self.draws.load_state(state["rng"])


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return those values that JSON can hold."""
    return {
        name: value for name, value in values.items() if value is None or isinstance(value, bool | int | float | str)
    }
