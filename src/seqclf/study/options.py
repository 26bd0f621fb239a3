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

from seqclf.checks import check_choice
from seqclf.defaults import WEIGHT_DECAY, is_auto
from seqclf.errors import InvalidArgumentError, did_you_mean
from seqclf.models.options import ModelOptions
from seqclf.training.fit import fit

Options = dict[str, Any]
Grid = Mapping[str, Iterable[Any]] | Sequence[Mapping[str, Iterable[Any]]]

_OPTIMIZERS = ("auto", "adamw", "adam", "sgd")

# A study gives the seed apart, and the dataset says whether its channels came first.
MODEL_OPTIONS = tuple(name for name in ModelOptions.__annotations__ if name not in {"seed", "channels_first"})
FIT_OPTIONS = (
    "epochs",
    "batch_size",
    "schedule",
    "warmup",
    "clip_grad_norm",
    "class_weight",
    "label_smoothing",
    "early_stopping",
)


def _defaults() -> Options:
    """Return every option with its default; those of `fit` are read from its signature."""
    training = inspect.signature(fit).parameters
    return {
        **dict.fromkeys(MODEL_OPTIONS, "auto"),
        **{name: training[name].default for name in FIT_OPTIONS},
        "optimizer": "auto",
        "learning_rate": "auto",
        "momentum": 0.0,
        "weight_decay": "auto",
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


def make_optimizer(options: Options) -> Callable[[Iterable[nn.Parameter]], Optimizer] | None:
    """Return what makes the optimiser from parameters; None leaves it to `fit`, with all that it then chooses."""
    name = check_choice("optimizer", options["optimizer"], _OPTIMIZERS)
    if name == "auto":
        if options["momentum"]:
            raise InvalidArgumentError(
                f"momentum must be 0 for AdamW, which has its own; got {options['momentum']!r}. Use optimizer='sgd'."
            )
        return None
    if is_auto(options["learning_rate"]):
        raise InvalidArgumentError(f"learning_rate must come with optimizer={name!r}; got 'auto'. Pass a number.")
    decay = WEIGHT_DECAY if is_auto(options["weight_decay"]) else options["weight_decay"]
    options = options | {"weight_decay": decay}
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
