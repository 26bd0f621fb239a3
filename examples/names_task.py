"""Which language does a surname come from? Six recurrent classifiers side by side, on names that none of them has seen.

By default this runs on the sample that comes with seqclf. `--data download` fetches the full set of PyTorch's tutorial
once; `--data DIR` reads any folder with one text file for each class.
"""

import argparse
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR

import seqclf
from seqclf import Evaluation, History, RNNClassifier, SequenceDataset


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
BOTH_WAYS: dict[str, Any] = {"bidirectional": True, "pooling": ("last", "mean", "max")}


@dataclass
class Row:
    """One line of the table."""

    name: str
    model: RNNClassifier
    history: History
    result: Evaluation
    validation_loss: float
    seconds: float

    def __str__(self) -> str:
        result, size = self.result, f"{self.model.num_parameters:,}"
        figures = f"{result.accuracy:>10.1%}{result.loss:>10.3f}{result.macro_f1:>10.3f}"
        return f"{self.name:<20}{figures}{size:>12}{self.seconds:>9.1f}"


def train_one(name: str, train: SequenceDataset, test: SequenceDataset, arguments: argparse.Namespace) -> Row:
    """Train one model on each distinct name once, then mend its probabilities.

    A tenth of the training names is kept for validation: for the curves, the temperature, and the choice of the best.
    """
    start = time.perf_counter()
    distinct, validation = train.drop_duplicates().split(test_size=0.1, seed=arguments.seed)
    options = MODELS[name] | ({} if arguments.one_way else BOTH_WAYS)
    model = RNNClassifier.for_dataset(distinct, dropout=0.5, input_dropout=0.3, seed=arguments.seed, **options)
    updates = arguments.epochs * math.ceil(len(distinct) / arguments.batch_size)
    history = seqclf.fit(
        model,
        distinct,
        validation_data=validation,
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        optimizer=lambda parameters: torch.optim.AdamW(parameters, lr=3e-3, weight_decay=0.01, fused=True),
        scheduler=lambda optimizer: OneCycleLR(optimizer, max_lr=3e-3, total_steps=updates),
        clip_grad_norm=1.0,
        seed=arguments.seed,
    )
    seqclf.calibrate(model, validation)
    chosen_by = seqclf.evaluate(model, validation).loss
    seqclf.adjust_priors(model, trained_on=distinct, expected=train)
    seconds = time.perf_counter() - start
    return Row(name, model, history, seqclf.evaluate(model, test), chosen_by, seconds)


def print_guesses(model: RNNClassifier, names: list[str]) -> None:
    """Print the three most probable languages of each name."""
    for name, row in zip(names, seqclf.predict_proba(model, [seqclf.fold_ascii(name) for name in names]), strict=True):
        best = sorted(zip(row.tolist(), model.classes or (), strict=True), reverse=True)[:3]
        print(f"{name}: " + ", ".join(f"{language} {probability:.0%}" for probability, language in best))


def write_results(folder: Path, rows: list[Row], best: Row) -> None:
    """Write the table as JSON, and pictures and file of the best model."""
    folder.mkdir(parents=True, exist_ok=True)
    sizes = {row.name: {"parameters": row.model.num_parameters, "seconds": round(row.seconds, 1)} for row in rows}
    table = {row.name: sizes[row.name] | row.result.to_dict() for row in rows}
    (folder / "results.json").write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
    seqclf.plot_confusion(best.result).savefig(folder / "confusion.png")
    seqclf.plot_history(best.history, title=best.name).savefig(folder / "history.png")
    seqclf.save(best.model, folder / "model.safetensors")
    print(f"results.json, and confusion.png, history.png and model.safetensors of {best.name}, are in {folder}")


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="sample", help="sample, download, or a folder (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=20, help="passes over the data (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=64, help="names for each update (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="for split, weights and order (default: %(default)s)")
    parser.add_argument("--one-way", action="store_true", help="read names forwards only, pool by the last state")
    parser.add_argument("--predict", nargs="+", default=[], metavar="NAME", help="names to guess the language of")
    parser.add_argument("--output", type=Path, metavar="DIR", help="where to write results, pictures and a model")
    return parser.parse_args()


def main() -> None:
    """Train every model of the table and report."""
    arguments = parse_arguments()
    pairs = seqclf.load_names(arguments.data)
    train, test = SequenceDataset.from_pairs(pairs).split(test_size=0.2, seed=arguments.seed)
    print(f"train: {train}\ntest:  {test}, none of its names in train")
    print("\nmodel                 accuracy       NLL  macro-F1  parameters  seconds")
    rows = []
    for name in MODELS:
        rows.append(train_one(name, train, test, arguments))
        print(rows[-1], flush=True)
    print(f"{'always the largest':<20}{rows[0].result.majority:>10.1%}")
    best = min(rows, key=lambda row: row.validation_loss)  # the test names choose nothing
    print_guesses(best.model, arguments.predict)
    if arguments.output:
        write_results(arguments.output, rows, best)


if __name__ == "__main__":
    main()
