"""History: what training measured, epoch by epoch; plain data that is JSON both ways."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from typing_extensions import Self

from seqclf.errors import InvalidArgumentError, InvalidDataError, MissingDependencyError, did_you_mean

__all__ = ["History"]


@dataclass(repr=False)
class History:
    """The course of a training run: for each measure, one value an epoch.

    The measures are `loss` (mean NLL in nats over the epoch, while the weights moved and dropout was on), `accuracy`,
    `val_loss` and `val_accuracy` (after the epoch, in eval mode; with validation data only), `learning_rate` (of the
    first parameter group, in the last update of the epoch), `seconds` (training only), `steps` (updates), and
    `padding_waste` (padded steps run for each real one: 1.0 is none).

    Attributes:
        measures: The lists by name; `history[name]` reads them.
        best_epoch: With early stopping, the index of the best epoch in every list, whose weights the model has now
            unless the caller said otherwise; else None.
        stopped_by: `"epochs"` when all ran, `"early_stopping"`, `"callback"`, or `"interrupted"` by Ctrl-C, when the
            run is unfinished and its checkpoint serves to go on.
        config: The options of the run by name; `"chosen"` are the names of those that were left to the rules.

    Example:
        >>> history = History()
        >>> history.append({"loss": 2.0, "accuracy": 0.25})
        >>> history.append({"loss": 1.0, "accuracy": 0.5})
        >>> history["loss"], len(history["loss"]), history.epochs
        ([2.0, 1.0], 2, 2)
        >>> History.from_json(history.to_json()) == history
        True
    """

    measures: dict[str, list[float]] = field(default_factory=dict)
    best_epoch: int | None = None
    stopped_by: str = "epochs"
    config: dict[str, Any] = field(default_factory=dict, compare=False)

    def append(self, values: Mapping[str, float]) -> None:
        """Add the values of one epoch; every epoch has the measures of the first.

        Raises:
            InvalidArgumentError: The measures are not those of the epochs before.
        """
        if self.measures and values.keys() != self.measures.keys():
            raise InvalidArgumentError(
                f"every epoch must have the measures {sorted(self.measures)}; got {sorted(values)}. Give each a value."
            )
        for name, value in values.items():
            self.measures.setdefault(name, []).append(value)

    @property
    def epochs(self) -> int:
        """The number of epochs."""
        return len(next(iter(self.measures.values()), []))

    def to_json(self) -> str:
        """Return the history as JSON text."""
        return json.dumps(vars(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Make the history that `to_json` wrote.

        Raises:
            InvalidDataError: The text is not such JSON.
        """
        try:
            content: dict[str, Any] = json.loads(text)
            measures = {str(name): [float(value) for value in values] for name, values in content["measures"].items()}
            history = cls(measures, content["best_epoch"], content["stopped_by"], dict(content.get("config", {})))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidDataError(f"history must be JSON that History.to_json wrote; got {error!r}.") from None
        return history

    def to_frame(self) -> Any:
        """Return the measures as a pandas `DataFrame`: a row for each epoch, from 1, and a column for each measure.

        Raises:
            MissingDependencyError: pandas is not installed.
        """
        try:
            import pandas as pd  # noqa: PLC0415  # optional, so imported where it is needed
        except ImportError as error:
            raise MissingDependencyError(
                f"History.to_frame must have pandas; got {error}. Install it with: pip install pandas"
            ) from error
        return pd.DataFrame(self.measures, index=pd.RangeIndex(1, self.epochs + 1, name="epoch"))

    def __getitem__(self, name: str) -> list[float]:
        if name not in self.measures:
            known = ", ".join(map(repr, self.measures)) or "none"
            hint = " Pass validation_data to fit." if name.startswith("val_") else did_you_mean(name, self.measures)
            raise InvalidArgumentError(f"measure must be one of {known}; got {name!r}.{hint}")
        return self.measures[name]

    def __contains__(self, name: object) -> bool:
        return name in self.measures

    def __iter__(self) -> Iterator[str]:
        return iter(self.measures)

    def keys(self) -> list[str]:
        """Return the names of the measures, so that `dict(history)` works."""
        return list(self.measures)

    def __repr__(self) -> str:
        if not self.epochs:
            return "History(0 epochs)"
        names = ("loss", "accuracy", "val_loss", "val_accuracy")
        last = ", ".join(f"{name}={self[name][-1]:.4f}" for name in names if name in self)
        return f"History({self.epochs} epochs, last: {last})"
