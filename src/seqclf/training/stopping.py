"""EarlyStopping: when to stop because nothing gets better any more."""

import copy
import math
from dataclasses import dataclass
from typing import Any

from torch import nn

from seqclf.checks import check_choice, check_int
from seqclf.errors import InvalidArgumentError

__all__ = ["EarlyStopping"]

_MEASURES = ("val_loss", "val_accuracy", "loss", "accuracy")


@dataclass(frozen=True)
class EarlyStopping:
    """Stop when a measure has not improved for some epochs, and go back to the best weights.

    Attributes:
        patience: How many epochs in a row without an improvement end the training.
        monitor: `"val_loss"`, `"val_accuracy"`, `"loss"` or `"accuracy"`; losses improve downwards.
        min_delta: By how much, at least, the measure must change to count as improved.
        restore_best: Whether the model ends with the weights of its best epoch.

    Raises:
        InvalidArgumentError: A value is out of range.

    Example:
        >>> EarlyStopping(patience=3)
        EarlyStopping(patience=3, monitor='val_loss', min_delta=0.0, restore_best=True)
    """

    patience: int = 5
    monitor: str = "val_loss"
    min_delta: float = 0.0
    restore_best: bool = True

    def __post_init__(self) -> None:
        check_int("patience", self.patience)
        check_choice("monitor", self.monitor, _MEASURES)
        if not (isinstance(self.min_delta, int | float) and self.min_delta >= 0):
            raise InvalidArgumentError(f"min_delta must be a number of at least 0; got {self.min_delta!r}.")


class BestSoFar:
    """The best epoch up to now, as an `EarlyStopping` rule sees it."""

    def __init__(self, rule: EarlyStopping) -> None:
        self.rule = rule
        self.epoch = -1
        self.value = math.inf
        self.weights: dict[str, Any] | None = None

    def update(self, epoch: int, value: float, model: nn.Module) -> bool:
        """Take note of an epoch, and return whether training should stop."""
        value = -value if "accuracy" in self.rule.monitor else value
        if self.epoch < 0 or value < self.value - self.rule.min_delta:
            self.epoch, self.value = epoch, value
            if self.rule.restore_best:
                self.weights = copy.deepcopy(model.state_dict())
        return epoch - self.epoch >= self.rule.patience

    def restore(self, model: nn.Module) -> None:
        """Give `model` the weights of the best epoch, if they were kept."""
        if self.weights is not None:
            model.load_state_dict(self.weights)

    def state(self) -> dict[str, Any]:
        """Return what `load_state` goes on from."""
        return {"epoch": self.epoch, "value": self.value, "weights": self.weights}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.epoch, self.value, self.weights = state["epoch"], state["value"], state["weights"]
