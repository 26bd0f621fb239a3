"""Fit what each way to run an encoder costs, so that `execution="auto"` chooses by measurement.

    python -m benchmarks.costs [--rounds 9] [--output src/seqclf/models/execution/costs.json]

Every way runs batches of many shapes, in turns, in training and without a gradient. For each cell the milliseconds of a
way are fitted as a sum of what a call, a step, a row of a step, and a product cost, none of them negative, with equal
weight on relative errors. What is written are these coefficients; what is printed, how well the choice that they make
does: the time it takes over that of the best way, shape by shape.
"""

import argparse
import itertools
import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.optimize import nnls
from seqclf.models.direct import step_directly
from seqclf.models.execution import encode
from seqclf.models.execution.choice import KERNELS, WAYS, KernelName, Shape, WayName, cost, features, kernel_of
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence

from benchmarks.table import take_turns
from seqclf.models.classifier import RNNClassifier
from seqclf.training.objective import Objective

HERE = Path(__file__).parent
OUTPUT = HERE.parent / "src" / "seqclf" / "models" / "execution" / "costs.json"
CELLS: dict[str, Callable[..., nn.RNNBase]] = {"LSTM": nn.LSTM, "GRU": nn.GRU, "RNN_TANH": nn.RNN}
WAY_OF: dict[KernelName, WayName] = {
    "fused": "fused",
    "single": "fused",
    "padded": "padded",
    "packed": "packed",
    "level": "packed",
}
SYMBOLS, EMBEDDING = 57, 64
LARGEST = 1 << 20  # rows times features of a state, so that no shape takes minutes


def shapes() -> list[tuple[int, int, int, bool]]:
    """Return (batch size, longest, hidden size, whether lengths differ)."""
    grid = itertools.product((1, 4, 16, 64, 256, 1024), (1, 3, 7, 20, 80, 300), (32, 128, 256, 512), (False, True))
    return [one for one in grid if one[0] * one[1] * one[2] <= LARGEST and (one[0] > 1 or not one[3])]


def make_batch(batch: int, longest: int, ragged: bool) -> PackedSequence:
    """Make a batch of random ids, all of one length or of lengths from half the longest up."""
    generator = torch.Generator().manual_seed(0)
    lengths = [longest] * batch
    if ragged:
        lengths = [longest, *torch.randint(-(-longest // 2), longest + 1, (batch - 1,), generator=generator).tolist()]
    sequences = [torch.randint(1, SYMBOLS, (length,), generator=generator) for length in sorted(lengths, reverse=True)]
    return pack_sequence(sequences)


def runs(
    encoder: nn.RNNBase, table: nn.Embedding, packed: PackedSequence, training: bool
) -> dict[str, Callable[[], None]]:
    """Return what runs a batch in each way, down to the last states, and back where a gradient is wanted."""
    lengths = torch.bincount(torch.cat([torch.arange(size) for size in packed.batch_sizes.tolist()]))

    def run(way: Any) -> None:
        with torch.set_grad_enabled(training):
            states = encode(encoder, table, packed, lengths, execution=way, vectors=table.weight, last_only=True)
            if training:
                encoder.zero_grad()
                table.zero_grad()
                torch.autograd.backward(states.sum())

    return {way: lambda way=way: run(way) for way in WAYS}  # type: ignore[misc]


def milliseconds(ways: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return how long each way takes."""
    return {name: 1000 * seconds for name, seconds in take_turns(ways, rounds, warm_up=2).items()}


def measure(rounds: int) -> list[dict[str, Any]]:
    """Return for every shape, cell and mode the milliseconds of each way."""
    found = []
    table = nn.Embedding(SYMBOLS, EMBEDDING, padding_idx=0)
    for mode, (batch, longest, size, ragged) in itertools.product(CELLS, shapes()):
        encoder = CELLS[mode](EMBEDDING, size, batch_first=True)
        packed = make_batch(batch, longest, ragged)
        for training in (True, False):
            times = milliseconds(runs(encoder, table, packed, training), rounds)
            shape = Shape(batch, longest, len(packed.data))
            found.append({"mode": mode, "training": training, "size": size, "shape": shape, "times": times})
            print(
                mode,
                batch,
                longest,
                size,
                ragged,
                training,
                {way: round(ms, 3) for way, ms in times.items()},
                flush=True,
            )
    return found


def measure_direct(rounds: int) -> float:
    """Return the milliseconds that a training step in the fused way saves where it goes without autograd."""
    saved = []
    for batch in (1, 10, 30, 64):
        times = milliseconds(step_runs(batch), rounds)
        print("direct", batch, {way: round(ms, 3) for way, ms in times.items()}, flush=True)
        saved.append(times["autograd"] - times["direct"])
    return round(float(np.median(saved)), 4)


def step_runs(batch: int) -> dict[str, Callable[[], Any]]:
    """Return what makes the gradients of a batch of names, with autograd and without."""
    model = RNNClassifier(18, vocab_size=SYMBOLS, execution="fused", seed=0)
    packed, labels = make_batch(batch, 7, ragged=batch > 1), torch.arange(batch) % 18
    objective = Objective(None, 0.0)
    return {
        "direct": lambda: step_directly(model, packed, partial(objective.gradient, labels=labels)),
        "autograd": lambda: torch.autograd.backward(objective(model(packed), labels)),
    }


def fit(found: list[dict[str, Any]]) -> dict[str, dict[KernelName, list[float]]]:
    """Return the coefficients of each way, by cell and mode."""
    coefficients: dict[str, dict[KernelName, list[float]]] = {}
    for mode, training in itertools.product(CELLS, (True, False)):
        mine = [one for one in found if one["mode"] == mode and one["training"] == training]
        ways = coefficients[f"{mode} {'training' if training else 'inference'}"] = {}
        for kernel in KERNELS:
            way = WAY_OF[kernel]
            those = [one for one in mine if kernel_of(way, one["shape"]) == kernel]
            times = np.array([one["times"][way] for one in those])
            rows = np.array([features(way, one["shape"], EMBEDDING, one["size"]) for one in those])
            ways[kernel] = [float(f"{one:.4g}") for one in nnls(rows / times[:, None], np.ones(len(times)))[0]]
    return coefficients


def regret(found: list[dict[str, Any]], coefficients: dict[str, dict[KernelName, list[float]]]) -> None:
    """Print what the choice costs over the best way, and what always taking one way would cost."""
    for key, ways in coefficients.items():
        mode, kind = key.split()
        mine = [one for one in found if one["mode"] == mode and one["training"] == (kind == "training")]
        chosen = []
        for one in mine:
            shape = one["shape"]
            predicted = {w: cost(ways[kernel_of(w, shape)], features(w, shape, EMBEDDING, one["size"])) for w in WAYS}
            chosen.append(one["times"][min(predicted, key=lambda way: predicted[way])] / min(one["times"].values()))
        always = {way: np.mean([one["times"][way] / min(one["times"].values()) for one in mine]) for way in WAYS}
        print(
            f"{key}: mean {np.mean(chosen):.3f}, worst {max(chosen):.2f}; always",
            {w: round(r, 2) for w, r in always.items()},
        )


def main() -> None:
    """Measure, fit, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    found = measure(arguments.rounds)
    coefficients = fit(found)
    regret(found, coefficients)
    costs = {"direct": measure_direct(5 * arguments.rounds), "ways": coefficients}
    arguments.output.write_text(json.dumps(costs, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
