"""What averaging the answers of several seeds brings, on the names: python -m benchmarks.averaging [--data FOLDER].

`fit`'s plain call trains models that differ in their seed alone on four fifths of the names, and they are measured on
the rest, where no name stands that was trained on: each by itself, and the mean of their probabilities. Prints a table
in Markdown, a line for each split, and one for the mean of all.
"""

from collections.abc import Callable, Iterator
from statistics import mean

from benchmarks.table import names_parser, publish
from seqclf import Evaluation, RNNClassifier, SequenceDataset, evaluate, fit
from seqclf.datasets import load_names

FIGURES: dict[str, tuple[Callable[[Evaluation], float], int]] = {
    "accuracy (%)": (lambda result: 100 * result.accuracy, 2),
    "macro-F1": (lambda result: result.macro_f1, 3),
    "NLL": (lambda result: result.loss, 3),
    "calibration error": (lambda result: result.calibration_error(), 3),
}


def measure(pairs: list[tuple[str, str]], seeds: int, split: int) -> list[list[float]]:
    """Return for each figure what each model has, and last what their average has."""
    train, test = SequenceDataset.from_pairs(pairs).split(0.2, seed=split)
    models = []
    for seed in range(seeds):
        models.append(RNNClassifier.for_dataset(train, seed=seed))
        fit(models[-1], train, seed=seed, progress=False)
    results = [*(evaluate(model, test) for model in models), evaluate(models, test)]
    return [[figure(result) for result in results] for figure, _ in FIGURES.values()]


def table(data: str, seeds: int, splits: int) -> Iterator[str]:
    """Yield the lines of the table."""
    pairs = load_names(data)
    yield "| split | " + " | ".join(f"{name} of each | of the average" for name in FIGURES) + " |"
    yield "|--:|" + "--:|--:|" * len(FIGURES)
    runs = []
    for split in range(splits):
        runs.append(measure(pairs, seeds, split))
        cells = []
        for (_, digits), figures in zip(FIGURES.values(), runs[-1], strict=True):
            cells += [", ".join(f"{one:.{digits}f}" for one in figures[:-1]), f"{figures[-1]:.{digits}f}"]
        yield f"| {split} | {' | '.join(cells)} |"
    cells = []
    for place, (_, digits) in enumerate(FIGURES.values()):
        alone = mean(one for run in runs for one in run[place][:-1])
        cells += [f"{alone:.{digits}f}", f"{mean(run[place][-1] for run in runs):.{digits}f}"]
    yield f"| mean | {' | '.join(cells)} |"


if __name__ == "__main__":
    parser = names_parser("What averaging seeds brings.")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--splits", type=int, default=3)
    arguments = parser.parse_args()
    publish(table(arguments.data, arguments.seeds, arguments.splits), arguments.output)
