"""StudyResult: what a study found, run by run and over seeds."""

import csv
import functools
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from seqclf.errors import InvalidArgumentError, did_you_mean
from seqclf.files import PathLike, write_atomically
from seqclf.study.options import Options, describe, varying
from seqclf.study.run import Run
from seqclf.training.evaluation import weighted_measure
from seqclf.training.interval import Interval, bootstrap, student_t
from seqclf.training.stopping import EarlyStopping

__all__ = ["StudyResult", "Summary"]

_MEASURES = ("accuracy", "loss", "macro_f1")


@dataclass(frozen=True, repr=False)
class Summary:
    """The runs that differ in nothing but their seed, taken together.

    Attributes:
        options: What tells them from the other runs of the study.
        runs: The runs.
        mean: The mean of each measure over the runs that did not break off: `test_accuracy`, `validation_loss`, …
        std: Their standard deviation (of the sample: n - 1); 0 for a single run.

    Example:
        >>> from seqclf import SequenceDataset, run_study
        >>> data = SequenceDataset.from_pairs([("aab", "a"), ("bba", "b")] * 8)
        >>> base = {"epochs": 2, "hidden_size": 4}
        >>> study = run_study(data, {"seed": [0, 1]}, base=base, test_data=data, progress=False)
        >>> (summary,) = study.summarise()
        >>> summary.n, sorted(summary.mean)[:3]
        (2, ['accuracy', 'loss', 'test_accuracy'])
    """

    options: Options
    runs: tuple[Run, ...]
    mean: dict[str, float]
    std: dict[str, float]

    def __repr__(self) -> str:
        told = [f"{name}={plain(value)}" for name, value in self.options.items()]
        shown = [f"{name} {format_measure(name, self)} %" for name in self.mean if name.endswith("accuracy")]
        return f"Summary({', '.join([*told, f'{len(self.runs)} runs', *shown])})"

    @property
    def n(self) -> int:
        """The number of runs that did not break off."""
        return sum(run.error is None for run in self.runs)

    @property
    def parameters(self) -> int:
        """The number of trainable weights."""
        return self.runs[0].parameters

    @property
    def seconds(self) -> float:
        """The mean training time of a run."""
        return float(np.mean([run.seconds for run in self.runs]))

    def interval(
        self,
        measure: Literal["accuracy", "loss", "macro_f1"] = "accuracy",
        *,
        on: str = "test",
        level: float = 0.95,
        resamples: int = 1000,
        seed: int = 0,
    ) -> Interval:
        """Return the mean of a measure over the seeds with its confidence interval.

        It says what other training runs on these training data, and other test sequences of the same kind, might have
        given. What the test sequences add comes from the bootstrap over groups of equal ones, what the seeds add from
        Student's t; the two are taken for independent. One run alone tells nothing of other seeds, so the interval of a
        single run is that of its test sequences only.

        Args:
            measure: `"accuracy"`, `"loss"` or `"macro_f1"`.
            on: `"test"` or `"validation"`.
            level: The probability that the interval is to have, between 0 and 1.
            resamples: How many samples the bootstrap draws.
            seed: The seed of the draws.

        Raises:
            InvalidArgumentError: There are no such results, or an argument is out of range.
        """
        results = [run.results[on] for run in self.runs if on in run.results]
        if not results:
            why = f"Pass {on}_data to run_study." if self.n else "Every run broke off."
            raise InvalidArgumentError(f"on must name data that the runs were measured on; got {on!r}. {why}")
        drawn = bootstrap(
            lambda weights: float(np.mean([weighted_measure(result, measure, weights) for result in results])),
            results[0].groups,
            level=level,
            resamples=resamples,
            seed=seed,
        )
        of_seeds = 0.0
        if len(results) > 1:
            of_seeds = student_t(level, len(results) - 1) * self.std[f"{on}_{measure}"] / math.sqrt(len(results))
        low = drawn.value - math.hypot(drawn.value - drawn.low, of_seeds)
        high = drawn.value + math.hypot(drawn.high - drawn.value, of_seeds)
        return Interval(drawn.value, max(0.0, low), high if measure == "loss" else min(1.0, high), level)


