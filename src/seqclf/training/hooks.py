"""Callbacks: what is called at the moments of a training run, and what it is given."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch.optim import Optimizer

from seqclf.errors import InvalidArgumentError
from seqclf.models.classifier import RNNClassifier
from seqclf.training.evaluation import Evaluation
from seqclf.training.history import History

__all__ = ["Callback", "FitState"]


@dataclass(eq=False)
class FitState:
    """What a callback of `fit` is given: a training run as it is now. It is one object for all moments of a run.

    Attributes:
        epoch: The index of the epoch, from 0.
        model: The model. Callbacks may look and copy, and should not change it.
        optimizer: The optimiser.
        history: The measures of the epochs that have ended.
        update: How many updates were made, all epochs together.
        total_updates: How many there will have been at the end, as far as is known now.
        epochs: How many epochs there will be at most.
        measures: What this epoch has come to; at its validation, measures may be added.
        validation: What the validation data came to in this epoch; None before, and without such data.
        error: What ended the run, where that was an error.

    Example:
        >>> from seqclf import RNNClassifier, SequenceDataset, fit
        >>> from seqclf.callbacks import FitState
        >>> train = SequenceDataset.from_pairs([("aab", "a"), ("bba", "b")])
        >>> def stop_soon(state: FitState) -> bool:
        ...     return state.epoch == 1
        >>> history = fit(RNNClassifier.for_dataset(train), train, callbacks=[stop_soon], progress=False)
        >>> history.epochs, history.stopped_by
        (2, 'callback')
    """

    epoch: int
    model: RNNClassifier = field(repr=False)
    optimizer: Optimizer = field(repr=False)
    history: History
    update: int = 0
    total_updates: int = 0
    epochs: int = 0
    measures: dict[str, float] = field(default_factory=dict)
    validation: Evaluation | None = None
    error: BaseException | None = None


class Callback:
    """What `fit` calls at the moments of a run: subclasses define those methods that they need.

    A plain callable in `callbacks` is called as `on_epoch_end` would be. Of several processes that train together,
    each calls its own.

    Attributes:
        monitor: The measure that it goes by, if any; `fit` refuses one that no epoch will have.

    Example:
        >>> from seqclf import RNNClassifier, SequenceDataset, fit
        >>> from seqclf.callbacks import Callback
        >>> class CountUpdates(Callback):
        ...     count = 0
        ...     def on_update(self, state):
        ...         self.count += 1
        ...     def state_dict(self):
        ...         return {"count": self.count}
        ...     def load_state_dict(self, state):
        ...         self.count = state["count"]
        >>> train = SequenceDataset.from_pairs([("aab", "a"), ("bba", "b")] * 8)
        >>> counter = CountUpdates()
        >>> _ = fit(RNNClassifier.for_dataset(train), train, epochs=3, batch_size=4, callbacks=counter, progress=False)
        >>> counter.count
        12
    """

    monitor: str | None = None

    def on_fit_start(self, state: FitState) -> None:
        """Called once before the first update; of a run that goes on, as it was left."""

    def on_epoch_start(self, state: FitState) -> None:
        """Called before the updates of an epoch, or what is left of them."""

    def on_update(self, state: FitState) -> None:
        """Called after each update of the weights."""

    def on_validation(self, state: FitState) -> None:
        """Called when an epoch was measured; what is put into `state.measures` stands in the history."""

    def on_epoch_end(self, state: FitState) -> bool | None:
        """Called when an epoch stands in the history; True ends the training."""

    def on_fit_end(self, state: FitState) -> None:
        """Called when training is over, also by an error."""

    def wants_state(self, updates: int) -> bool:
        """Whether `on_state` is to be called after so many updates of an epoch, beside its end."""
        return False

    def on_state(self, state: FitState, snapshot: dict[str, Any]) -> None:
        """Called at the end of each epoch, and when asked for, with all that the run would go on from."""

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` goes on from, for checkpoints: numbers, strings, tensors, lists and dicts."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""


class _AtEpochEnd(Callback):
    """A plain callable."""

    def __init__(self, function: Callable[[FitState], Any]) -> None:
        self.function = function

    def on_epoch_end(self, state: FitState) -> bool | None:
        answer: bool | None = self.function(state)
        return answer


def as_callbacks(callbacks: Any) -> list[Callback]:
    """Return what was given as callbacks, which may be one alone, as a list of them.

    Raises:
        InvalidArgumentError: One is neither a `Callback` nor a callable.
    """
    alone = isinstance(callbacks, Callback) or callable(callbacks)
    found = [callbacks] if alone or not isinstance(callbacks, Iterable) else list(callbacks)
    for callback in found:
        if not isinstance(callback, Callback) and (isinstance(callback, type) or not callable(callback)):
            got = callback.__name__ + " itself" if isinstance(callback, type) else type(callback).__name__
            own = {"EarlyStopping": "early_stopping", "Checkpoint": "checkpoint"}.get(got)
            hint = f" Pass it as {own}=." if own else ""
            raise InvalidArgumentError(
                f"callbacks must be objects of seqclf.callbacks.Callback, or callables that take a FitState; got {got}."
                f"{hint}"
            )
    return [callback if isinstance(callback, Callback) else _AtEpochEnd(callback) for callback in found]


def defines(callback: Callback, method: str) -> bool:
    """Whether a callback has a method of its own, in place of the one that does nothing."""
    return getattr(type(callback), method) is not getattr(Callback, method)


def stateful(callbacks: Sequence[Callback]) -> list[Callback]:
    """Return those that have a state to be kept."""
    return [callback for callback in callbacks if defines(callback, "state_dict")]
