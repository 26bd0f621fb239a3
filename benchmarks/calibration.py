"""What `calibrate` does for probabilities, on the names: python -m benchmarks.calibration.

Trains on three quarters of the names, calibrates on a tenth of those, and measures on the rest, where no name stands
that was trained on. Prints a table in Markdown, mean ± standard deviation over seeds.
"""

from collections.abc import Iterator
from statistics import mean, stdev
from typing import Any

from benchmarks.table import names_parser, publish
from seqclf import RNNClassifier, SequenceDataset, calibrate, evaluate, fit
from seqclf.datasets import load_names
from seqclf.defaults import PLAIN

MODELS: dict[str, dict[str, Any]] = {
    "LSTM, 10 epochs": {"cell": "lstm", "epochs": 10},
    "LSTM, 25 epochs": {"cell": "lstm", "epochs": 25},
    "GRU, 25 epochs": {"cell": "gru", "epochs": 25},
}


def measure(pairs: list[tuple[str, str]], cell: Any, epochs: int, seed: int) -> list[float]:
    """Return the temperature, and calibration error, NLL and accuracy, each before and after."""
    rest, test = SequenceDataset.from_pairs(pairs).split(0.25, seed=seed)
    train, validation = rest.split(0.1, seed=seed)
    model = RNNClassifier.for_dataset(train, cell=cell, **(PLAIN | {"bidirectional": True}), seed=seed)
    fit(model, train, epochs=epochs, seed=seed, progress=False)
    before = evaluate(model, test)
    temperature = calibrate(model, validation)
    after = evaluate(model, test)
    figures = [temperature]
    for one, other in (
        (r.calibration_error() for r in (before, after)),
        (r.loss for r in (before, after)),
        (r.accuracy for r in (before, after)),
    ):
        figures += [one, other]
    return figures


def table(data: str, seeds: int) -> Iterator[str]:
    """Yield the lines of the table."""
    pairs = load_names(data)
    yield (
        "| model, hidden 128, both ways | temperature | calibration error before | after | NLL before | after |"
        " accuracy (%) before | after |"
    )
    yield "|---|--:|--:|--:|--:|--:|--:|--:|"
    for name, options in MODELS.items():
        runs = list(zip(*(measure(pairs, **options, seed=seed) for seed in range(seeds)), strict=True))
        cells = [f"{mean(one):.3f} ± {stdev(one):.3f}" for one in runs[:5]]
        cells += [f"{100 * mean(one):.2f} ± {100 * stdev(one):.2f}" for one in runs[5:]]
        yield f"| {name} | {' | '.join(cells)} |"


if __name__ == "__main__":
    parser = names_parser("What calibration does for probabilities.")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    publish(table(arguments.data, arguments.seeds), arguments.output)
