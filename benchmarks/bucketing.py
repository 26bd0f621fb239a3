"""Whether batches of like lengths cost accuracy: training with and without bucketing, over several seeds.

    python -m benchmarks.bucketing FOLDER [--seeds 5] [--output FILE]

Each seed makes its own split, model and order of batches. The difference is taken seed by seed, for the split alone
moves the accuracy more than anything else here.
"""

import argparse
import statistics
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from unittest.mock import patch

from benchmarks.table import publish
from seqclf import BucketBatchSampler, RNNClassifier, SequenceDataset, evaluate, fit
from seqclf.datasets import load_names
from seqclf.defaults import PLAIN

SIZES = (30, 256)
EPOCHS = 10


def train_once(dataset: SequenceDataset, batch_size: int, seed: int, window: int) -> tuple[float, float]:
    """Train, and return the accuracy on the test part and the seconds that training took."""
    train, test = dataset.split(0.2, seed=seed)
    model = RNNClassifier.for_dataset(train, hidden_size=128, seed=seed, **PLAIN)
    start = time.perf_counter()
    with patch("seqclf.training.fit.BucketBatchSampler", partial(BucketBatchSampler, window=window)):
        fit(model, train, epochs=EPOCHS, batch_size=batch_size, seed=seed, device="cpu", progress=False)
    return evaluate(model, test).accuracy, time.perf_counter() - start


def row(dataset: SequenceDataset, batch_size: int, seeds: int) -> str:
    """Measure one batch size, and return its line of the table."""
    results = {window: [train_once(dataset, batch_size, seed, window) for seed in range(seeds)] for window in (50, 1)}
    accuracies = {window: [100 * accuracy for accuracy, _ in found] for window, found in results.items()}
    seconds = {window: statistics.mean(one for _, one in found) for window, found in results.items()}
    differences = [on - off for on, off in zip(accuracies[50], accuracies[1], strict=True)]
    cells = [f"{statistics.mean(found):.1f} ± {statistics.stdev(found):.1f}" for found in accuracies.values()]
    spread = statistics.stdev(differences)
    return (
        f"| {batch_size} | {cells[0]} | {cells[1]} | {statistics.mean(differences):+.2f} ± {spread:.2f} "
        f"| {seconds[50]:.1f} | {seconds[1]:.1f} |"
    )


def table(dataset: SequenceDataset, seeds: int) -> Iterator[str]:
    """Yield the lines of the table."""
    yield f"LSTM, hidden 128, {EPOCHS} epochs; test accuracy in percent, mean ± standard deviation over {seeds} seeds."
    yield from (
        "",
        "| batch size | bucketed | plain | difference | bucketed, s | plain, s |",
        "|---|---|---|---|---|---|",
    )
    for batch_size in SIZES:
        yield row(dataset, batch_size, seeds)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="the folder of the names data")
    parser.add_argument("--seeds", type=int, default=5, help="how many seeds")
    parser.add_argument("--output", type=Path, help="where to write the table")
    arguments = parser.parse_args()
    publish(table(SequenceDataset.from_pairs(load_names(arguments.folder)), arguments.seeds), arguments.output)


if __name__ == "__main__":
    main()
