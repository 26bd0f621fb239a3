"""The options of a run: all that decides a training run, as plain values with names, defaults and checks."""

import functools
import hashlib
import inspect
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from itertools import product
from types import FunctionType
from typing import Any, TypeGuard

import numpy as np
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR

from seqclf.checks import check_choice
from seqclf.errors import InvalidArgumentError, did_you_mean
from seqclf.models.classifier import RNNClassifier
from seqclf.models.options import ModelOptions
from seqclf.training.fit import DEFAULT_LEARNING_RATE, fit

Options = dict[str, Any]
Grid = Mapping[str, Iterable[Any]] | Sequence[Mapping[str, Iterable[Any]]]

_OPTIMIZERS = ("adamw", "adam", "sgd")
_SCHEDULES = ("constant", "cosine", "one_cycle")

# A study gives the seed apart, and the dataset says whether its channels came first.
MODEL_OPTIONS = tuple(name for name in ModelOptions.__annotations__ if name not in {"seed", "channels_first"})
FIT_OPTIONS = ("epochs", "batch_size", "clip_grad_norm", "class_weight", "label_smoothing", "early_stopping")


def _defaults() -> Options:
    """Return every option with its default; those of the model and of `fit` are read from their signatures."""
    model, training = (inspect.signature(function).parameters for function in (RNNClassifier.__init__, fit))
    return {
        **{name: model[name].default for name in MODEL_OPTIONS},
        **{name: training[name].default for name in FIT_OPTIONS},
        "optimizer": "adamw",
        "learning_rate": DEFAULT_LEARNING_RATE,
        "momentum": 0.0,
        "weight_decay": 0.01,
        "schedule": "constant",
        "calibrate": False,
        "priors": None,
        "seed": 0,
    }


DEFAULTS = _defaults()


@dataclass(frozen=True)
class Point:
    """A point of a grid.

    Attributes:
        options: The full options.
        description: What tells them from all others, as JSON text. It is written when the study starts, so that a
            source file that is edited meanwhile does not change what its runs are known by.
    """

    options: Options
    description: str


def expand(grid: Grid, base: Mapping[str, Any]) -> list[Point]:
    """Return every point of the grid, the last axis moving fastest.

    Raises:
        InvalidArgumentError: There is no such option, an axis is empty or no list, or two points are the same.
    """
    points: dict[str, Point] = {}
    for part in _check_grid(grid):
        _check_names([*part, *base])
        axes = [_check_axis(name, values) for name, values in part.items()]
        for values in product(*axes):
            options = DEFAULTS | dict(base) | dict(zip(part, values, strict=True))
            description = json.dumps(describe(options), sort_keys=True)
            if description in points:
                varied = {name: value for name, value in options.items() if value != DEFAULTS[name]}
                raise InvalidArgumentError(f"every run must differ from the others; got {varied} twice. Remove one.")
            points[description] = Point(options, description)
    if not points:
        raise InvalidArgumentError("grid must describe at least one run; got none. Pass, for instance, {'seed': [0]}.")
    return list(points.values())


def varying(points: Sequence[Options]) -> tuple[str, ...]:
    """Return the names of the options that are not the same in all points."""
    described = [describe(point) for point in points]
    return tuple(name for name in DEFAULTS if any(one[name] != described[0][name] for one in described))


def describe(value: Any) -> Any:
    """Return options as JSON values that are equal only where the options mean the same.

    A class or function is described by its name, its source text and its default arguments; what it calls in turn is
    not looked at.

    Raises:
        InvalidArgumentError: A value cannot be described.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, Mapping):
        return {str(name): describe(item) for name, item in value.items()}
    if isinstance(value, list | tuple | range):
        return [describe(item) for item in value]
    if isinstance(value, functools.partial):
        return {"partial": [describe(value.func), describe(value.args), describe(value.keywords)]}
    if is_dataclass(value) and not isinstance(value, type):
        return {type(value).__name__: describe(asdict(value))}
    if _stands_alone(value):
        try:
            source = hashlib.sha256(inspect.getsource(value).encode()).hexdigest()[:16]
        except (OSError, TypeError):
            pass
        else:
            defaults = describe([getattr(value, "__defaults__", None), getattr(value, "__kwdefaults__", None)])
            return {"callable": value.__qualname__, "source": source} | (
                {"defaults": defaults} if defaults != [None, None] else {}
            )
    raise InvalidArgumentError(
        "an option must be a plain value, or a class or function that stands at the top level of a file or notebook; "
        f"got {value!r:.100}. Bind arguments with functools.partial."
    )


def _stands_alone(value: Any) -> TypeGuard[FunctionType | type[Any]]:
    """Tell whether a value is a class or function whose source text says all about it: no method, no inner one."""
    if not isinstance(value, type) and not inspect.isfunction(value):
        return False
    return "<" not in value.__qualname__  # as in <lambda> and <locals>


def make_optimizer(options: Options) -> Callable[[Iterable[nn.Parameter]], Optimizer]:
    """Return what makes the optimiser from parameters."""
    name = check_choice("optimizer", options["optimizer"], _OPTIMIZERS)
    for number in ("learning_rate", "weight_decay", "momentum"):
        value = options[number]
        if not (isinstance(value, int | float) and 0 <= value < math.inf):
            raise InvalidArgumentError(f"{number} must be a finite number of at least 0; got {value!r}.")
    rates = {"lr": options["learning_rate"], "weight_decay": options["weight_decay"], "fused": True}
    if name == "sgd":
        return lambda parameters: SGD(parameters, momentum=options["momentum"], **rates)
    if options["momentum"]:
        raise InvalidArgumentError(
            f"momentum must be 0 for {name!r}, which has its own; got {options['momentum']!r}. Use optimizer='sgd'."
        )
    kind = AdamW if name == "adamw" else Adam
    return lambda parameters: kind(parameters, **rates)


def make_scheduler(options: Options, updates: int) -> Callable[[Optimizer], LRScheduler] | None:
    """Return what makes the scheduler, to be stepped at each of `updates` updates, from the optimiser."""
    schedule = check_choice("schedule", options["schedule"], _SCHEDULES)
    if schedule == "one_cycle":
        return lambda optimizer: OneCycleLR(optimizer, max_lr=options["learning_rate"], total_steps=updates)
    if schedule == "cosine":
        return lambda optimizer: CosineAnnealingLR(optimizer, T_max=updates)
    return None


def _check_grid(grid: Any) -> list[Mapping[str, Any]]:
    parts = [grid] if isinstance(grid, Mapping) else grid
    if not isinstance(parts, Sequence) or not all(isinstance(part, Mapping) for part in parts):
        raise InvalidArgumentError(
            f"grid must map options to lists of the values to try, or be a list of such mappings; got {grid!r:.100}. "
            "Pass, for instance, {'seed': [0, 1]}."
        )
    return list(parts)


def _check_names(names: Iterable[str]) -> None:
    for name in names:
        if name not in DEFAULTS:
            known = ", ".join(DEFAULTS)
            raise InvalidArgumentError(
                f"an option of a run must be one of {known}; got {name!r}.{did_you_mean(name, list(DEFAULTS))}"
            )


def _check_axis(name: str, values: Any) -> list[Any]:
    listed = [] if isinstance(values, str) or not isinstance(values, Iterable) else list(values)
    if not listed:
        raise InvalidArgumentError(
            f"grid[{name!r}] must be a list of the values to try; got {values!r}. Put a single value into a list."
        )
    return [value.item() if isinstance(value, np.generic) else value for value in listed]
