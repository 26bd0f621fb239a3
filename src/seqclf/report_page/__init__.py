"""One page to look at: data, training, figures, calibration, baseline, mistakes and options of a model."""

import datetime
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from seqclf._version import __version__
from seqclf.checks import check_int
from seqclf.data.baseline import can_fit
from seqclf.data.dataset import SequenceDataset
from seqclf.errors import InvalidArgumentError
from seqclf.files import PathLike, check_writable, write_atomically
from seqclf.inference.average import models_of
from seqclf.inference.predict import validate_for_each
from seqclf.models.classifier import RNNClassifier
from seqclf.report_page.data import data_section
from seqclf.report_page.examples import mistakes_section
from seqclf.report_page.markup import tag
from seqclf.report_page.material import Material
from seqclf.report_page.page import build_page
from seqclf.report_page.results import (
    baseline_section,
    calibration_section,
    classes_section,
    confusion_section,
    headline,
)
from seqclf.report_page.run import describe_model, options_section, training_section, versions_section
from seqclf.training.baseline import linear_baseline
from seqclf.training.evaluate import evaluate
from seqclf.training.evaluation import Evaluation
from seqclf.training.history import History

__all__ = ["write_report"]

_NO_SKLEARN = 'scikit-learn is not installed. Install it with: pip install "seqclf[sklearn]".'


def write_report(
    path: PathLike,
    model: RNNClassifier | Sequence[RNNClassifier],
    train: SequenceDataset,
    test: SequenceDataset,
    history: History | None = None,
    *,
    title: str = "Classification report",
    mistakes: int = 12,
    linear: bool | Evaluation = True,
    result: Evaluation | None = None,
    batch_size: int = 256,
) -> Evaluation:
    """Measure a model and write all that is to be known of it into one HTML page.

    The page has the accuracy with its interval beside the majority and a linear baseline, what limits these figures,
    the data, the learning curves, the figures of each class with intervals of their recall, the confusions, the
    calibration, the mistakes of which the model was surest with what each step contributed, the options and the
    versions. It is a single file that loads nothing, runs no script, and is the same for the same model and data but
    for its date.

    Args:
        path: The file to write; its folder must exist. It is written whole or not at all.
        model: The trained model; or several, whose probabilities are averaged. The options are then those of the first,
            and what each step contributed to a mistake is left out.
        train: What it was trained on.
        test: What to measure it on.
        history: What `fit` returned; None leaves the curves and the options of training out.
        title: The heading of the page.
        mistakes: How many mistakes to show.
        linear: Whether to train the linear baseline, which takes a while on large data; or what `linear_baseline`
            returned for `train` and `test`.
        result: What `evaluate` returned for the model and `test`, where it is known already.
        batch_size: How many sequences to run at once. It changes the speed alone.

    Returns:
        What the model came to on `test`.

    Raises:
        InvalidArgumentError: An argument is none of what it should be.
        InvalidDataError: A dataset does not fit the model.
        FileFormatError: The file cannot be written, which is known before anything is measured.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from seqclf import RNNClassifier, SequenceDataset, fit, write_report
        >>> train = SequenceDataset.from_pairs([("aab", "a"), ("aba", "a"), ("bba", "b"), ("bab", "b")] * 8)
        >>> model = RNNClassifier.for_dataset(train, hidden_size=8, seed=0)
        >>> history = fit(model, train, epochs=2, progress=False)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     result = write_report(f"{folder}/report.html", model, train, train, history)
        ...     page = Path(f"{folder}/report.html").read_text(encoding="utf-8")
        >>> "Figures of each class" in page, result.n
        (True, 32)
    """
    check_writable(path)
    models = models_of(model)
    known_train, known_test = validate_for_each("train", models, train), validate_for_each("test", models, test)
    _check(history, title, mistakes)
    own = linear if isinstance(linear, Evaluation) else None
    _check_measured(result, "result", "evaluate returned for the model and test", known_test)
    _check_measured(own, "linear", "linear_baseline returned for train and test", known_test)
    why_not = "it was not asked for." if linear is False else "" if own is not None or can_fit() else _NO_SKLEARN
    if result is None:
        result = evaluate(models, known_test, batch_size=batch_size)
    baseline = own or (None if why_not else linear_baseline(known_train, known_test))
    if baseline is not None:
        baseline = replace(baseline, groups=result.groups)  # so that both are resampled alike
    skipped = len(test) - len(known_test)
    material = Material(models, known_train, known_test, result, baseline, why_not, history, skipped)
    write_atomically(path, _write(material, title, mistakes).encode())
    return result


def _check(history: Any, title: Any, mistakes: Any) -> None:
    """Raise where an argument is none of what it should be."""
    if history is not None and not isinstance(history, History):
        raise InvalidArgumentError(
            f"history must be what fit returned, or None; got {type(history).__name__}. Pass the History itself."
        )
    if not isinstance(title, str):
        raise InvalidArgumentError(f"title must be a string; got {type(title).__name__}.")
    check_int("mistakes", mistakes, minimum=0)


def _check_measured(result: Any, name: str, what: str, test: SequenceDataset) -> None:
    """Raise where a result that is known already is not of the very test data."""
    if result is None:
        return
    is_one = isinstance(result, Evaluation)
    if not is_one or result.classes != test.classes or not np.array_equal(result.labels, test.labels.numpy()):
        got = f"one of {result.n:,} others" if is_one else type(result).__name__
        raise InvalidArgumentError(f"{name} must be what {what}, of its {len(test):,} sequences; got {got}.")


def _write(material: Material, title: str, mistakes: int) -> str:
    """Return the page."""
    sections = [
        ("summary", "Summary", headline(material)),
        ("data", "Data", data_section(material)),
        ("training", "Training", training_section(material.history)),
        ("classes", "Classes", classes_section(material)),
        ("confusions", "Confusions", confusion_section(material)),
        ("calibration", "Calibration", calibration_section(material)),
        ("baseline", "Linear baseline", baseline_section(material)),
        ("mistakes", "Mistakes", mistakes_section(material, mistakes)),
        ("options", "Options", options_section(material.model.config, material.history, material.model.num_parameters)),
        ("versions", "Versions", versions_section()),
    ]
    today = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    date = tag("time", today, datetime=today)
    under = tag("p", describe_model(material), class_="soft")
    return build_page(title, under, sections, tag("p", f"Written by seqclf {__version__} on ", date, "."))
