"""Scale: how the seconds and the memory of an epoch grow with the number of sequences."""

import time
from typing import Any

import numpy as np
import torch

from benchmarks.machine import peak_memory
from seqclf import BucketBatchSampler, RNNClassifier, SequenceDataset, Vocabulary, fit
from seqclf.data.ragged import Ragged
from seqclf.defaults import PLAIN

SHORTEST, LONGEST, BATCH_SIZE = 2, 20, 256
_SYMBOLS, _CLASSES = 57, 18


def sizes_up_to(largest: int) -> list[int]:
    """Return the powers of ten from 10^4 to the largest that is wanted."""
    return [10**power for power in range(4, 19) if 10**power <= largest]


def random_dataset(count: int) -> SequenceDataset:
    """Make random sequences as a store at once: as texts they would be most of the memory that is measured."""
    rng = np.random.default_rng(0)
    offsets = torch.zeros(count + 1, dtype=torch.int64)
    offsets[1:] = torch.from_numpy(np.cumsum(rng.integers(SHORTEST, LONGEST + 1, count, np.int64)))
    values = torch.from_numpy(rng.integers(2, 2 + _SYMBOLS, int(offsets[-1]), np.uint8))
    labels = torch.from_numpy(rng.integers(0, _CLASSES, count))
    classes = tuple(range(_CLASSES))
    return SequenceDataset(Ragged(values, offsets), labels, classes, Vocabulary(range(2, 2 + _SYMBOLS)))


def measure_size(count: int) -> dict[str, Any]:
    """Measure one size; meant for a process of its own, whose peak is then of this size alone."""
    _train(random_dataset(1000))  # torch loads parts of itself at the first update
    before = peak_memory()
    dataset = random_dataset(count)
    start = time.perf_counter()
    for indices in BucketBatchSampler(dataset.lengths, BATCH_SIZE, seed=0):
        dataset.batch(indices)
    data_seconds = time.perf_counter() - start
    return {
        "sequences": count,
        "data_seconds": data_seconds,
        "epoch_seconds": _train(dataset),
        "memory_before": before,
        "memory": peak_memory(),
    }


def _train(dataset: SequenceDataset) -> float:
    """Return the seconds of an epoch of a model that is as good as none."""
    model = RNNClassifier.for_dataset(dataset, cell="gru", embedding_dim=4, hidden_size=4, seed=0, **PLAIN)
    start = time.perf_counter()
    fit(model, dataset, epochs=1, batch_size=BATCH_SIZE, device="cpu", progress=False)
    return time.perf_counter() - start


def with_exponents(sizes: list[dict[str, Any]]) -> dict[str, Any]:
    """Add how the seconds grow: the slope of a line through their logarithms; 1 is in proportion."""
    logs = np.log([one["sequences"] for one in sizes])
    exponents = {
        name: float(np.polyfit(logs, np.log([one[f"{name}_seconds"] for one in sizes]), 1)[0])
        for name in ("data", "epoch")
        if len(sizes) > 1
    }
    facts = {"shortest": SHORTEST, "longest": LONGEST, "batch_size": BATCH_SIZE}
    return facts | {"sizes": sizes, "exponents": exponents}
