"""onnxruntime beside the library, with the same models on the same names: python -m benchmarks.onnx_runtime.

Bulk is all names: by onnxruntime in batches of 256, sorted by length and padded; by `predict_proba`. Single is one name
after another: by onnxruntime as an array of one row; by a `Predictor`. Both are warm, and take turns; a row gives the
medians of the rounds. Encoding counts for both, by the library's vocabulary. Prints a table in Markdown.
"""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

from benchmarks.table import names_parser, publish, take_turns
from seqclf import Predictor, RNNClassifier, SequenceDataset, export, predict_proba
from seqclf.datasets import load_names
from seqclf.defaults import PLAIN

ROWS: list[tuple[Any, int, bool]] = [
    (cell, layers, both) for cell in ("lstm", "gru", "rnn") for layers, both in ((1, False), (1, True), (2, True))
]


def in_bulk(session: onnxruntime.InferenceSession, model: RNNClassifier, names: list[str]) -> None:
    """Answer all names in batches of like lengths."""
    assert model.vocabulary is not None
    values, offsets = model.vocabulary.encode_flat(names)
    lengths = np.diff(offsets.numpy())
    order, flat = np.argsort(lengths, kind="stable"), values.numpy()
    answers = np.empty((len(names), model.num_classes), np.float32)
    for start in range(0, len(names), 256):
        chosen = order[start : start + 256]
        own = lengths[chosen]
        inputs = np.zeros((len(chosen), own.max()), np.int64)
        inputs[np.arange(own.max()) < own[:, None]] = np.concatenate(
            [flat[offsets[index] : offsets[index + 1]] for index in chosen.tolist()]
        )
        (answers[chosen],) = session.run(["probabilities"], {"inputs": inputs, "lengths": own.astype(np.int64)})


def one_by_one(session: onnxruntime.InferenceSession, model: RNNClassifier, names: list[str]) -> None:
    """Answer one name after another."""
    assert model.vocabulary is not None
    for name in names:
        ids = np.array([model.vocabulary.to_ids(name)])
        session.run(["probabilities"], {"inputs": ids, "lengths": np.array([len(name)])})


def measure(model: RNNClassifier, names: list[str], rounds: int, threads: int) -> list[float]:
    """Return the largest difference, and names a second: bulk and single, of onnxruntime and of the library."""
    with tempfile.TemporaryDirectory() as folder:
        difference = export(model, Path(folder) / "model.onnx", check_shapes=200)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(Path(folder) / "model.onnx", options)
    predictor, few = Predictor(model), names[:: max(1, len(names) // 1000)]
    ways: dict[str, Callable[[], object]] = {
        "bulk, onnxruntime": lambda: in_bulk(session, model, names),
        "bulk, seqclf": lambda: predict_proba(model, names),
        "single, onnxruntime": lambda: one_by_one(session, model, few),
        "single, seqclf": lambda: [predictor.predict_proba(name) for name in few],
    }
    taken = take_turns(ways, rounds)
    return [difference, *(len(names if "bulk" in way else few) / seconds for way, seconds in taken.items())]


def table(data: str, rounds: int, threads: int) -> Iterator[str]:
    """Yield the lines of the table."""
    torch.set_num_threads(threads)
    dataset = SequenceDataset.from_pairs(load_names(data))
    names = [name for name, _ in load_names(data)]
    yield (
        "| model, hidden 128 | largest difference | bulk, onnxruntime | bulk, seqclf | ratio | single, onnxruntime |"
        " single, seqclf | ratio |"
    )
    yield "|---|--:|--:|--:|--:|--:|--:|--:|"
    for cell, layers, both in ROWS:
        options = PLAIN | {"cell": cell, "num_layers": layers, "bidirectional": both}
        model = RNNClassifier.for_dataset(dataset, **options, seed=0).eval()
        difference, *speeds = measure(model, names, rounds, threads)
        name = f"{cell}, {layers} layer{'s' * (layers > 1)}{', both ways' * both}"
        pairs = [f"{theirs:,.0f} | {ours:,.0f} | {ours / theirs:.2f}" for theirs, ours in (speeds[:2], speeds[2:])]
        yield f"| {name} | {difference:.1e} | {' | '.join(pairs)} |"


if __name__ == "__main__":
    parser = names_parser("onnxruntime beside the library.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    publish(table(arguments.data, arguments.rounds, arguments.threads), arguments.output)
