"""What the rules of `seqclf.defaults` bring on real data: `python -m benchmarks.defaults --names DIR --tasks DIR`.

Each task is trained by the plain call, `for_dataset` and `fit` without an option, over several seeds, beside a linear
model; with `--without`, also with one chosen option left out at a time. What is finished stands in `--output`, a line
of JSON for each run, and is not run again; the tables are written from there. `--tasks` holds the folders `mr` and `cr`
(sentences, tokens apart by blanks), `chess` (openings), `promoters` (windows of DNA) and `series` (.ts files with test
parts of their own).
"""

import argparse
import csv
import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from seqclf import RNNClassifier, SequenceDataset, evaluate, fit, linear_baseline
from seqclf.datasets import load_names
from seqclf.reading import fold_ascii

Pair = tuple[Any, Any]
Split = tuple[SequenceDataset, SequenceDataset]
_FOLDS = 5

# What each rule would be without itself: the option, and the value that is nothing.
WITHOUT: dict[str, dict[str, Any]] = {
    "both directions": {"bidirectional": False},
    "three poolings": {"pooling": "last"},
    "dropout": {"dropout": 0.0},
    "input dropout": {"input_dropout": 0.0},
    "rare symbols": {"symbol_dropout": 0.0},
    "n-grams": {"ngrams": None, "ngram_dropout": 0.0},
    "positions": {"positions": None},
    "standardising": {"standardize": False},
    "one cycle": {"schedule": None},
    "clipping": {"clip_grad_norm": None},
    "label smoothing": {"label_smoothing": 0.0},
    "weight decay": {"weight_decay": 0.0},
    "enough updates": {"epochs": 10},
}
_OF_FIT = {"schedule", "clip_grad_norm", "label_smoothing", "weight_decay", "epochs"}


def encode(train: list[Pair], test: list[Pair]) -> Split:
    """Encode both parts by what the first has."""
    known = SequenceDataset.from_pairs(train)
    return known, SequenceDataset.from_pairs(test, vocabulary=known.vocabulary, classes=known.classes)


def halves(pairs: list[Pair], seed: int) -> Iterator[Split]:
    """Yield one stratified 80/20 split, equal sequences on one side."""
    kept, apart = SequenceDataset.from_pairs(pairs).split_indices(0.2, seed=seed)
    yield encode([pairs[i] for i in kept.tolist()], [pairs[i] for i in apart.tolist()])


def folds(pairs: list[Pair], seed: int) -> Iterator[Split]:
    """Yield five folds in which each class has its share."""
    order = np.random.default_rng(seed).permutation(len(pairs)).tolist()
    order.sort(key=lambda i: str(pairs[i][1]))
    for fold in range(_FOLDS):
        apart = set(order[fold::_FOLDS])
        yield encode([pairs[i] for i in order if i not in apart], [pairs[i] for i in sorted(apart)])


def read_sentences(folder: Path) -> list[Pair]:
    """Read `positive.txt` and `negative.txt`."""
    names = ("positive", "negative")
    lines = [(name, (folder / f"{name}.txt").read_text(encoding="utf-8", errors="replace")) for name in names]
    return [(line.split(), name) for name, text in lines for line in text.splitlines() if line.strip()]


def read_openings(folder: Path) -> list[Pair]:
    """Read chess openings: their moves, and the first letter of their code."""
    pairs: list[Pair] = []
    for path in sorted(folder.glob("*.tsv")):
        with path.open(encoding="utf-8") as file:
            for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
                moves = [word for word in row["pgn"].split() if not word.endswith(".")]
                pairs.append((moves, row["eco"][0]))
    return pairs