@dataclass(frozen=True, repr=False)
class StudyResult:
    """All runs of a study, in the order of its grid.

    Attributes:
        runs: The runs.

    Example:
        >>> from seqclf import SequenceDataset, run_study
        >>> train = SequenceDataset.from_pairs([("aab", "a"), ("aba", "a"), ("bba", "b"), ("bab", "b")] * 8)
        >>> result = run_study(
        ...     train,
        ...     {"cell": ["gru", "lstm"], "seed": [0, 1]},
        ...     base={"hidden_size": 8, "epochs": 20, "learning_rate": 0.02, "bidirectional": False, "ngrams": None},
        ...     validation_data=train,
        ...     progress=False,
        ... )
        >>> result.best("validation_loss").options["cell"] in ("gru", "lstm")
        True
        >>> print(result.to_markdown(["validation_accuracy"]))
        | cell | validation accuracy (%) | parameters |
        |---|--:|--:|
        | gru | 100.0 ± 0.0 | 18,466 |
        | lstm | 100.0 ± 0.0 | 19,058 |
    """

    runs: tuple[Run, ...]

    @property
    def axes(self) -> tuple[str, ...]:
        """The options that are not the same in all runs."""
        return varying([run.options for run in self.runs])

    def records(self, *, timings: bool = True) -> list[dict[str, Any]]:
        """Return one flat row for each run: the options that vary, measures, number of weights, seconds, error.

        Args:
            timings: Whether to include the seconds, the only figures that another time would not be the same.
        """
        return [
            {
                **{name: run.options[name] for name in self.axes},
                **measures_of(run),
                "parameters": run.parameters,
                **({"seconds": run.seconds} if timings else {}),
                "error": run.error,
            }
            for run in self.runs
        ]

    def summarise(self) -> list[Summary]:
        """Return one row for each combination of options, over its seeds, in the order of the grid."""
        names = [name for name in self.axes if name != "seed"]
        groups: dict[str, list[Run]] = {}
        for run in self.runs:
            groups.setdefault(json.dumps(describe({name: run.options[name] for name in names})), []).append(run)
        rows = []
        for runs in groups.values():
            whole = [measures_of(run) for run in runs if run.error is None]
            columns = {name: np.array([row[name] for row in whole]) for name in (whole[0] if whole else ())}
            rows.append(
                Summary(
                    options={name: runs[0].options[name] for name in names},
                    runs=tuple(runs),
                    mean={name: float(values.mean()) for name, values in columns.items()},
                    std={
                        name: float(values.std(ddof=1)) if len(values) > 1 else 0.0 for name, values in columns.items()
                    },
                )
            )
        return rows

    def best(self, measure: str = "validation_loss") -> Run:
        """Return the run of the best combination of options: by the mean over its seeds, and among these the best run.

        Combinations of which a run broke off are left out.

        Args:
            measure: What to go by, on validation data: losses are best low, all else is best high.

        Raises:
            InvalidArgumentError: There is no such measure, or it was measured on the test data, which choose nothing.
        """
        rows = [row for row in self.summarise() if row.n == len(row.runs)]
        if not rows:
            raise InvalidArgumentError(
                f"a combination of options must have no run that broke off; got none of {len(self.runs)} runs. "
                "Lower the learning rate, or pass clip_grad_norm."
            )
        known = [name for name in rows[0].mean if not name.startswith("test_")]
        if measure not in known:
            raise InvalidArgumentError(
                f"measure must be one of {', '.join(known)}; got {measure!r}.{did_you_mean(measure, known)} "
                "Test data choose nothing; pass validation_data to choose by."
            )
        sign = -1 if "loss" in measure else 1
        row = max(rows, key=lambda row: sign * row.mean[measure])
        return max(row.runs, key=lambda run: sign * measures_of(run)[measure])

    def to_csv(self, *, timings: bool = True) -> str:
        """Return the records as CSV text with a line of names."""
        rows = self.records(timings=timings)
        names = list(dict.fromkeys(name for row in rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: plain(value) for name, value in row.items()} for row in rows)
        return text.getvalue()

    def to_dict(self) -> dict[str, Any]:
        """Return all runs with their curves, without timings: values for JSON that are the same every time."""
        return {
            "axes": list(self.axes),
            "runs": [
                {
                    "options": describe(run.options),
                    "parameters": run.parameters,
                    "error": run.error,
                    "results": {
                        name: {"n": result.n} | {measure: getattr(result, measure) for measure in _MEASURES}
                        for name, result in run.results.items()
                    },
                    "history": {name: run.history[name] for name in run.history if name != "seconds"},
                }
                for run in self.runs
            ],
        }

    def write(self, folder: PathLike) -> None:
        """Write `results.json` and `results.csv`, which are the same every time, and `timings.json` into a folder."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        content = self.to_dict()
        runs = ",\n".join(json.dumps(run, allow_nan=False) for run in content["runs"])  # a line for each
        text = f'{{"axes": {json.dumps(content["axes"])}, "runs": [\n{runs}\n]}}\n'
        write_atomically(folder / "results.json", text.encode())
        write_atomically(folder / "results.csv", self.to_csv(timings=False).encode())
        timings = [
            {"seconds": run.seconds, "epochs": run.history["seconds"] if run.history.epochs else []}
            for run in self.runs
        ]
        write_atomically(folder / "timings.json", ("[\n" + ",\n".join(map(json.dumps, timings)) + "\n]\n").encode())

    def to_markdown(self, measures: Sequence[str] = ("test_accuracy", "test_loss", "test_macro_f1")) -> str:
        """Return a Markdown table: one row for each combination of options, mean ± standard deviation over seeds.

        Args:
            measures: The columns, by the names of `records`.

        Raises:
            InvalidArgumentError: There is no such measure.
        """
        rows = self.summarise()
        known = {name for row in rows for name in row.mean}
        for measure in measures:
            if known and measure not in known:
                raise InvalidArgumentError(
                    f"measure must be one of {', '.join(sorted(known))}; got {measure!r}.{did_you_mean(measure, known)}"
                )
        names = [name for name in self.axes if name != "seed"]
        titles = [*names, *(_title(measure) for measure in measures), "parameters"]
        lines = [titles, ["---"] * len(names) + ["--:"] * (len(titles) - len(names))]
        for row in rows:
            cells = [str(plain(row.options[name])) for name in names]
            cells += [format_measure(measure, row) for measure in measures]
            lines.append([*cells, f"{row.parameters:,}"])
        head, rule, *body = lines
        return "\n".join([_line(head), "|" + "|".join(rule) + "|", *map(_line, body)])

    def __repr__(self) -> str:
        broken = sum(run.error is not None for run in self.runs)
        varied = f", varying {', '.join(self.axes)}" if self.axes else ""
        return f"StudyResult({len(self.runs)} runs{varied}{f', {broken} broke off' if broken else ''})"


def label(run: Run, names: Sequence[str]) -> str:
    """Say in a few words which run this is, and how it went."""
    told = ", ".join(f"{name}={plain(run.options[name])}" for name in names)
    shown = {name: value for name, value in measures_of(run).items() if name.endswith("accuracy")}
    how = "broke off" if run.error else ", ".join(f"{name}={value:.3f}" for name, value in shown.items())
    return f"{told}: {how}" if told else how


def format_measure(measure: str, row: Summary) -> str:
    """Return mean ± standard deviation, accuracies in percent; where runs broke off, of how many of them.

    Example:
        >>> from seqclf.study import format_measure
        >>> from seqclf import SequenceDataset, run_study
        >>> data = SequenceDataset.from_pairs([("aab", "a"), ("bba", "b")] * 8)
        >>> base = {"epochs": 2, "hidden_size": 4}
        >>> study = run_study(data, {"seed": [0, 1]}, base=base, test_data=data, progress=False)
        >>> format_measure("test_accuracy", study.summarise()[0])  # doctest: +ELLIPSIS
        '... ± ...'
    """
    if not row.n:
        return "-"
    scale, digits = (100, 1) if measure.endswith("accuracy") else (1, 3)
    text = f"{scale * row.mean[measure]:.{digits}f}"
    text += f" ± {scale * row.std[measure]:.{digits}f}" if row.n > 1 else ""
    return text if row.n == len(row.runs) else f"{text} ({row.n} of {len(row.runs)})"


def measures_of(run: Run) -> dict[str, float]:
    """Return the measures of the final model by flat names; of a run that broke off, none."""
    if run.error is not None:
        return {}
    rule = run.options["early_stopping"]
    is_at_best = not isinstance(rule, EarlyStopping) or rule.restore_best
    epoch = run.history.best_epoch if is_at_best else None
    at_end = ("loss", "accuracy", "train_loss", "train_accuracy")
    final = {name: run.history[name][-1 if epoch is None else epoch] for name in at_end if name in run.history}
    for name, result in run.results.items():
        final |= {f"{name}_{measure}": getattr(result, measure) for measure in _MEASURES}
    return final


def plain(value: Any) -> Any:
    """Return what stands in tables and pictures for the value of an option."""
    if isinstance(value, tuple | list):
        return "+".join(map(str, value))
    if isinstance(value, functools.partial):
        bound = [str(plain(item)) for item in value.args]
        bound += [f"{name}={plain(item)}" for name, item in value.keywords.items()]
        return f"{plain(value.func)}({', '.join(bound)})"
    return value.__qualname__ if callable(value) and hasattr(value, "__qualname__") else value


def _title(measure: str) -> str:
    words = measure.replace("_", " ").replace("macro f1", "macro-F1").replace("loss", "NLL")
    return f"{words} (%)" if measure.endswith("accuracy") else words


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
