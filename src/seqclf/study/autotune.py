"""autotune: try what the rules are unsure of, within some minutes, and train on all data with what did best."""

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from seqclf.checks import check_positive, check_seed
from seqclf.data.baseline import can_fit
from seqclf.data.dataset import SequenceDataset
from seqclf.errors import InvalidArgumentError
from seqclf.files import PathLike
from seqclf.inference.predict import check_is_dataset
from seqclf.models.classifier import RNNClassifier
from seqclf.progress import progress_bar
from seqclf.study.options import FIT_OPTIONS, MODEL_OPTIONS
from seqclf.study.result import plain
from seqclf.study.run import Run
from seqclf.study.runner import run_study
from seqclf.training.baseline import linear_baseline
from seqclf.training.fit import fit

__all__ = ["Trials", "autotune"]

_PARTS = 5  # of the data, one of which validates at a time
_FEWEST = 10  # sequences, below which no part could tell anything
_MARGIN = 1.2  # a trial may take so much longer than the ones before

Options = dict[str, Any]

_FOR_ALL: tuple[Options, ...] = (
    {"learning_rate": 1e-3},
    {"dropout": 0.3},
    {"dropout": 0.7, "input_dropout": 0.5},
    {"hidden_size": 64},
    {"hidden_size": 256},
    {"label_smoothing": 0.0},
    {"pooling": ("last", "max")},
    {"pooling": "attention"},
    {"cell": "gru"},
    {"learning_rate": 6e-3},
    {"num_layers": 2},
)
_FOR_SYMBOLS: tuple[Options, ...] = (
    {"positions": "both"},
    {"ngrams": None},
    {"ngrams": (2, 3), "ngram_dropout": 0.3},
    {"positions": None},
    {"embedding_dim": 128},
)


@dataclass(frozen=True, repr=False)
class Trial:
    """One choice of options, and how it did.

    Attributes:
        options: What differs from the rules; nothing for the rules themselves.
        accuracies: The accuracy on each part that it was tried on.
        losses: The mean negative log-likelihood on each.
        seconds: How long its training took, all parts together.
    """

    options: Options
    accuracies: tuple[float, ...]
    losses: tuple[float, ...]
    seconds: float

    def __repr__(self) -> str:
        return _told(self.options)

    @property
    def rank(self) -> tuple[float, float]:
        """What trials are ordered by: the mean accuracy, then the loss."""
        return float(np.mean(self.accuracies)), -float(np.mean(self.losses))


@dataclass(repr=False)
class Trials:
    """What `autotune` tried.

    Attributes:
        trials: Each choice of options, the best first; those that were tried on more parts come before others.
        linear: The accuracy of a linear model on the same parts as the best; None without scikit-learn.

    Example:
        >>> from seqclf import SequenceDataset, autotune
        >>> pairs = [("a" * n + "b", "x") for n in range(20)] + [("b" * n + "a", "y") for n in range(20)]
        >>> train = SequenceDataset.from_pairs(pairs)
        >>> model, trials = autotune(train, minutes=0.0001, base={"hidden_size": 8, "epochs": 2}, progress=False)
        >>> trials.best is trials.trials[0]
        True
    """

    trials: list[Trial] = field(default_factory=list)
    linear: float | None = None

    @property
    def best(self) -> Trial:
        """The choice that the model was trained with."""
        return self.trials[0]

    @property
    def sentence(self) -> str:
        """What mattered, in a sentence."""
        rules = next(trial for trial in self.trials if not trial.options)
        same = len(self.best.accuracies)
        before = float(np.mean(rules.accuracies[:same]))
        found = f"{_told(self.best.options)} came to {100 * self.best.rank[0]:.1f} %"
        count = f"{len(self.trials)} choice{'s' * (len(self.trials) > 1)}"
        text = f"Of {count} {found} on {same} validation part{'s' * (same > 1)}"
        text += "" if not self.best.options else f", where the rules alone have {100 * before:.1f} %"
        if self.linear is None:
            return text + "."
        verdict = "more" if self.linear > self.best.rank[0] else "no more"
        return f"{text}; a linear model has {100 * self.linear:.1f} %, {verdict} than that."

    def to_markdown(self) -> str:
        """Return the table of all trials."""
        lines = ["| options | validation accuracy (%) | NLL | parts | seconds |", "|---|--:|--:|--:|--:|"]
        for one in self.trials:
            cells = [_told(one.options), f"{100 * one.rank[0]:.1f}", f"{-one.rank[1]:.3f}"]
            lines.append(f"| {' | '.join([*cells, str(len(one.accuracies)), f'{one.seconds:.1f}'])} |")
        if self.linear is not None:
            lines.append(f"| a linear model | {100 * self.linear:.1f} | | {len(self.best.accuracies)} | |")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"{self.to_markdown()}\n{self.sentence}"


