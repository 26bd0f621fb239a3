"""One call of fit: all that changes while it goes on, epoch by epoch."""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch

from seqclf.data.dataset import SequenceDataset
from seqclf.data.sampling import BucketBatchSampler
from seqclf.models.classifier import OPTIONS, RNNClassifier
from seqclf.reading.plain import plain
from seqclf.reading.sequences import warn
from seqclf.seeding import Draws
from seqclf.training.config import TrainingConfig
from seqclf.training.distributed import StepActions
from seqclf.training.dry_run import try_largest_batch
from seqclf.training.evaluate import evaluate
from seqclf.training.history import History
from seqclf.training.hooks import Callback, FitState, defines, stateful
from seqclf.training.interrupt import Interruption
from seqclf.training.measures import Measures
from seqclf.training.steps import make_steps
from seqclf.training.trainer import Trainer

_FEW = 1_000  # sequences that tell whether anything was learned
_LEAST_GAIN = 0.03  # of what the majority leaves open, below which training has come to nothing


@dataclass(eq=False)
class Run:
    """The state of a training run, and what takes it from epoch to epoch.

    Attributes:
        trainer: What makes the updates.
        sampler: The batches of the training data.
        train: The training data.
        validation_data: What each epoch is measured on, if anything.
        measures: What it is measured with.
        callbacks: What is called on the way, the library's own among them.
        draws: What the model draws from.
        config: The options that it goes by.
        history: What was measured.
        epoch: The one that is under way, or comes next.
    """

    trainer: Trainer
    sampler: BucketBatchSampler
    train: SequenceDataset
    validation_data: SequenceDataset | None
    measures: Measures
    callbacks: Sequence[Callback]
    draws: Draws
    config: TrainingConfig
    history: History = field(default_factory=History)
    epoch: int = 0

    @property
    def model(self) -> RNNClassifier:
        """The model."""
        return self.trainer.model

    def train_epochs(self, epochs: int, interruption: Interruption) -> History:
        """Train up to so many epochs, and return what was measured."""
        self.history.config = self.config.to_dict() | self._further_options()
        self.trainer.group.copy_from_first(self.model)
        state = FitState(self.epoch, self.model, self.trainer.optimizer, self.history, self.updates, epochs=epochs)
        with ExitStack() as ends:
            for callback in self.callbacks:
                ends.callback(callback.on_fit_end, state)
            try:
                self._call("on_fit_start", state)
                while self.epoch < epochs and self.history.stopped_by == "epochs":
                    self._run_epoch(state, interruption)
            except BaseException as error:
                state.error = error
                raise
            if self.history.stopped_by != "interrupted":
                self._warn_of_no_gain()
        return self.history

    def _run_epoch(self, state: FitState, interruption: Interruption) -> None:
        """Make the updates of an epoch, measure it, and give out the state when that is due."""
        state.epoch, state.measures, state.validation = self.epoch, {}, None
        self.sampler.set_epoch(self.epoch)
        left = (state.epochs - self.epoch) * len(self.sampler) - self.trainer.epoch_totals.updates
        state.total_updates = state.update + left
        watchers, keepers = (
            [one for one in self.callbacks if defines(one, name)] for name in ("on_update", "on_state")
        )

        def requested_actions(updates: int) -> StepActions:
            is_due = any(keeper.wants_state(updates) for keeper in keepers)
            return StepActions(is_due or interruption.requested, interruption.requested)

        def after_update(actions: StepActions) -> None:
            state.update += 1
            for watcher in watchers:
                watcher.on_update(state)
            if actions.write:
                give_out()

        def give_out() -> None:
            snapshot = self.state() if keepers else {}
            for keeper in keepers:
                keeper.on_state(state, snapshot)

        self._call("on_epoch_start", state)
        measures = self.trainer.run_epoch(self.train, self.sampler, self.epoch, requested_actions, after_update)
        if measures is not None:
            self._end_epoch(state, measures)
            give_out()
        if measures is None or self.trainer.group.any(interruption.requested):
            self.history.stopped_by = "interrupted"

    def _call(self, moment: str, state: FitState) -> list[Any]:
        """Call all callbacks at a moment, and return what they say."""
        return [getattr(callback, moment)(state) for callback in self.callbacks]

    def _warn_of_no_gain(self) -> None:
        """Warn where the model has learned no more than which class is the most frequent."""
        majority = float(np.bincount(self.train.answers).max()) / len(self.train)
        best = max(self.history.measures.get("accuracy", []), default=1.0)
        if majority < 1 and best - majority < _LEAST_GAIN * (1 - majority):
            few = torch.linspace(0, len(self.train) - 1, min(_FEW, len(self.train))).long()
            best = max(best, evaluate(self.model, self.train.subset(few)).accuracy)  # without dropout it may be better
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
            "batch_size": self.trainer.parts.batch_size,
            "max_tokens": self.trainer.parts.max_tokens,
            "accumulate": self.trainer.accumulate,
            "loss": self.trainer.objective.loss_name,
            "seed": self.sampler.seed,
        }

    def try_largest_batch(self) -> None:
        """See whether memory holds the largest batch."""
        self.model.train()
        steps = make_steps(self.model, self.trainer.objective, self.train)
        try_largest_batch(self.train, self.trainer.parts, steps, self.trainer.original_indices)

    @property
    def updates(self) -> int:
        """How many updates were made, all epochs together."""
        return int(sum(self.history.measures.get("steps", []))) + self.trainer.epoch_totals.updates

    def _end_epoch(self, state: FitState, measures: dict[str, float]) -> None:
        """Measure what an epoch has come to, and see whether it was the last."""
        state.measures = measures
        if self.validation_data is not None:
            state.validation, found = self.measures(self.model, self.validation_data, self.trainer.group)
            measures |= found
            self._call("on_validation", state)
        self.trainer.end_epoch(measures)
        self.history.append(measures)
        stops = [plain(answer) is True for answer in self._call("on_epoch_end", state)]  # other values do nothing
        if self.trainer.group.any(any(stops)) and self.history.stopped_by == "epochs":
            self.history.stopped_by = "callback"
        self.epoch += 1

    def identity(self) -> dict[str, Any]:
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
            "schedule": self._identify_schedule(),
            "scheduler": scheduler and [type(scheduler).__name__, trainer.interval, _plain(scheduler.state_dict())],
            "optimizer": [type(trainer.optimizer).__name__, groups],
            "clip_grad_norm": trainer.clip_grad_norm,
            "class_weight": None if weights is None else weights.tolist(),
            "sample_weight": None if own is None else hashlib.sha256(own.double().cpu().numpy().tobytes()).hexdigest(),
            "label_smoothing": trainer.objective.label_smoothing,
            "loss": trainer.objective.loss_name,
            "accumulate": trainer.accumulate,
            "early_stopping": self.config.early_stopping and asdict(self.config.early_stopping),
            "callbacks": [type(callback).__name__ for callback in stateful(self.callbacks)],
        }

    def _identify_schedule(self) -> list[Any] | None:
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
            "callbacks": [callback.state_dict() for callback in stateful(self.callbacks)],
            "rng": self.draws.state(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.epoch = state["epoch"]
        self.history = History(**state["history"])
        self.trainer.load_state(state["trainer"])
        for callback, own in zip(stateful(self.callbacks), state["callbacks"], strict=True):
            callback.load_state_dict(own)
        self.draws.load_state(state["rng"])


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return those values that JSON can hold."""
    return {
        name: value for name, value in values.items() if value is None or isinstance(value, bool | int | float | str)
    }
