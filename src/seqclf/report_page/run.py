"""The sections on how the model was made: learning curves, options, versions."""

import platform
import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import torch

from seqclf._version import __version__
from seqclf.engine.library import describe_engine
from seqclf.report_page.charts import Line, line_chart
from seqclf.report_page.markup import Markup, count, cut, in_percent, join, section, table, tag
from seqclf.report_page.material import Material
from seqclf.training.history import History

# Of how a run went, not of how good the model was.
_TECHNICAL = ("learning_rate", "seconds", "steps", "padding_waste")
_TITLES = {"loss": "Loss (mean negative log-likelihood, nats)", "accuracy": "Accuracy"}
_MOST_ROWS = 100  # epochs of the table
_LONGEST_VALUE = 300  # characters of an option
_STOPS = {
    "epochs": "all epochs ran",
    "early_stopping": "early stopping ended it",
    "callback": "a callback ended it",
    "interrupted": "it was interrupted",
}


def training_section(history: History | None) -> Markup:
    """Return the learning curves."""
    heading = "Training"
    if history is None or not history.epochs:
        why = "no history was given" if history is None else "the history has no epochs"
        return section("training", heading, tag("p", f"Left out: {why}."))
    names = [name for name in history if not name.startswith("val_")]
    names += [name for name in history if name.startswith("val_") and name.removeprefix("val_") not in history]
    names = [name for name in names if name not in _TECHNICAL] + ["learning_rate"] * ("learning_rate" in history)
    charts = [_curves(history, number, name) for number, name in enumerate(names)]
    return section(
        "training", heading, tag("p", _told(history)), tag("div", *charts, class_="grid-of"), _epochs(history)
    )


def _told(history: History) -> str:
    told = f"{count(history.epochs, 'epoch')}; {_STOPS.get(history.stopped_by, history.stopped_by)}."
    if "seconds" in history:
        told += f" Training took {_duration(sum(history['seconds']))}."
    if history.best_epoch is not None:
        told += f" Epoch {history.best_epoch + 1} was the best."
    return told


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, hours = seconds / 60, seconds / 3600
    return f"{minutes:.1f} min" if hours < 1 else f"{hours:.1f} h"


def _curves(history: History, number: int, name: str) -> Markup:
    x = np.arange(1.0, history.epochs + 1)
    known = (
        [("training", name), ("validation", f"val_{name}")]
        if name in _TITLES
        else [(name, name), (f"val_{name}", f"val_{name}")]
    )
    lines = [Line(title, x, np.asarray(history[key], float)) for title, key in known if key in history]
    mark = None if history.best_epoch is None else (history.best_epoch + 1.0, "best epoch")
    title = _TITLES.get(name, name.replace("_", " ").capitalize())
    written = in_percent if name == "accuracy" else "{:g}".format
    lowest = 0.0 if name in {"loss", "learning_rate"} else None
    return line_chart(f"curve{number}", title, lines, x_label="epoch", written=written, mark=mark, lowest=lowest)


def _epochs(history: History) -> Markup:
    """Return the measures of each epoch, or of some of very many, behind a line that opens them."""
    places = np.unique(np.linspace(0, history.epochs - 1, _MOST_ROWS).round().astype(int)).tolist()
    rows = [(str(place + 1), *(f"{history[name][place]:.5g}" for name in history)) for place in places]
    few = "" if len(places) == history.epochs else f" ({len(places)} of {history.epochs:,})"
    caption = f"Measures by epoch{few}"
    return tag("details", tag("summary", caption), table(caption, ("epoch", *history), rows))


def options_section(model_config: Mapping[str, Any], history: History | None, parameters: int) -> Markup:
    """Return the options of the model and of its training, as they were in the end."""
    rows = [(name, _written(value)) for name, value in model_config.items()]
    content = [table(f"The model, which has {parameters:,} trainable weights", ("option", "value"), rows, kind="words")]
    if history is None or not history.config:
        why = "no history was given" if history is None else "the history does not have them"
        return section("options", "Options", *content, tag("p", f"The options of training are left out: {why}."))
    chosen = history.config.get("chosen") or ()
    options = [
        (name, _written(value), "by seqclf" if name in chosen else "")
        for name, value in history.config.items()
        if name != "chosen"
    ]
    content.append(table("Training", ("option", "value", "chosen"), options, kind="words"))
    return section("options", "Options", tag("div", *content, class_="grid-of"))


def _written(value: Any) -> str:
    """Return an option as text that is the same in every process."""
    name = getattr(value, "__qualname__", None)
    text = str(name) if name is not None else repr(value)
    return cut(re.sub(r" at 0x[0-9a-f]+", "", text), _LONGEST_VALUE)


def versions_section() -> Markup:
    """Return what ran here."""
    rows = [
        ("seqclf", __version__),
        ("engine", describe_engine()),
        ("PyTorch", torch.__version__),
        ("NumPy", np.__version__),
        ("scikit-learn", _version_of("scikit-learn")),
        ("Python", platform.python_version()),
        ("system", f"{platform.system()} {platform.machine()}"),
    ]
    return section("versions", "Versions", table("What made this report", ("", "version"), rows, kind="words"))


def _version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def describe_model(material: Material) -> Markup:
    """Return the model and its task in a line."""
    model, test = material.model, material.test
    cell = model.cell if isinstance(model.cell, str) else getattr(model.cell, "__name__", type(model.cell).__name__)
    parts = [
        f"{'bidirectional ' if model.bidirectional else ''}{cell.upper() if len(cell) < 5 else cell}, "
        f"{count(model.num_layers, 'layer')} of {model.hidden_size}",
        f"{model.num_parameters:,} weights",
        *([f"{len(material.models)} such models, averaged"] if len(material.models) > 1 else []),
        count(len(test.classes), "class", "classes"),
        f"{len(material.train):,} training and {len(test):,} test sequences",
    ]
    return join(parts, " · ")
