"""What a run says on stderr while it goes on: a line for each epoch, and where someone watches, a bar."""

import time
from typing import Any

from seqclf.progress import progress_bar, say, somebody_watches
from seqclf.training.hooks import Callback, FitState

_SILENCE = 60.0  # seconds after which a log gets a line within an epoch


class Log(Callback):
    """A line for each epoch, which stays; between them a bar that moves, or in a log, now and then a line."""

    def __init__(self) -> None:
        self.bar: Any = None
        self.latest = time.monotonic()

    def on_fit_start(self, state: FitState) -> None:
        """Begin the bar, where someone looks at it."""
        if somebody_watches():
            self.bar = progress_bar(True, "batch", leave=False, initial=state.update)

    def on_epoch_start(self, state: FitState) -> None:
        """Say on the bar which epoch it is."""
        if self.bar is not None:
            self.bar.total = state.total_updates  # with max_tokens no two epochs need have as many
            self.bar.set_description(f"epoch {state.epoch + 1}/{state.epochs}")

    def on_update(self, state: FitState) -> None:
        """Move the bar; or break a long silence."""
        if self.bar is not None:
            self.bar.update()
        elif time.monotonic() - self.latest > _SILENCE:
            self._say(f"{_place(state)}: {state.update:,} of {state.total_updates:,} updates")

    def on_epoch_end(self, state: FitState) -> None:
        """Say what an epoch came to."""
        told = [f"{name} {value:.4f}" for name, value in state.measures.items() if name not in _UNTOLD]
        self._say(f"{_place(state)}: {', '.join(told)} ({state.measures['seconds']:.1f} s)")

    def on_fit_end(self, state: FitState) -> None:
        """Take the bar away."""
        if self.bar is not None:
            self.bar.close()

    def _say(self, line: str) -> None:
        self.latest = time.monotonic()
        if self.bar is not None:
            self.bar.clear()
        say(line)


_UNTOLD = frozenset({"learning_rate", "seconds", "steps", "padding_waste"})


def _place(state: FitState) -> str:
    return f"epoch {state.epoch + 1:>{len(str(state.epochs))}}/{state.epochs}"
