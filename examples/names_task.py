"""Which language does a surname come from? Six recurrent classifiers side by side, on names that none of them has seen.

By default this runs on the sample that comes with seqclf, with one seed. `--data download` fetches the full set of
PyTorch's tutorial once; `--data DIR` reads any folder with one text file for each class. With several seeds, figures
are means ± standard deviations. With `--output`, what is finished is kept, and a run that was broken off goes on.

    torchrun --nproc-per-node 2 examples/names_task.py

trains each model in two processes, with the same results.
"""

import argparse
import io
import sys
import tempfile
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import seqclf
from seqclf import Evaluation, RNNClassifier, SequenceDataset
from seqclf.datasets import load_names
from seqclf.defaults import PLAIN
from seqclf.plotting import plot_confusion, plot_history
from seqclf.reading import fold_ascii
from seqclf.study import Run, StudyResult, Summary, format_measure
from seqclf.training.distributed import process_rank


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
TRAINING: dict[str, Any] = {
    "dropout": 0.5,
    "input_dropout": 0.3,
    "learning_rate": 3e-3,
    "schedule": "one_cycle",
    "clip_grad_norm": 1.0,
    "label_smoothing": 0.0,
    "early_stopping": None,
    "calibrate": True,
}


def study(train: SequenceDataset, test: SequenceDataset, folder: Path, arguments: argparse.Namespace) -> StudyResult:
    """Train each model on every distinct name once, then mend its probabilities.

    A tenth of the training names is kept for validation: for the curves, the temperature, and the choice of the best.
    What the repetitions tell of how often each language comes is given to the models afterwards, as priors.
    """
    distinct, validation = train.drop_duplicates().split(test_size=0.1, seed=0)
    base = PLAIN | ({} if arguments.one_way else BOTH_WAYS) | TRAINING
    base |= {"epochs": arguments.epochs, "batch_size": arguments.batch_size}
    base |= {"priors": tuple(torch.bincount(train.labels, minlength=len(train.classes)).tolist())}
    seeds = range(arguments.seeds)
    return seqclf.run_study(
        distinct,
        [{name: [value] for name, value in options.items()} | {"seed": seeds} for options in MODELS.values()],
        base=base,
        validation_data=validation,
        test_data=test,
        cache=folder / "runs",
        keep_models=True,
        workers=arguments.workers,
    )


def tabulate(rows: list[Summary], majority: float, linear: Evaluation | None = None) -> str:
    """Return the table of results in Markdown."""
    lines = [
        "| model | accuracy (%) | 95 % interval | NLL | macro-F1 | parameters | seconds |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for name, row in zip(MODELS, rows, strict=True):
        interval = row.interval("accuracy")
        accuracy, loss, macro_f1 = (format_measure(f"test_{name}", row) for name in ("accuracy", "loss", "macro_f1"))
        ends = f"{100 * interval.low:.1f} to {100 * interval.high:.1f}"
        lines.append(f"| {name} | {accuracy} | {ends} | {loss} | {macro_f1} | {row.parameters:,} | {row.seconds:.0f} |")
    if linear is not None:
        told = f"{100 * linear.accuracy:.1f} | | {linear.loss:.3f} | {linear.macro_f1:.3f}"
        lines.append(f"| a linear model, all lines | {told} | | |")
    return "\n".join([*lines, f"| always the largest class | {100 * majority:.1f} | | | | | |"])


def print_guesses(model: RNNClassifier, names: list[str]) -> None:
    """Print the three most probable languages of each name."""
    for name, row in zip(names, seqclf.predict_proba(model, [fold_ascii(name) for name in names]), strict=True):
        best = sorted(zip(row.tolist(), model.classes or (), strict=True), reverse=True)[:3]
        print(f"{name}: " + ", ".join(f"{language} {probability:.0%}" for probability, language in best))


def write_results(folder: Path, result: StudyResult, table: str, best: Run) -> None:
    """Write tables and curves of all runs, and pictures and file of the best model."""
    result.write(folder)
    (folder / "table.md").write_text(table + "\n", encoding="utf-8")
    rows = zip(MODELS, result.summarise(), strict=True)
    name = next(name for name, row in rows if any(run is best for run in row.runs))
    found = best.results["test"]
    title = f"{name}: accuracy {found.accuracy:.1%}, macro-F1 {found.macro_f1:.3f}, n = {found.n:,}"
    plot_confusion(found, title=title).savefig(folder / "confusion.png")
    plot_history(best.history, title=name).savefig(folder / "history.png")
    seqclf.save(best.load_model(), folder / "model.safetensors")
    print(f"\nresults of all, and confusion.png, history.png and model.safetensors of the best, are in {folder}")


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="sample", help="sample, download, or a folder (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=20, help="passes over the data (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=64, help="names for each update (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds (default: %(default)s)")
    parser.add_argument("--one-way", action="store_true", help="read names forwards only, pool by the last state")
    parser.add_argument("--workers", type=int, default=2, help="processes at once (default: %(default)s)")
    parser.add_argument("--predict", nargs="+", default=[], metavar="NAME", help="names to guess the language of")
    parser.add_argument("--output", type=Path, metavar="DIR", help="where to write results, pictures and a model")
    return parser.parse_args()


def main() -> None:
    """Train every model of the table and report."""
    arguments = parse_arguments()
    if process_rank():  # of several processes, started by torchrun, the first one speaks for all
        sys.stdout = io.StringIO()
    train, test = SequenceDataset.from_pairs(load_names(arguments.data)).split(test_size=0.2, seed=0)
    print(f"train: {train}\ntest:  {test}, none of its names in train\n")
    with nullcontext(arguments.output) if arguments.output else tempfile.TemporaryDirectory() as folder:
        result = study(train, test, Path(folder), arguments)
        linear = seqclf.linear_baseline(train, test) if find_spec("sklearn") else None
        table = tabulate(result.summarise(), test.report().majority, linear)
        print(table)
        best = result.best("validation_loss")  # the test names choose nothing
        print_guesses(best.load_model(), arguments.predict)
        if arguments.output and not process_rank():
            write_results(arguments.output, result, table, best)


if __name__ == "__main__":
    main()
