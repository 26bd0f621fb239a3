"""What a step of each cell costs: own cells beside the built-in ones on short sequences, minimal cells on long ones.

    python -m benchmarks.cells [--output FILE]

Every line is one training step (forward, loss, backward), the median over rounds in which all take turns, on one thread
and on two.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from benchmarks.table import publish, take_turns
from seqclf import RNNClassifier, cells, pad_collate
from seqclf.data.batch import Batch

SHORT: dict[str, dict[str, Any]] = {
    "`lstm`, packed": {"cell": "lstm", "execution": "packed"},
    "`lstm`, padded": {"cell": "lstm", "execution": "padded"},
    "`lstm`, compiled": {"cell": "lstm", "execution": "native"},
    "`nn.LSTMCell`": {"cell": nn.LSTMCell},
    "`gru`, packed": {"cell": "gru", "execution": "packed"},
    "`gru`, compiled": {"cell": "gru", "execution": "native"},
    "`nn.GRUCell`": {"cell": nn.GRUCell},
    "`PeepholeLSTMCell`": {"cell": cells.PeepholeLSTMCell},
    "`LayerNormLSTMCell`": {"cell": cells.LayerNormLSTMCell},
    "`LayerNormGRUCell`": {"cell": cells.LayerNormGRUCell},
    "`IndRNNCell`": {"cell": cells.IndRNNCell},
    "`MinGRUCell`": {"cell": cells.MinGRUCell},
    "`MinLSTMCell`": {"cell": cells.MinLSTMCell},
    "`lstm`, compiled, recurrent_dropout=0.5": {"cell": "lstm", "execution": "native", "recurrent_dropout": 0.5},
}
LONG: dict[str, dict[str, Any]] = {
    "`gru`, padded": {"cell": "gru", "execution": "padded"},
    "`lstm`, padded": {"cell": "lstm", "execution": "padded"},
    "`gru`, compiled": {"cell": "gru", "execution": "native"},
    "`lstm`, compiled": {"cell": "lstm", "execution": "native"},
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


def table(title: str, options: dict[str, dict[str, Any]], batch: Batch, rounds: int) -> Iterator[str]:
    """Measure, and yield the lines of a Markdown table; ratios are to its first row."""
    columns = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        models = {
            name: RNNClassifier(18, vocab_size=60, hidden_size=128, seed=0, **one) for name, one in options.items()
        }
        steps = {name: train_step(model, batch) for name, model in models.items()}
        columns.append(take_turns(steps, rounds, warm_up=2))
    yield from (title, "", "| cell | 1 thread, ms | ratio | 2 threads, ms | ratio |", "|---|---|---|---|---|")
    for name in options:
        parts = [f"{1000 * column[name]:.1f} | {column[name] / next(iter(column.values())):.2f}" for column in columns]
        yield f"| {name} | {' | '.join(parts)} |"


def tables(rounds: int) -> Iterator[str]:
    """Yield the lines of all tables; long sequences take a tenth of the rounds."""
    short = torch.randint(2, 21, (64,), generator=torch.Generator().manual_seed(1)).tolist()
    yield from table("A training step, batch 64, lengths 2-20, hidden 128:", SHORT, make_batch(short), rounds)
    for size in (1, 4, 32):
        title = f"A training step, batch {size}, length 2,000, hidden 128:"
        yield ""
        yield from table(title, LONG, make_batch([2000] * size), max(1, rounds // 10))


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="where to write the tables")
    parser.add_argument("--rounds", type=int, default=20, help="rounds on short sequences; long ones take a tenth")
    arguments = parser.parse_args()
    publish(tables(arguments.rounds), arguments.output)


if __name__ == "__main__":
    main()
