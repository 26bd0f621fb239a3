"""The options of one training run, with those filled in that are left to the rules of `seqclf.defaults`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, get_args

from seqclf import defaults
from seqclf.checks import check_choice, check_int, check_positive, check_probability
from seqclf.choices import ScheduleName
from seqclf.data.sampling import BucketBatchSampler
from seqclf.defaults import is_auto
from seqclf.errors import InvalidArgumentError
from seqclf.training.stopping import EarlyStopping


@dataclass(frozen=True)
class TrainingConfig:
    """What `fit` goes by, as its arguments of the same names say; `chosen` are those that the rules have filled in.

    `updates` is how many updates the run makes, unless it ends early.
    """

    epochs: int
    learning_rate: float | None
    weight_decay: float | None
    schedule: ScheduleName | None
    warmup: float | None
    clip_grad_norm: float | None
    label_smoothing: float
    early_stopping: EarlyStopping | None
    updates: int
    chosen: tuple[str, ...]

    @classmethod
    def of(
        cls, given: Mapping[str, Any], sampler: BucketBatchSampler, *, initial_epoch: int, validates: bool
    ) -> "TrainingConfig":
        """Return the options of a run.

        Args:
            given: The arguments of `fit` by name, `optimizer`, `scheduler` and `loss` among them.
            sampler: The batches.
            initial_epoch: How many epochs are done already.
            validates: Whether there are validation data.

        Raises:
            InvalidArgumentError: An option is out of range or at odds with another.
        """
        options = {name: given[name] for name in (one.name for one in fields(cls)) if name in given}
        if given["optimizer"] is None:
            options |= {name: "auto" for name in ("learning_rate", "weight_decay") if options[name] is None}
        chosen = tuple(name for name, value in options.items() if is_auto(value))
        has_own = given["optimizer"] is not None
        rules = defaults.plain_training_options() if has_own else defaults.training_options(len(sampler))
        rules |= {"schedule": None} if given["scheduler"] is not None else {}
        options |= {name: value for name, value in rules.items() if name in chosen}
        epochs = check_int("epochs", options["epochs"], minimum=1 + initial_epoch)
        if "early_stopping" in chosen:
            wanted = validates and not has_own
            options["early_stopping"] = EarlyStopping(patience=defaults.patience(epochs)) if wanted else None
        if given["loss"] is not None:
            if options["label_smoothing"] and "label_smoothing" not in chosen:
                raise InvalidArgumentError(
                    f"label_smoothing must be 0 beside a loss, which is given the labels as they are; got "
                    f"{options['label_smoothing']!r}. Smooth them in the loss."
                )
            options["label_smoothing"] = 0.0
        updates = _count_updates(sampler, initial_epoch, epochs)
        if "schedule" in chosen and updates < defaults.SHORTEST_SCHEDULE:
            options["schedule"] = None
        _check(options, has_scheduler=given["scheduler"] is not None)
        return cls(**options, updates=updates, chosen=chosen)

    def to_dict(self) -> dict[str, Any]:
        """Return the options as values ready for JSON."""
        return asdict(self) | {"chosen": list(self.chosen)}

    def __str__(self) -> str:
        """Return what was chosen, in a line."""
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in self.chosen)


def _count_updates(sampler: BucketBatchSampler, initial_epoch: int, epochs: int) -> int:
    if sampler.max_tokens is None:
        return (epochs - initial_epoch) * len(sampler)
    counts = []
    for epoch in range(initial_epoch, epochs):  # no two need have as many
        sampler.set_epoch(epoch)
        counts.append(len(sampler))
    return sum(counts)


def _check(options: Mapping[str, Any], *, has_scheduler: bool) -> None:
    """Raise where an option has no meaning, alone or beside another."""
    if options["schedule"] is not None:
        check_choice("schedule", options["schedule"], get_args(ScheduleName))
        if has_scheduler:
            raise InvalidArgumentError(
                f"schedule must be None beside a scheduler, which does the same; got {options['schedule']!r}."
            )
    if options["warmup"] is not None:
        check_probability("warmup", options["warmup"])
        if options["schedule"] is None:
            raise InvalidArgumentError(
                f"warmup must come with a schedule; got {options['warmup']!r} and schedule=None. "
                "Pass, for instance, schedule='linear'."
            )
    if options["clip_grad_norm"] is not None:
        check_positive("clip_grad_norm", options["clip_grad_norm"])
    check_probability("label_smoothing", options["label_smoothing"])
