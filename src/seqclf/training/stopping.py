"""EarlyStopping: when to stop because nothing gets better any more; and what "better" means for a measure."""

import copy
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from seqclf.checks import check_choice, check_int
from seqclf.errors import InvalidArgumentError, did_you_mean
from seqclf.training.hooks import Callback, FitState

__all__ = ["EarlyStopping"]

Mode = Literal["auto", "min", "max"]


@dataclass(frozen=True)
class EarlyStopping:
    """Stop when a measure has not improved for some epochs, and go back to the best weights.

    Attributes:
        patience: How many epochs in a row without an improvement end the training.
        monitor: A measure of the history: `"val_loss"`, `"val_accuracy"`, `"loss"`, `"accuracy"`, or one of the
            `metrics` of `fit`, such as `"val_macro_f1"`.
        min_delta: By how much, at least, the measure must change to count as improved.
        restore_best: Whether the model ends with the weights of its best epoch.
        mode: Whether less is better, `"min"`, or more, `"max"`; `"auto"` is less for losses and errors.

    Raises:
        InvalidArgumentError: A value is out of range.

    Example:
        >>> EarlyStopping(patience=3)
        EarlyStopping(patience=3, monitor='val_loss', min_delta=0.0, restore_best=True, mode='auto')
    """

    patience: int = 5
    monitor: str = "val_loss"
    min_delta: float = 0.0
    restore_best: bool = True
    mode: Mode = "auto"

    def __post_init__(self) -> None:
        check_int("patience", self.patience)
        check_choice("mode", self.mode, ("auto", "min", "max"))
        if not isinstance(self.monitor, str):
            raise InvalidArgumentError(f"monitor must be the name of a measure; got {self.monitor!r:.80}.")
        if not (isinstance(self.min_delta, int | float) and self.min_delta >= 0):
            raise InvalidArgumentError(f"min_delta must be a number of at least 0; got {self.min_delta!r}.")


class Best:
    """The best value of a measure up to now, and the epoch that it came in."""

    def __init__(self, monitor: str, mode: Mode = "auto", min_delta: float = 0.0) -> None:
        self.monitor, self.min_delta = monitor, min_delta
        less_is_better = "loss" in monitor or "error" in monitor if mode == "auto" else mode == "min"
        self.sign = 1.0 if less_is_better else -1.0
        self.epoch, self.value = -1, math.inf  # the value times the sign: less is better

    def improves(self, state: FitState) -> bool:
        """Take note of an epoch, and tell whether it is the best."""
        value = self.sign * state.measures[self.monitor]
        if self.epoch >= 0 and not value < self.value - self.min_delta:
            return False
        self.epoch, self.value = state.epoch, value
        return True

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` goes on from."""
        return {"epoch": self.epoch, "value": self.value}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self.epoch, self.value = state["epoch"], state["value"]


def check_monitor(monitor: str, known: Iterable[str], *, may_be_added: bool) -> None:
    """Raise where no epoch will have a measure.

    Args:
        monitor: Its name.
        known: The measures that epochs will have.
        may_be_added: Whether callbacks may add others.
    """
    known = tuple(known)
    if monitor in known or may_be_added:
        return
    hint = ""
    if monitor.startswith("val_") and not any(name.startswith("val_") for name in known):
        hint = " Pass validation_data."
    raise InvalidArgumentError(
        f"monitor must be a measure that the run has, {', '.join(known)}; got {monitor!r}.{hint}"
        f"{did_you_mean(monitor, known)} Others come with metrics=, such as metrics=['macro_f1']."
    )


class StopEarly(Callback):
    """Does in a run what an `EarlyStopping` says."""

    def __init__(self, rule: EarlyStopping) -> None:
        self.rule = rule
        self.best = Best(rule.monitor, rule.mode, rule.min_delta)
        self.weights: dict[str, Any] | None = None

    def on_epoch_end(self, state: FitState) -> bool:
        """Keep the weights of the best epoch; stop where it was too long ago."""
        if self.best.improves(state) and self.rule.restore_best:
            self.weights = copy.deepcopy(state.model.state_dict())
        if state.epoch - self.best.epoch < self.rule.patience:
            return False
        state.history.stopped_by = "early_stopping"
        return True

    def on_fit_end(self, state: FitState) -> None:
        """Give the model its best weights, and say which epoch they are of."""
        if state.error is not None or self.best.epoch < 0:
            return
        state.history.best_epoch = self.best.epoch
        if self.weights is not None:
            state.model.load_state_dict(self.weights)

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` goes on from."""
        return {"best": self.best.state_dict(), "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self.best.load_state_dict(state["best"])
        self.weights = state["weights"]
