"""What onnxruntime's int8 costs and brings for exported models: python -m benchmarks.int8 [--tasks FOLDER].

`fit`'s plain call trains on four fifths of the names, and of the sentences of film reviews where `--tasks` holds the
folder `mr`; the rest is the test part. The model is exported, and `quantize_dynamic` makes weights of 8 bits of it, by
which activations are rounded to 8 bits as they come. Prints a table in Markdown: the size of the files; the median time
of one answer, and of 64 at once, padded; the accuracy where sequences are answered one by one, and in batches of 64 as
they come; how many labels differ between these two, and by how much a probability. Time is the runtime's alone, without
encoding.
"""

import argparse
import logging
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnxruntime.quantization import quantize_dynamic

from benchmarks.defaults import read_sentences
from benchmarks.table import names_parser, publish, take_turns
from seqclf import RNNClassifier, SequenceDataset, export, fit
from seqclf.datasets import load_names

Ids = list[npt.NDArray[np.int64]]

BATCH = 64


def answer(session: onnxruntime.InferenceSession, sequences: Ids, size: int) -> npt.NDArray[Any]:
    """Return the probabilities of each sequence (n, C), `size` at once as they come."""
    found = []
    for start in range(0, len(sequences), size):
        chunk = sequences[start : start + size]
        lengths = np.array([len(ids) for ids in chunk])
        inputs = np.zeros((len(chunk), lengths.max()), np.int64)
        inputs[np.arange(lengths.max()) < lengths[:, None]] = np.concatenate(chunk)
        found.append(session.run(["probabilities"], {"inputs": inputs, "lengths": lengths})[0])
    return np.concatenate(found)


def rows(task: str, pairs: list[tuple[Any, str]], rounds: int, epochs: int | None, threads: int) -> Iterator[str]:
    """Train on a task, and yield a row for each file."""
    train, test = SequenceDataset.from_pairs(pairs).split(0.2, seed=0)
    model = RNNClassifier.for_dataset(train, seed=0)
    fit(model, train, epochs="auto" if epochs is None else epochs, seed=0, progress=False)
    sequences = [test.sequences[index].numpy().astype(np.int64) for index in range(len(test))]
    few, labels = sequences[: 4 * BATCH], test.labels.numpy()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    with tempfile.TemporaryDirectory() as folder:
        files = {kind: Path(folder) / f"{kind}.onnx" for kind in ("float32", "int8")}
        export(model, files["float32"])
        quantize_dynamic(files["float32"], files["int8"])
        sizes = {kind: path.stat().st_size for kind, path in files.items()}
        sessions = {kind: onnxruntime.InferenceSession(path, options) for kind, path in files.items()}
    ways = {(kind, size): partial(answer, sessions[kind], few, size) for kind in files for size in (1, BATCH)}
    seconds = take_turns({f"{kind}, {size}": way for (kind, size), way in ways.items()}, rounds)
    for kind, session in sessions.items():
        alone, together = (answer(session, sequences, size) for size in (1, BATCH))
        single, batch = (1e3 * seconds[f"{kind}, {size}"] / len(few) * size for size in (1, BATCH))
        accuracies = " | ".join(f"{100 * np.mean(found.argmax(1) == labels):.2f}" for found in (alone, together))
        changed = np.sum(alone.argmax(1) != together.argmax(1))
        yield (
            f"| {task} | {kind} | {sizes[kind] / 1000:,.0f} | {single:.3f} | {batch:.2f} | {accuracies} | "
            f"{changed} of {len(labels):,} | {np.abs(alone - together).max():.1e} |"
        )


def table(data: str, tasks: Path | None, rounds: int, epochs: int | None, threads: int) -> Iterator[str]:
    """Yield the lines of the table."""
    yield (
        "| task | weights | file (kB) | one sequence (ms) | 64 at once (ms) | accuracy (%), one by one |"
        " in batches of 64 | labels that the batch changes | probabilities, by up to |"
    )
    yield "|---|---|--:|--:|--:|--:|--:|--:|--:|"
    yield from rows("names", load_names(data), rounds, epochs, threads)
    if tasks is not None:
        yield from rows("MR, words", read_sentences(tasks / "mr"), rounds, epochs, threads)


def main() -> None:
    """Print the table."""
    parser: argparse.ArgumentParser = names_parser("What int8 costs and brings.")
    parser.add_argument("--tasks", type=Path, help="a folder that holds the folder mr")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--epochs", type=int, help="in place of as many as fit chooses")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    logging.getLogger().setLevel(logging.ERROR)  # what quantize_dynamic advises is of use to other kinds of models
    publish(
        table(arguments.data, arguments.tasks, arguments.rounds, arguments.epochs, arguments.threads), arguments.output
    )


if __name__ == "__main__":
    main()
