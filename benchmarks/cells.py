"""What a step of each cell costs: own cells beside torch's kernels on short sequences, minimal cells on long ones.

    python benchmarks/cells.py [--output FILE]

Every line is one training step (forward, loss, backward), the median over rounds in which all take turns, on one thread
and on two.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from seqclf import RNNClassifier, cells, pad_collate
from seqclf.data.batch import Batch

SHORT: dict[str, dict[str, Any]] = {
    "`lstm`, packed": {"cell": "lstm", "execution": "packed"},
    "`lstm`, padded": {"cell": "lstm", "execution": "padded"},
    "`nn.LSTMCell`": {"cell": nn.LSTMCell},
    "`gru`, packed": {"cell": "gru", "execution": "packed"},
    "`nn.GRUCell`": {"cell": nn.GRUCell},
    "`PeepholeLSTMCell`": {"cell": cells.PeepholeLSTMCell},
    "`LayerNormLSTMCell`": {"cell": cells.LayerNormLSTMCell},
    "`LayerNormGRUCell`": {"cell": cells.LayerNormGRUCell},
    "`IndRNNCell`": {"cell": cells.IndRNNCell},
    "`MinGRUCell`": {"cell": cells.MinGRUCell},
    "`MinLSTMCell`": {"cell": cells.MinLSTMCell},
    "`lstm`, recurrent_dropout=0.5": {"cell": "lstm", "recurrent_dropout": 0.5},
}
LONG: dict[str, dict[str, Any]] = {
    "`gru`, padded": {"cell": "gru", "execution": "padded"},
    "`lstm`, padded": {"cell": "lstm", "execution": "padded"},
    "`MinGRUCell`": {"cell": cells.MinGRUCell},
    "`MinLSTMCell`": {"cell": cells.MinLSTMCell},
    "`IndRNNCell`": {"cell": cells.IndRNNCell},
}


def make_batch(lengths: Sequence[int], seed: int = 0) -> Batch:
    """Make a batch of random ids."""
    generator = torch.Generator().manual_seed(seed)
    return pad_collate([(torch.randint(2, 60, (length,), generator=generator), 0) for length in lengths])


def train_step(model: RNNClassifier, batch: Batch) -> Callable[[], None]:
    """Return what makes one training step, without the optimiser."""
    labels = batch.labels
    assert isinstance(labels, Tensor)

    def step() -> None:
        model.zero_grad(set_to_none=True)
        torch.autograd.backward(cross_entropy(model(batch.inputs, batch.lengths), labels))

    return step


def take_turns(steps: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Return the median milliseconds of each step, over rounds in which each is made once."""
    found: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(rounds + 2):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            if number >= 2:  # the first rounds warm up
                found[name].append(1000 * (time.perf_counter() - start))
    return {name: statistics.median(times) for name, times in found.items()}


def table(title: str, options: dict[str, dict[str, Any]], batch: Batch, hidden_size: int, rounds: int) -> str:
    """Measure, and return a Markdown table; ratios are to the first line."""
    columns = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        models = {
            name: RNNClassifier(18, vocab_size=60, hidden_size=hidden_size, seed=0, **one)
            for name, one in options.items()
        }
        columns.append(take_turns({name: train_step(model, batch) for name, model in models.items()}, rounds))
    lines = [title, "", "| cell | 1 thread, ms | ratio | 2 threads, ms | ratio |", "|---|---|---|---|---|"]
    for name in options:
        parts = [f"{column[name]:.1f} | {column[name] / next(iter(column.values())):.2f}" for column in columns]
        lines.append(f"| {name} | {' | '.join(parts)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="where to write the tables")
    parser.add_argument("--rounds", type=int, default=20, help="rounds on short sequences; long ones take a tenth")
    arguments = parser.parse_args()
    few = max(1, arguments.rounds // 10)
    lengths = torch.randint(2, 21, (64,), generator=torch.Generator().manual_seed(1)).tolist()
    parts = [
        table(
            "A training step, batch 64, lengths 2-20, hidden 128:",
            SHORT,
            make_batch(lengths),
            128,
            rounds=arguments.rounds,
        ),
        table("A training step, batch 1, length 2,000, hidden 128:", LONG, make_batch([2000]), 128, rounds=few),
        table("A training step, batch 4, length 2,000, hidden 128:", LONG, make_batch([2000] * 4), 128, rounds=few),
        table("A training step, batch 32, length 2,000, hidden 128:", LONG, make_batch([2000] * 32), 128, rounds=few),
    ]
    text = "\n".join(parts)
    print(text)
    if arguments.output:
        arguments.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