def autotune(
    train: SequenceDataset,
    minutes: float = 5.0,
    *,
    base: Mapping[str, Any] | None = None,
    seed: int = 0,
    cache: PathLike | None = None,
    progress: bool = True,
) -> tuple[RNNClassifier, Trials]:
    """Try options beside those that the rules choose, and train a model on all of `train` with the best.

    A fifth of the data validates at a time, equal sequences staying on one side. All choices are tried on the first
    part, in a fixed order; the better half of them on a second, and the better half of these on a third; last, the best
    changes put together. The best mean accuracy wins, and among equal ones the least loss. What is measured depends on
    no clock, but how many choices are tried does: those that would not end in time, the last training included, are
    left. No test data are ever seen.

    Args:
        train: The training data.
        minutes: How long it may take, about.
        base: Options of the model and of `fit` that are not to be tried, by name.
        seed: The seed of the parts, the weights and the training.
        cache: A folder in which finished trials are kept, so that a search that was cut off goes on.
        progress: Whether to show progress on stderr.

    Returns:
        The model, and what was tried.

    Raises:
        InvalidArgumentError: An argument is out of range, or there are too few sequences.

    Example:
        >>> from seqclf import SequenceDataset, autotune
        >>> pairs = [("a" * n + "b", "x") for n in range(20)] + [("b" * n + "a", "y") for n in range(20)]
        >>> train = SequenceDataset.from_pairs(pairs)
        >>> model, trials = autotune(train, minutes=0.0001, base={"hidden_size": 8, "epochs": 2}, progress=False)
        >>> trials.best.options
        {}
    """
    check_is_dataset("train", train)
    check_positive("minutes", minutes)
    check_seed("seed", seed)
    if len(train) < _FEWEST:
        raise InvalidArgumentError(
            f"train must hold at least {_FEWEST} sequences, for a part to validate on; got {len(train)}. Use fit."
        )
    fixed = dict(base or {})
    with (
        nullcontext(cache) if cache is not None else tempfile.TemporaryDirectory() as folder,
        progress_bar(progress, "trial") as bar,
    ):
        deadline = time.perf_counter() + 60 * minutes
        search = _Search(train, fixed, seed=seed, folder=folder, deadline=deadline, bar=bar)
        search.run()
        best = search.ranked()[0]
        parts = range(len(best.accuracies))
        linear = None
        if can_fit():
            linear = float(np.mean([linear_baseline(*search.parts(part)).accuracy for part in parts]))
        options = fixed | best.options
        model = RNNClassifier.for_dataset(train, seed=seed, **_only(options, MODEL_OPTIONS))
        fit(model, train, seed=seed, progress=False, **_only(options, (*FIT_OPTIONS, "learning_rate", "weight_decay")))
    return model, Trials(search.ranked(), linear)


class _Search:
    """The trials, in order."""

    def __init__(
        self, train: SequenceDataset, fixed: Options, *, seed: int, folder: PathLike, deadline: float, bar: Any
    ) -> None:
        self.train, self.fixed, self.seed, self.folder, self.bar = train, fixed, seed, folder, bar
        self.deadline = deadline
        self.slowest = 0.0  # seconds of a trial
        self.runs: dict[str, tuple[Options, list[Run]]] = {}
        self._parts: dict[int, tuple[SequenceDataset, SequenceDataset]] = {}

    def run(self) -> None:
        """Try all that there is time for."""
        self._try({}, 0, at_least=True)
        for options in self._candidates():
            self._try(options, 0)
        for part in (1, 2):
            survivors = [one.options for one in self.ranked() if len(one.accuracies) == part]
            self._try({}, part)
            for options in survivors[: max(2, len(survivors) // 2)]:
                self._try(options, part)
        together = self._together()
        for part in range(3):
            self._try(together, part)

    def _candidates(self) -> Iterator[Options]:
        """Yield what to try beside the rules: what matters most for the kind of data first."""
        lists = (_FOR_SYMBOLS, _FOR_ALL) if self.train.input_size is None else ((), _FOR_ALL)
        for options in (one for listed in lists for one in listed):
            if not options.keys() & self.fixed.keys():
                yield options

    def _together(self) -> Options:
        """Return the changes put together that beat the rules, the best of those that name the same option."""
        rules = self._trial({})
        joined: Options = {}
        for trial in self.ranked():
            if trial.options and len(trial.accuracies) > 1 and trial.rank > rules.rank:
                joined = trial.options | joined
        return joined

    def _try(self, options: Options, part: int, *, at_least: bool = False) -> None:
        """Train and measure a choice on a part, if that was not done and time is left for it and for the end."""
        key = repr(sorted(options.items()))
        _, done = self.runs.get(key, (options, []))
        left = self.deadline - time.perf_counter()
        if len(done) != part or (not at_least and left < 2 * _MARGIN * self.slowest):
            return
        start = time.perf_counter()
        learn, validate = self.parts(part)
        [run] = run_study(
            learn,
            {"seed": [self.seed]},
            base=self.fixed | options | {"early_stopping": None},
            validation_data=validate,
            cache=self.folder,
            progress=False,
        ).runs
        self.slowest = max(self.slowest, time.perf_counter() - start)
        if run.error is None or not options:
            self.runs[key] = options, [*done, run]
        self.bar.set_postfix_str(_told(options))
        self.bar.update()

    def parts(self, part: int) -> tuple[SequenceDataset, SequenceDataset]:
        """Return what to learn from and what to validate on."""
        if part not in self._parts:
            self._parts[part] = self.train.split(1 / _PARTS, seed=self.seed + part)
        return self._parts[part]

    def ranked(self) -> list[Trial]:
        """Return all choices, the best first; those tried on more parts before the others."""
        found = [self._trial(options) for options, _ in self.runs.values()]
        return sorted(found, key=lambda trial: (len(trial.accuracies), *trial.rank), reverse=True)

    def _trial(self, options: Options) -> Trial:
        _, runs = self.runs[repr(sorted(options.items()))]
        results = [run.results.get("validation") for run in runs]
        return Trial(
            options,
            tuple(0.0 if result is None else result.accuracy for result in results),
            tuple(np.inf if result is None else result.loss for result in results),
            sum(run.seconds for run in runs),
        )


def _only(options: Options, names: Sequence[str]) -> Options:
    return {name: value for name, value in options.items() if name in names}


def _told(options: Options) -> str:
    return ", ".join(f"{name}={plain(value)}" for name, value in options.items()) or "the rules"
