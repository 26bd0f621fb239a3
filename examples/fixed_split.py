"""The fixed split of the names data, as a benchmark: line i of each file is a test line where i % 3 == 0.

One recipe is searched for on a validation part of the training lines: first by changing one option of a starting point
at a time, then by putting the changes that paid together, over several seeds, with names folded to ASCII and as
written. The test lines choose nothing; they are looked at once, by the recipe that was found, trained anew on all
training lines. As 15 % of the test lines have their name in training, the recipe is also trained without these names,
which shows what they are worth.

What is finished is kept in the output folder, so that a search that was broken off goes on where it stopped.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import seqclf
from seqclf import SequenceDataset
from seqclf.defaults import PLAIN
from seqclf.reading import fold_ascii
from seqclf.study import Run, StudyResult, Summary, format_measure

Pairs = list[tuple[str, str]]
SPELLINGS: dict[str, Callable[[str], str]] = {"folded to ASCII": fold_ascii, "as written": str}

START: dict[str, Any] = PLAIN | {
    "cell": "gru",
    "hidden_size": 256,
    "bidirectional": True,
    "pooling": ("last", "mean", "max"),
    "dropout": 0.5,
    "input_dropout": 0.2,
    "symbol_dropout": 0.1,
    "weight_dropout": 0.3,
    "label_smoothing": 0.1,
    "epochs": 30,
    "batch_size": 64,
    "learning_rate": 3e-3,
    "schedule": "one_cycle",
    "clip_grad_norm": 1.0,
    "early_stopping": None,
}
CHANGES: dict[str, list[Any]] = {
    "cell": ["lstm"],
    "hidden_size": [128, 384],
    "num_layers": [2],
    "bidirectional": [False],
    "pooling": ["last", ("last", "max")],
    "dropout": [0.3],
    "input_dropout": [0.0],
    "symbol_dropout": [0.0, 0.05],
    "weight_dropout": [0.0, 0.5],
    "label_smoothing": [0.0, 0.2],
    "epochs": [15, 45],
    "batch_size": [32, 128],
    "learning_rate": [1.5e-3, 5e-3],
}


def read_fixed_split(folder: Path) -> tuple[Pairs, Pairs]:
    """Return the training and the test pairs, names as they are written."""
    train: Pairs = []
    test: Pairs = []
    for path in sorted(folder.glob("*.txt")):
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        for number, line in enumerate(lines):
            (test if number % 3 == 0 else train).append((line, path.stem))
    return train, test


def respell(pairs: Pairs, spelling: str) -> Pairs:
    """Return the pairs with their names spelled in one of the two ways."""
    return [(SPELLINGS[spelling](name), language) for name, language in pairs]


def encode(pairs: Pairs, like: SequenceDataset) -> SequenceDataset:
    """Encode pairs as another dataset is encoded."""
    return SequenceDataset.from_pairs(pairs, vocabulary=like.vocabulary, classes=like.classes)


def search(pairs: Pairs, arguments: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """Return the options and the spelling that do best on a validation fifth of the training lines."""
    settings: dict[str, Any] = {"cache": arguments.output / "runs", "workers": arguments.workers}
    parts = {  # a split of lines, as the test was drawn; the same lines in both spellings
        spelling: SequenceDataset.from_pairs(respell(pairs, spelling)).split(0.2, seed=0, group_duplicates=False)
        for spelling in SPELLINGS
    }
    start = START | ({"epochs": arguments.epochs} if arguments.epochs else {})
    changes = {name: values for name, values in CHANGES.items() if not (name == "epochs" and arguments.epochs)}
    train, validation = parts["folded to ASCII"]
    grid = [{}, *({name: values} for name, values in changes.items())]
    single = seqclf.run_study(train, grid, base=start, validation_data=validation, **settings)
    single.write(arguments.output / "single_changes")
    paid = changes_that_paid(single)
    publish(tabulate_changes(single), arguments.output / "single_changes.md")
    print(f"changes that paid alone: {', '.join(f'{name}={value}' for name, value in paid) or 'none'}\n")

    seeds = list(range(arguments.search_seeds))
    table = ["| names | changes | validation accuracy (%) | validation NLL |", "|---|---|--:|--:|"]
    best: tuple[float, dict[str, Any], str] = (0.0, start, "as written")
    for spelling, (train, validation) in parts.items():
        for count in range(min(len(paid), 3) + 1):
            recipe = start | dict(paid[:count])
            result = seqclf.run_study(train, {"seed": seeds}, base=recipe, validation_data=validation, **settings)
            [row] = result.summarise()
            told = ", ".join(f"{name} = {value}" for name, value in paid[:count]) or "none"
            measures = [format_measure(f"validation_{name}", row) for name in ("accuracy", "loss")]
            table.append(f"| {spelling} | {told} | {measures[0]} | {measures[1]} |")
            best = max(best, (row.mean.get("validation_accuracy", 0.0), recipe, spelling), key=lambda entry: entry[0])
    publish("\n".join(table), arguments.output / "finalists.md")
    return best[1], best[2]


def publish(table: str, path: Path) -> None:
    """Print a table, and write it to a file."""
    print(table + "\n")
    path.write_text(table + "\n", encoding="utf-8")


def changes_that_paid(result: StudyResult) -> list[tuple[str, Any]]:
    """Return the best value of each option that alone made both accuracy and loss better, the best change first."""
    start = result.runs[0]
    gains: dict[str, tuple[float, Any]] = {}
    for run in (run for run in result.runs[1:] if run.error is None):
        name = changed_option(run, start)
        before, after = start.results["validation"], run.results["validation"]
        gain = after.accuracy - before.accuracy
        if after.loss < before.loss and gain > max(0.0, gains.get(name, (0.0,))[0]):
            gains[name] = gain, run.options[name]
    return [(name, value) for name, (_, value) in sorted(gains.items(), key=lambda item: -item[1][0])]


def changed_option(run: Run, start: Run) -> str:
    """Return the option in which a run differs from the starting point."""
    return next(name for name in CHANGES if run.options[name] != start.options[name])


def tabulate_changes(result: StudyResult) -> str:
    """Return a table of the changes and what they led to."""
    start = result.runs[0]
    lines = ["| change | validation accuracy (%) | validation NLL |", "|---|--:|--:|"]
    for run in result.runs:
        name = "" if run is start else changed_option(run, start)
        told = f"{name} = {run.options[name]}" if name else "none"
        found = run.results.get("validation")
        lines.append(f"| {told} | " + (f"{100 * found.accuracy:.1f} | {found.loss:.3f} |" if found else "- | - |"))
    return "\n".join(lines)


def measure(recipe: dict[str, Any], train: Pairs, test: Pairs, arguments: argparse.Namespace) -> str:
    """Train the recipe on all training lines, and without the names of the test; return a table of test accuracies."""
    lines = SequenceDataset.from_pairs(train)
    trained = {name for name, _ in train}
    leaked = np.array([name in trained for name, _ in test])
    table = [
        f"| trained on | all {len(test):,} test lines (%) | 95 % interval | macro-F1 | "
        f"the {leaked.sum():,} whose name stands in train (%) | the {(~leaked).sum():,} others (%) |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    tested = {name for name, _ in test}
    clean = [pair for pair in train if pair[0] not in tested]
    for title, pairs in (("all training lines", train), ("those whose name is not in the test", clean)):
        result = seqclf.run_study(
            encode(pairs, lines),
            {"seed": range(arguments.seeds)},
            base=recipe,
            test_data=encode(test, lines),
            cache=arguments.output / "runs",
            workers=arguments.workers,
        )
        result.write(arguments.output / ("with_leakage" if pairs is train else "without_leakage"))
        [row] = result.summarise()
        interval = row.interval("accuracy")
        cells = [
            f"{title} ({len(pairs):,})",
            format_measure("test_accuracy", row),
            f"{100 * interval.low:.1f} to {100 * interval.high:.1f}",
            format_measure("test_macro_f1", row),
            part_accuracy(row, leaked),
            part_accuracy(row, ~leaked),
        ]
        table.append("| " + " | ".join(cells) + " |")
    return "\n".join(table)


def part_accuracy(row: Summary, part: npt.NDArray[np.bool_]) -> str:
    """Return the accuracy on a part of the test lines, mean ± standard deviation over seeds."""
    values = 100 * np.array([run.results["test"].hits[part].mean() for run in row.runs if run.error is None])
    return f"{values.mean():.1f} ± {values.std(ddof=1) if len(values) > 1 else 0:.1f}"


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder with the 18 files, such as download_names() fetches")
    parser.add_argument("--epochs", type=int, help="in place of those to choose from, to see it run quickly")
    parser.add_argument("--search-seeds", type=int, default=3, help="seeds of the finalists (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=5, help="seeds of the recipe (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="processes at once (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("fixed_split"), metavar="DIR", help="for all results")
    return parser.parse_args()


def main() -> None:
    """Search on training lines, then measure once."""
    arguments = parse_arguments()
    train, test = read_fixed_split(arguments.data)
    recipe, spelling = search(train, arguments)
    print(f"recipe: names {spelling}, {recipe}\n")
    train, test = respell(train, spelling), respell(test, spelling)
    lines = SequenceDataset.from_pairs(train)
    print(f"train: {lines}\n{lines.report(encode(test, lines))}\n")
    publish(measure(recipe, train, test, arguments), arguments.output / "table.md")


if __name__ == "__main__":
    main()
