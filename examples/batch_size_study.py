"""What does the batch size change? Train and test loss and test accuracy for batches of 1, 10 and 30 names.

The learning rate suits the batch size: it is chosen for each on a validation part of the training names. The study then
runs over several seeds and is drawn in three views: by epoch, by number of updates, and by seconds. What is finished is
kept in the output folder, so a study that was broken off goes on where it stopped.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt

import seqclf
from seqclf import SequenceDataset
from seqclf.datasets import load_names
from seqclf.defaults import PLAIN
from seqclf.plotting import plot_study
from seqclf.study import StudyResult, Summary


@dataclass
class Finding:
    """What the study found for one batch size; curves are means over the seeds, by epoch."""

    size: int
    learning_rate: float
    accuracy: npt.NDArray[np.float64]
    spread: float
    train_loss: npt.NDArray[np.float64]
    test_loss: npt.NDArray[np.float64]
    updates: float
    seconds: float

    @classmethod
    def of(cls, row: Summary) -> "Finding":
        """Read it from the runs of one batch size."""

        def curve(measure: str) -> npt.NDArray[np.float64]:
            curves = np.array([run.history[measure] for run in row.runs if run.error is None])
            return np.asarray(curves.mean(0))

        return cls(
            row.runs[0].options["batch_size"],
            row.runs[0].options["learning_rate"],
            100 * curve("test_accuracy"),
            100 * row.std["test_accuracy"],
            curve("train_loss"),
            curve("test_loss"),
            float(curve("steps").mean()),
            float(curve("seconds").mean()),
        )

    def epochs_to(self, accuracy: float) -> int:
        """Return after how many epochs the test accuracy is first reached."""
        return int(np.argmax(self.accuracy >= accuracy)) + 1

    @property
    def turn(self) -> int:
        """The number of the epoch with the least test loss."""
        return int(self.test_loss.argmin()) + 1


def describe(result: StudyResult) -> str:
    """Say in a table and in words what the study found."""
    findings = [Finding.of(row) for row in result.summarise() if row.n]
    goal = float(np.floor(min(finding.accuracy.max() for finding in findings)))
    lines = [
        "| batch size | learning rate | test accuracy (%) | least test NLL | at epoch | updates an epoch | "
        f"seconds an epoch | epochs to {goal:.0f} % | updates to {goal:.0f} % | seconds to {goal:.0f} % |",
        "|" + "--:|" * 10,
    ]
    sentences = []
    for found in findings:
        epochs = found.epochs_to(goal)
        cells = [
            f"{found.size}",
            f"{found.learning_rate:g}",
            f"{found.accuracy[-1]:.1f} ± {found.spread:.1f}",
            f"{found.test_loss.min():.3f}",
            f"{found.turn}",
            f"{found.updates:,.0f}",
            f"{found.seconds:.1f}",
            f"{epochs}",
            f"{epochs * found.updates:,.0f}",
            f"{epochs * found.seconds:.1f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
        sentences.append(
            f"Batches of {found.size}: the test loss is least at epoch {found.turn} ({found.test_loss.min():.3f}) and "
            f"ends at {found.test_loss[-1]:.3f}, while the train loss goes on to {found.train_loss[-1]:.3f}."
        )
    best = max(findings, key=lambda found: found.accuracy[-1])
    quick = min(findings, key=lambda found: found.epochs_to(goal) * found.seconds)
    few = min(findings, key=lambda found: found.epochs_to(goal) * found.updates)
    sentences += [
        f"After {len(best.accuracy)} epochs batches of {best.size} have the best test accuracy, "
        f"{best.accuracy[-1]:.1f} ± {best.spread:.1f} %; the least is "
        f"{min(found.accuracy[-1] for found in findings):.1f} %.",
        f"Batches of {quick.size} come to {goal:.0f} % in the least time"
        + (" and in the fewest updates." if few is quick else f", batches of {few.size} in the fewest updates."),
    ]
    return "\n".join([*lines, "", *sentences])


def study(arguments: argparse.Namespace) -> StudyResult:
    """Choose a learning rate for each batch size, and train all seeds with it."""
    pairs = load_names(arguments.data)
    rest, test = SequenceDataset.from_pairs(pairs).split(test_size=0.2, seed=0)
    train, validation = rest.split(test_size=0.1, seed=0)
    print(f"train:      {train}\nvalidation: {validation}\ntest:       {test}, none of its names in the others\n")
    base = PLAIN | {
        "cell": arguments.cell,
        "hidden_size": arguments.hidden_size,
        "num_layers": arguments.num_layers,
        "epochs": arguments.epochs,
        "optimizer": "sgd",
        "momentum": 0.9,
        "weight_decay": 1e-4,
        "clip_grad_norm": 1.0,
    }
    settings: dict[str, Any] = {"base": base, "cache": arguments.output / "runs", "workers": arguments.workers}
    grid = {"batch_size": arguments.batch_sizes, "learning_rate": arguments.learning_rates}
    search = seqclf.run_study(train, grid, validation_data=validation, **settings)
    table = search.to_markdown(["validation_loss", "validation_accuracy"])
    print(table + "\n")
    (arguments.output / "learning_rates.md").write_text(table + "\n", encoding="utf-8")
    points = []
    for size in arguments.batch_sizes:
        runs = [run for run in search.runs if run.options["batch_size"] == size and run.error is None]
        if not runs:
            raise SystemExit(f"every learning rate made the loss of batches of {size} infinite; try lower ones")
        rate = min(runs, key=lambda run: run.results["validation"].loss).options["learning_rate"]
        points.append({"batch_size": [size], "learning_rate": [rate], "seed": range(arguments.seeds)})
    return seqclf.run_study(train, points, test_data=test, curves=True, **settings)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="sample", help="sample, download, or a folder (default: %(default)s)")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 10, 30], metavar="N")
    parser.add_argument("--cell", default="lstm", help="lstm, gru, rnn or rnn_relu (default: %(default)s)")
    parser.add_argument("--hidden-size", type=int, default=200, help="(default: %(default)s)")
    parser.add_argument("--num-layers", type=int, default=1, help="(default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=10, help="passes over the data (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds (default: %(default)s)")
    parser.add_argument(
        "--learning-rates", type=float, nargs="+", default=[0.003, 0.01, 0.03, 0.1], metavar="RATE", help="to try"
    )
    parser.add_argument("--workers", type=int, default=2, help="processes at once (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("batch_size_study"), metavar="DIR", help="for all results")
    return parser.parse_args()


def main() -> None:
    """Run the study, draw it, and say what it found."""
    arguments = parse_arguments()
    result = study(arguments)
    result.write(arguments.output)
    findings = describe(result)
    (arguments.output / "findings.md").write_text(findings + "\n", encoding="utf-8")
    layers = f"{arguments.num_layers} layer{'s' if arguments.num_layers > 1 else ''}"
    title = (
        f"Batch sizes: {arguments.cell.upper()}, {layers}, {arguments.hidden_size} hidden\n"
        f"lines: mean over {arguments.seeds} seeds; bands: least to greatest"
    )
    figure = plot_study(result, "batch_size", title=title)
    figure.savefig(arguments.output / "curves.png")
    with matplotlib.rc_context({"svg.hashsalt": "seqclf"}):  # the same figure is the same file
        figure.savefig(arguments.output / "curves.svg", metadata={"Date": None})
    print(findings)
    print(f"\nall results, with curves.png and curves.svg, are in {arguments.output}")


if __name__ == "__main__":
    main()
