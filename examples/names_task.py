"""Which language does a surname come from? Five recurrent classifiers side by side, on names none of them has seen.

By default this runs on the sample that comes with seqclf. `--data download` fetches the full set of PyTorch's tutorial
once; `--data DIR` reads any folder with one text file for each class.
"""

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR

from seqclf import (
    Evaluation,
    RNNClassifier,
    SequenceDataset,
    evaluate,
    fit,
    load_names,
    plot_confusion,
    plot_history,
    predict_proba,
    save,
)


class TutorialRNN(nn.Module):
    """The hand-written RNN of PyTorch's tutorial, as a cell: one step, and None for a state of zeros."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.i2h = nn.Linear(input_size, hidden_size)
        self.h2h = nn.Linear(hidden_size, hidden_size)

    def forward(self, x_t: Tensor, state: Tensor | None) -> Tensor:
        """Return the state after one step, shape (n, hidden_size)."""
        state = x_t.new_zeros(len(x_t), self.h2h.in_features) if state is None else state
        return torch.tanh(self.i2h(x_t) + self.h2h(state))


MODELS: dict[str, dict[str, Any]] = {
    "tutorial RNN, 128": {"cell": TutorialRNN, "hidden_size": 128},
    "LSTM, 128": {"cell": "lstm", "hidden_size": 128},
    "LSTM, 256": {"cell": "lstm", "hidden_size": 256},
    "LSTM, 2 x 128": {"cell": "lstm", "hidden_size": 128, "num_layers": 2},
    "LSTM, 2 x 256": {"cell": "lstm", "hidden_size": 256, "num_layers": 2},
    "GRU, 128": {"cell": "gru", "hidden_size": 128},
}


def train_one(options: dict[str, Any], train: SequenceDataset, arguments: argparse.Namespace) -> tuple[Any, ...]:
    """Train one model of the table, and return it with its history and the seconds it took."""
    model = RNNClassifier.for_dataset(train, dropout=0.5, seed=arguments.seed, **options)
    updates = arguments.epochs * math.ceil(len(train) / arguments.batch_size)
    start = time.perf_counter()
    history = fit(
        model,
        train,
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        optimizer=lambda parameters: torch.optim.AdamW(parameters, lr=3e-3, weight_decay=0.01),
        scheduler=lambda optimizer: OneCycleLR(optimizer, max_lr=3e-3, total_steps=updates),
        clip_grad_norm=1.0,
        seed=arguments.seed,
    )
    return model, history, time.perf_counter() - start


def print_row(name: str, accuracy: float, *others: str) -> None:
    """Print one line of the table."""
    cells = "".join(f"{cell:>12}" for cell in (f"{accuracy:.1%}", *others))
    print(f"{name:<20}{cells}", flush=True)


def print_guesses(model: RNNClassifier, names: list[str]) -> None:
    """Print the three most probable languages of each name."""
    for name, row in zip(names, predict_proba(model, names), strict=True):
        best = sorted(zip(row.tolist(), model.classes or (), strict=True), reverse=True)[:3]
        print(f"{name}: " + ", ".join(f"{language} {probability:.0%}" for probability, language in best))


def write_results(folder: Path, best: tuple[Any, ...], rows: dict[str, Any]) -> None:
    """Write the table as JSON, the pictures, and the best model."""
    model, history, result = best
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(rows, indent=2), encoding="utf-8")
    plot_confusion(result).savefig(folder / "confusion.png")
    plot_history(history).savefig(folder / "history.png")
    save(model, folder / "model.safetensors")
    print(f"wrote results.json, confusion.png, history.png and model.safetensors to {folder}")


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="sample", help="sample, download, or a folder (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=20, help="passes over the data (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=64, help="sequences for each update (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="for split, weights and order (default: %(default)s)")
    parser.add_argument("--predict", nargs="+", default=[], metavar="NAME", help="names to guess the language of")
    parser.add_argument("--output", type=Path, metavar="DIR", help="where to write results, pictures and the model")
    return parser.parse_args()


def main() -> None:
    """Train every model of the table and report."""
    arguments = parse_arguments()
    pairs = load_names(arguments.data)
    train, test = SequenceDataset.from_pairs(pairs).split(test_size=0.2, seed=arguments.seed)
    print(f"train: {train}\ntest:  {test}, none of its names in train\n")
    print(f"{'':20}" + "".join(f"{title:>12}" for title in ("accuracy", "NLL", "macro-F1", "parameters", "seconds")))
    rows: dict[str, Any] = {}
    results: list[tuple[RNNClassifier, Any, Evaluation]] = []
    for name, options in MODELS.items():
        model, history, seconds = train_one(options, train, arguments)
        result = evaluate(model, test)
        results.append((model, history, result))
        rows[name] = result.to_dict() | {"parameters": model.num_parameters, "seconds": seconds}
        print_row(
            name,
            result.accuracy,
            f"{result.loss:.3f}",
            f"{result.macro_f1:.3f}",
            f"{model.num_parameters:,}",
            f"{seconds:.1f}",
        )
    print_row("always the largest", results[0][2].majority)
    best = max(results, key=lambda result: result[2].macro_f1)
    print_guesses(best[0], arguments.predict)
    if arguments.output:
        write_results(arguments.output, best, rows)


if __name__ == "__main__":
    main()
