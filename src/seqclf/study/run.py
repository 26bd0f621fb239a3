"""One run of a study: train one model by its options, and measure it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from seqclf.checks import check_int
from seqclf.data.dataset import SequenceDataset
from seqclf.defaults import is_auto
from seqclf.errors import InvalidArgumentError, TrainingError
from seqclf.models.classifier import RNNClassifier
from seqclf.persistence import describe_model, load
from seqclf.study.options import FIT_OPTIONS, MODEL_OPTIONS, Options, make_optimizer
from seqclf.training.calibration import adjust_priors, calibrate
from seqclf.training.evaluate import evaluate
from seqclf.training.evaluation import Evaluation
from seqclf.training.fit import fit
from seqclf.training.history import History
from seqclf.training.hooks import FitState

__all__ = ["Run"]


@dataclass(frozen=True)
class StudyData:
    """The datasets of a study.

    Attributes:
        train: What every run trains on.
        measured: What every run is measured on, by name: `validation` and `test`, as far as there are any.
        frequencies: How often each class occurs in `train`.
        with_curves: Whether `train` and `test` are measured after each epoch, too.
    """

    train: SequenceDataset
    measured: Mapping[str, SequenceDataset]
    frequencies: tuple[int, ...]
    with_curves: bool = False

    def admitted(self, options: Options) -> "StudyData":
        """Return what a run of these options sees: without empty sequences where its model skips them."""
        if options["empty"] != "skip":
            return self
        train = self.train.drop_empty()
        frequencies = self.frequencies if train is self.train else count_classes(train)
        measured = {name: dataset.drop_empty() for name, dataset in self.measured.items()}
        return replace(self, train=train, measured=measured, frequencies=frequencies)


def count_classes(dataset: SequenceDataset) -> tuple[int, ...]:
    """Return how often each class occurs in `dataset`."""
    if dataset.multi_label:
        raise InvalidArgumentError("datasets of a study must have one label for each sequence; got several.")
    return tuple(torch.bincount(dataset.labels, minlength=len(dataset.classes)).tolist())


@dataclass(frozen=True, repr=False)
class Run:
    """A finished run.

    Attributes:
        options: All its options, by name.
        history: What `fit` measured, up to where the training broke off if it did; with curves, also `train_loss`,
            `train_accuracy`, `test_loss` and `test_accuracy` after each epoch, in eval mode.
        results: What `evaluate` found at the end on `"validation"` and `"test"`, as far as these were given.
        parameters: The number of trainable weights.
        seconds: How long training took, without the measuring of curves.
        error: Why the training broke off, such as a loss that was not finite; None where it went well. A run that broke
            off has no results and no model.
        model_file: Where the trained model lies, where models were kept.

    Example:
        >>> from seqclf import SequenceDataset, run_study
        >>> data = SequenceDataset.from_pairs([("aab", "a"), ("bba", "b")] * 8)
        >>> base = {"epochs": 2, "hidden_size": 4}
        >>> study = run_study(data, {"seed": [0, 1]}, base=base, test_data=data, progress=False)
        >>> run = study.runs[0]
        >>> run.options["seed"], run.history.epochs, sorted(run.results)
        (0, 2, ['test'])
    """

    options: Options
    history: History
    results: Mapping[str, Evaluation]
    parameters: int
    seconds: float
    error: str | None = None
    model_file: Path | None = None

    def __repr__(self) -> str:
        how = [f"{name} accuracy {result.accuracy:.3f}" for name, result in self.results.items()]
        if self.error is not None:
            how = [f"broke off: {self.error:.80}"]
        return f"Run({', '.join([f'{self.history.epochs} epochs', f'{self.parameters:,} parameters', *how])})"

    def load_model(self) -> RNNClassifier:
        """Load the trained model.

        Raises:
            InvalidArgumentError: The study kept no models.
        """
        if self.model_file is None:
            raise InvalidArgumentError(
                "models must have been kept to be loaded; got a run without. "
                "Call run_study with cache=folder and keep_models=True."
            )
        cell = self.options["cell"]
        return load(self.model_file, cell=None if isinstance(cell, str) else cell)


def train_run(
    options: Options, data: StudyData, *, device: str = "cpu", progress: bool = False
) -> tuple[Run, RNNClassifier]:
    """Train one model as `options` say, and measure it; return the run and the model.

    Raises:
        InvalidArgumentError: An option has a value that the model, `fit` or what follows refuses.
        InvalidDataError: The datasets do not fit each other.
    """
    data = data.admitted(options)
    chosen = {name: options[name] for name in MODEL_OPTIONS}
    model = RNNClassifier.for_dataset(data.train, **chosen, seed=options["seed"])
    optimizer = make_optimizer(options)
    watcher, results, broken = _Watcher(data), {}, None
    start = time.perf_counter()
    try:
        watcher.history = fit(
            model,
            data.train,
            validation_data=data.measured.get("validation"),
            optimizer=optimizer,
            learning_rate=options["learning_rate"] if optimizer is None else None,
            weight_decay=options["weight_decay"] if optimizer is None else None,
            callbacks=[watcher],
            seed=options["seed"],
            device=device,
            progress=progress,
            **{name: options[name] for name in FIT_OPTIONS},
        )
        seconds = time.perf_counter() - start - watcher.seconds
        _finish(model, options, data)
        results = {name: evaluate(model, dataset) for name, dataset in data.measured.items()}
        if not all(np.isfinite(result.losses).all() for result in results.values()):
            raise TrainingError("the trained model must give finite losses; got others. Lower the learning rate.")
    except TrainingError as error:
        seconds = time.perf_counter() - start - watcher.seconds
        results, broken = {}, str(error)
    return Run(options, watcher.whole_history(), results, model.num_parameters, seconds, broken), model


def _finish(model: RNNClassifier, options: Options, data: StudyData) -> None:
    """Mend the probabilities of a trained model, where the options say so."""
    if options["calibrate"]:
        if "validation" not in data.measured:
            raise InvalidArgumentError("calibrate must have validation_data; got None. Pass it to run_study.")
        calibrate(model, data.measured["validation"])
    if options["priors"] is not None:
        adjust_priors(model, trained_on=data.frequencies, expected=options["priors"])


class _Watcher:
    """A callback that keeps the history, and measures curves after each epoch where they are wanted."""

    def __init__(self, data: StudyData) -> None:
        names = ("train", "test") if data.with_curves else ()
        datasets = {"train": data.train, **data.measured}
        self.datasets = {name: datasets[name] for name in names if name in datasets}
        self.history, self.curves = History(), History()
        self.seconds = 0.0  # spent on measuring

    def __call__(self, end: FitState) -> None:
        start = time.perf_counter()
        self.history = end.history
        measures: dict[str, float] = {}
        for name, dataset in self.datasets.items():
            result = evaluate(end.model, dataset)
            measures |= {f"{name}_loss": result.loss, f"{name}_accuracy": result.accuracy}
        self.curves.append(measures)
        self.seconds += time.perf_counter() - start

    def whole_history(self) -> History:
        """Return what `fit` measured, and the curves beside it."""
        return replace(self.history, measures={**self.history.measures, **self.curves.measures})


def rehearse(options: Options, data: StudyData, *, device: str, to_be_saved: bool) -> None:
    """Do all that a run does on two sequences, so that what is wrong with its options shows before any work."""
    if not is_auto(options["epochs"]):
        check_int("epochs", options["epochs"])
    data = data.admitted(options)
    small = replace(
        data,
        train=data.train.subset(range(min(2, len(data.train)))),
        measured={name: dataset.subset([0]) for name, dataset in data.measured.items()},
    )
    _, model = train_run(options | {"epochs": 1}, small, device=device)
    if to_be_saved:
        describe_model(model)