def read_windows(path: Path) -> list[Pair]:
    """Read windows of DNA and their class."""
    rows = [line.split(",") for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [(row[2].strip(), row[0]) for row in rows]


def read_series(path: Path, _: int) -> Iterator[Split]:
    """Read a training and a test part in the .ts format."""
    parts = []
    for part in ("TRAIN", "TEST"):
        sequences, labels = [], []
        for line in Path(f"{path}_{part}.ts").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.strip() and line[0] not in "#@":
                *channels, label = line.strip().split(":")
                values = [[float(value) for value in channel.split(",")] for channel in channels]
                sequences.append(np.array(values, np.float32).T)
                labels.append(label)
        parts.append((sequences, labels))
    train = SequenceDataset.from_sequences(*parts[0])
    yield train, SequenceDataset.from_sequences(*parts[1], classes=train.classes)


def fixed_names(folder: Path, _: int) -> Iterator[Split]:
    """Yield the fixed split of the names: line i of each file is a test line where i % 3 == 0."""
    train: list[Pair] = []
    test: list[Pair] = []
    for path in sorted(folder.glob("*.txt")):
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        for number, line in enumerate(lines):
            (test if number % 3 == 0 else train).append((fold_ascii(line), path.stem))
    yield encode(train, test)


def find_tasks(names: Path | None, tasks: Path | None) -> dict[str, Callable[[int], Iterator[Split]]]:
    """Return what there is, by name: each gives the splits for a seed."""
    found: dict[str, Callable[[int], Iterator[Split]]] = {}
    if names is not None:
        found["names"] = lambda seed: halves(load_names(names), seed)
        found["names, fixed split"] = partial(fixed_names, names)
    if tasks is not None:
        found["MR, words"] = lambda seed: halves(read_sentences(tasks / "mr"), seed)
        found["CR, words"] = lambda seed: halves(read_sentences(tasks / "cr"), seed)
        found["chess openings, moves"] = lambda seed: halves(read_openings(tasks / "chess"), seed)
        found["promoters, DNA"] = lambda seed: folds(read_windows(tasks / "promoters" / "promoters.csv"), seed)
        for name in ("BasicMotions", "PickupGestureWiimoteZ", "ItalyPowerDemand"):
            found[name] = partial(read_series, tasks / "series" / name)
    return found


def run(task: str, splits: Iterator[Split], seed: int, without: str | None) -> dict[str, Any]:
    """Train and measure one task for one seed: means over its splits."""
    options = WITHOUT[without] if without else {}
    rows = []
    for train, test in splits:
        start = time.perf_counter()
        own = {name: value for name, value in options.items() if name not in _OF_FIT}
        model = RNNClassifier.for_dataset(train, seed=seed, **own)
        further = {name: value for name, value in options.items() if name in _OF_FIT}
        fit(model, train, seed=seed, progress=False, **further)
        seconds = time.perf_counter() - start
        result = evaluate(model, test)
        row = [result.accuracy, result.loss, result.calibration_error(), seconds]
        if without is None:
            linear = linear_baseline(train, test)
            row += [linear.accuracy, linear.loss, linear.calibration_error()]
        rows.append(row)
    names = ("accuracy", "loss", "ece", "seconds", "linear", "linear_loss", "linear_ece")
    measured = dict(zip(names, np.mean(rows, axis=0).tolist(), strict=False))
    return {"task": task, "seed": seed, "without": without, **measured}


def changes(task: Callable[[int], Iterator[Split]], without: str) -> bool:
    """Whether leaving something out changes anything: the rules must have chosen it."""
    train, _ = next(task(0))
    model = RNNClassifier.for_dataset(train)
    return any(name in _OF_FIT or model.config[name] != value for name, value in WITHOUT[without].items()) and not (
        without in {"rare symbols", "n-grams", "positions"} and train.input_size is not None
    )


def tabulate(runs: list[dict[str, Any]]) -> str:
    """Return the table of the plain call beside the linear model."""
    lines = [
        "| task | accuracy (%) | NLL | ECE | seconds | a linear model: accuracy (%) | NLL | ECE |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for task in dict.fromkeys(one["task"] for one in runs):
        own = [one for one in runs if one["task"] == task and one["without"] is None]
        if own:
            mean = {name: float(np.mean([one[name] for one in own])) for name in own[0] if name not in _TEXTS}
            spread = 100 * float(np.std([one["accuracy"] for one in own]))
            cells = [task, f"{100 * mean['accuracy']:.1f} ± {spread:.1f}", f"{mean['loss']:.3f}", f"{mean['ece']:.3f}"]
            cells += [f"{mean['seconds']:.0f}", f"{100 * mean['linear']:.1f}"]
            cells += [f"{mean['linear_loss']:.3f}", f"{mean['linear_ece']:.3f}"]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def tabulate_without(runs: list[dict[str, Any]]) -> str:
    """Return the table of what each rule brings: by how much accuracy (in points) and NLL change with it."""
    tasks = [task for task in dict.fromkeys(one["task"] for one in runs) if _runs_of(runs, task, "any")]
    lines = [f"| what the rule brings | {' | '.join(tasks)} |", "|---|" + "--:|" * len(tasks)]
    for without in WITHOUT:
        cells = []
        for task in tasks:
            others = _runs_of(runs, task, without)
            seeds = {one["seed"] for one in others}
            own = [one for one in runs if one["task"] == task and one["without"] is None and one["seed"] in seeds]
            if not others or len(own) != len(others):
                cells.append("")
                continue
            gain = 100 * (np.mean([one["accuracy"] for one in own]) - np.mean([one["accuracy"] for one in others]))
            loss = np.mean([one["loss"] for one in own]) - np.mean([one["loss"] for one in others])
            cells.append(f"{gain:+.1f}, {loss:+.3f}")
        lines.append(f"| {without} | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(runs: list[dict[str, Any]], path: Path) -> None:
    """Draw the accuracy of the plain call and of the linear model, task by task, with the seeds as dots."""
    from matplotlib.figure import Figure  # noqa: PLC0415  # an extra

    own = [one for one in runs if one["without"] is None]
    tasks = list(dict.fromkeys(one["task"] for one in own))
    figure = Figure(figsize=(7, 0.5 + 0.5 * len(tasks)), layout="constrained")
    axes = figure.add_subplot()
    for place, (name, told, colour) in enumerate(
        [("accuracy", "the plain call", "#0072b2"), ("linear", "a linear model", "#e69f00")]
    ):
        values = [[100 * one[name] for one in own if one["task"] == task] for task in tasks]
        heights = [number + 0.36 * place - 0.18 for number in range(len(tasks))]
        axes.barh(heights, [np.mean(one) for one in values], 0.34, label=told, color=colour)
        for height, ones in zip(heights, values, strict=True):
            axes.plot(ones, [height] * len(ones), ".", color="black", markersize=4)
            axes.text(100.8, height, f"{np.mean(ones):.1f}", va="center", fontsize=8)
    axes.set_yticks(range(len(tasks)), tasks)
    axes.set_ylim(len(tasks) - 0.5, -0.5)
    axes.set_xlim(50, 106)
    axes.set_xlabel("test accuracy (%); dots are seeds")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.savefig(path, dpi=150)


_TEXTS = {"task", "without"}


def _runs_of(runs: list[dict[str, Any]], task: str, without: str) -> list[dict[str, Any]]:
    wanted = WITHOUT if without == "any" else {without}
    return [one for one in runs if one["task"] == task and one["without"] in wanted]


def main() -> None:
    """Run what is not there yet, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--names", type=Path, help="the folder of the names")
    parser.add_argument("--tasks", type=Path, help="the folder of the other tasks")
    parser.add_argument("--only", nargs="+", default=[], help="tasks whose names contain one of these")
    parser.add_argument("--seeds", type=int, default=3, help="how many (default: %(default)s)")
    parser.add_argument("--without", action="store_true", help="also leave out one rule at a time")
    parser.add_argument("--output", type=Path, default=Path("defaults"), help="a folder (default: %(default)s)")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    path = arguments.output / "runs.jsonl"
    runs = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    done = {(one["task"], one["seed"], one["without"]) for one in runs}
    for task, splits in find_tasks(arguments.names, arguments.tasks).items():
        if arguments.only and not any(part in task for part in arguments.only):
            continue
        for without in [None, *(WITHOUT if arguments.without else ())]:
            if without is not None and not changes(splits, without):
                continue
            for seed in range(arguments.seeds):
                if (task, seed, without) not in done:
                    runs.append(run(task, splits(seed), seed, without))
                    with path.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(runs[-1]) + "\n")
                    print(runs[-1], flush=True)
    for name, table in (("table", tabulate(runs)), ("without", tabulate_without(runs))):
        (arguments.output / f"{name}.md").write_text(table + "\n", encoding="utf-8")
        print(table + "\n")
    draw(runs, arguments.output / "accuracy.png")


if __name__ == "__main__":
    main()
