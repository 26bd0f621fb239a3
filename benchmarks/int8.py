"""What onnxruntime's int8 costs and brings for exported models: python -m benchmarks.int8 [--tasks FOLDER].

`fit`'s plain call trains on four fifths of the names, and of the sentences of film reviews where `--tasks` holds the
folder `mr`; the rest is the test part. The model is exported, and `quantize_dynamic` makes weights of 8 bits of it, by
which activations are rounded to 8 bits as they come. Prints a table in Markdown: the size of the files; the median time
of one answer, and of 64 at once, padded; the accuracy where sequences are answered one by one, and in batches of 64 as
they come; how many labels differ between these two, and by how much a probability. Beside it the library's own, by a
`Predictor` and by `predict_proba`. Of the runtime time is without encoding, of the library with it.
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
import torch
from onnxruntime.quantization import quantize_dynamic

from benchmarks.defaults import read_sentences
from benchmarks.table import names_parser, publish, take_turns
from seqclf import Predictor, RNNClassifier, SequenceDataset, export, fit, predict_proba, save
from seqclf.datasets import load_names

Ids = list[npt.NDArray[np.int64]]
Probabilities = npt.NDArray[Any]

SIZES = 1, 64  # how many sequences are answered at once
SOME = 256  # sequences that are timed


def by_runtime(session: onnxruntime.InferenceSession, ids: Ids, size: int) -> Probabilities:
    """Return the probabilities of each sequence (n, C), `size` at once as they come."""
    found = []
    for start in range(0, len(ids), size):
        chunk = ids[start : start + size]
        lengths = np.array([len(one) for one in chunk])
        inputs = np.zeros((len(chunk), lengths.max()), np.int64)
        inputs[np.arange(lengths.max()) < lengths[:, None]] = np.concatenate(chunk)
        found.append(session.run(["probabilities"], {"inputs": inputs, "lengths": lengths})[0])
    return np.concatenate(found)


def by_library(predictor: Predictor, model: RNNClassifier, sequences: list[Any], size: int) -> Probabilities:
    """Return the same, from raw sequences."""
    if size == 1:
        return np.stack([predictor.predict_proba(one) for one in sequences])
    starts = range(0, len(sequences), size)
    return np.concatenate([predict_proba(model, sequences[start : start + size]) for start in starts])


def rows(task: str, pairs: list[tuple[Any, str]], rounds: int, epochs: int | None, threads: int) -> Iterator[str]:
    """Train on a task, and yield a row for each way to answer."""
    torch.set_num_threads(threads)
    train_at, test_at = SequenceDataset.from_pairs(pairs).split_indices(0.2, seed=0)
    train = SequenceDataset.from_pairs([pairs[place] for place in train_at])
    model = RNNClassifier.for_dataset(train, seed=0)
    fit(model, train, epochs="auto" if epochs is None else epochs, seed=0, progress=False)
    assert model.vocabulary is not None
    sequences, labels = [pairs[place][0] for place in test_at], [pairs[place][1] for place in test_at]
    ids = [np.array(model.vocabulary.to_ids(sequence)) for sequence in sequences]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ("model.safetensors", "float32.onnx", "int8.onnx")]
        save(model, files[0])
        export(model, files[1])
        quantize_dynamic(files[1], files[2])
        kilobytes = [path.stat().st_size / 1000 for path in files]
        sessions = [onnxruntime.InferenceSession(path, options) for path in files[1:]]
    own = partial(by_library, Predictor(model), model)
    ways = {"seqclf": (own, sequences)} | {
        f"onnxruntime, {kind}": (partial(by_runtime, session), ids)
        for kind, session in zip(("float32", "int8"), sessions, strict=True)
    }
    seconds = take_turns(
        {f"{name}, {size}": partial(way, given[:SOME], size) for name, (way, given) in ways.items() for size in SIZES},
        rounds,
    )
    truth = np.array([train.classes.index(label) for label in labels])
    for (name, (way, given)), size_of_file in zip(ways.items(), kilobytes, strict=True):
        alone, together = (way(given, size) for size in SIZES)
        times = " | ".join(f"{1e3 * seconds[f'{name}, {size}'] / SOME * size:.3f}" for size in SIZES)
        accuracies = " | ".join(f"{100 * np.mean(found.argmax(1) == truth):.2f}" for found in (alone, together))
        changed = np.sum(alone.argmax(1) != together.argmax(1))
        yield (
            f"| {task} | {name} | {size_of_file:,.0f} | {times} | {accuracies} | "
            f"{changed} of {len(labels):,} | {np.abs(alone - together).max():.1e} |"
        )


def table(data: str, tasks: Path | None, rounds: int, epochs: int | None, threads: int) -> Iterator[str]:
    """Yield the lines of the table."""
    yield (
        "| task | by | file (kB) | one sequence (ms) | 64 at once (ms) | accuracy (%), one by one |"
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
