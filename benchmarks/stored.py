"""What a store in a folder costs: to write it as a stream, to sample an epoch from it, and the memory of both.

    python -m benchmarks.stored [--largest 10000000] [--output FILE]

Each size runs in a process of its own. Memory is over what the process had when everything was imported and warm: its
own, and what is resident at most with the mapped files, whose pages the system takes back where memory is short.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.command import in_own_process
from benchmarks.machine import peak_memory
from benchmarks.scale import sizes_up_to
from benchmarks.table import publish
from seqclf import BucketBatchSampler, SequenceDataset
from seqclf.data.packing import pack_batches

_LETTERS = np.array(list("abcdefghijklmnopqrstuvwxyz"))
_LENGTHS = (2, 12)  # 7 on average
_CHUNK = 10_000
_BATCH_SIZE = 256


def random_pairs(count: int) -> Iterator[tuple[str, str]]:
    """Yield random words, each with one of 18 labels, made some at a time."""
    rng = np.random.default_rng(0)
    for start in range(0, count, _CHUNK):
        lengths = rng.integers(_LENGTHS[0], _LENGTHS[1] + 1, min(_CHUNK, count - start))
        text = "".join(rng.choice(_LETTERS, lengths.sum()))
        labels = rng.integers(0, 18, len(lengths)).tolist()
        end = 0
        for length, label in zip(lengths.tolist(), labels, strict=True):
            yield text[end : end + length], f"class {label}"
            end += length


def measure_store(count: int) -> dict[str, Any]:
    """Write so many sequences, open them, and go through all batches of an epoch."""
    with tempfile.TemporaryDirectory() as folder:
        _write_and_read(folder, 1000)
        before, own = peak_memory() or 0, own_memory()
        found = _write_and_read(f"{folder}/large", count)
        size = sum(path.stat().st_size for path in Path(folder, "large").iterdir())
    return found | {
        "sequences": count,
        "growth": (peak_memory() or 0) - before,
        "own": found["own"] - own,
        "size": size,
    }


def own_memory() -> int:
    """Return the bytes that this process has of its own, without files that are mapped; on Linux."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))


def _write_and_read(folder: str, count: int) -> dict[str, Any]:
    start = time.perf_counter()
    dataset = SequenceDataset.write(folder, random_pairs(count))
    written = time.perf_counter()
    dataset = SequenceDataset.open(folder)
    opened = time.perf_counter()
    sampler = BucketBatchSampler(dataset.sequences.sizes, _BATCH_SIZE, seed=0)
    steps, own = 0, own_memory()
    for number, batch in enumerate(pack_batches(dataset.sequences, dataset.compact_labels, sampler.arrays())):
        steps += len(batch.inputs.data)
        if number % 100 == 0:
            own = max(own, own_memory())
    sampled = time.perf_counter()
    if steps != dataset.sequences.total:
        raise AssertionError("every step must come once")
    return {
        "steps": steps,
        "own": own,
        "write_seconds": written - start,
        "open_seconds": opened - written,
        "epoch_seconds": sampled - opened,
    }


def table(largest: int) -> Iterator[str]:
    """Yield the lines of the table."""
    yield (
        "| sequences | steps | MB on disk | write, s | open and check, s | sample an epoch, s | own memory, MB more "
        "| with mapped files, MB more |"
    )
    yield "|--:|--:|--:|--:|--:|--:|--:|--:|"
    for count in sizes_up_to(largest):
        found = in_own_process(measure_store, count)
        seconds = " | ".join(f"{found[name]:.2f}" for name in ("write_seconds", "open_seconds", "epoch_seconds"))
        yield (
            f"| {found['sequences']:,} | {found['steps']:,} | {found['size'] / 1e6:,.1f} | {seconds} "
            f"| {found['own'] / 1e6:,.0f} | {found['growth'] / 1e6:,.0f} |"
        )


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--largest", type=int, default=10_000_000, help="the most sequences")
    parser.add_argument("--output", type=Path, help="where to write the table")
    arguments = parser.parse_args()
    publish(table(arguments.largest), arguments.output)


if __name__ == "__main__":
    main()
