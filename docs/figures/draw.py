"""Draw the figures of the documentation: python docs/figures/draw.py.

What they show of batches is read from batches that the library made, so they cannot say anything else than it does. The
pictures below a page's code are what that code draws.
"""

import json
import os
import re
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

import torch
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from seqclf import RNNClassifier, SequenceDataset, pack_collate, pad_collate
from seqclf.datasets import load_names
from seqclf.defaults import PLAIN

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent.parent))
from tests.printed import run_captured  # noqa: E402

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#7f7f7f"  # of Okabe and Ito's palette
NAMES = ["Rossi", "Li", "Satoshi", "Abadi"]


def make_dataset() -> SequenceDataset:
    """Make a dataset of a few names."""
    return SequenceDataset.from_sequences(NAMES, [0] * len(NAMES))


def letters_of(dataset: SequenceDataset, ids: Tensor) -> list[str]:
    """Return the letter of each id, and nothing for padding."""
    assert dataset.vocabulary is not None
    return [str(dataset.vocabulary.decode([one])) if one else "" for one in ids.tolist()]


def cell(axes: Axes, x: float, y: float, text: str, *, colour: str = GREY, face: str = "white") -> None:
    """Draw one step."""
    axes.add_patch(Rectangle((x, y), 0.9, 0.9, facecolor=face, edgecolor=colour, linewidth=1.6, zorder=2))
    axes.text(x + 0.45, y + 0.43, text, ha="center", va="center", fontsize=13, color="black", zorder=3)


def padding(axes: Axes, x: float, y: float) -> None:
    """Draw one position of padding."""
    axes.add_patch(Rectangle((x, y), 0.9, 0.9, facecolor="#eeeeee", edgecolor="#bbbbbb", hatch="///", linewidth=0.8))


def empty_axes(width: float, height: float) -> tuple[Figure, Axes]:
    """Return axes without ticks whose unit is the same both ways, with y from the top."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.set_aspect("equal")
    axes.invert_yaxis()
    axes.axis("off")
    return figure, axes


def draw_padded() -> Figure:
    """Draw a padded batch, and where its last states are."""
    dataset = make_dataset()
    batch = pad_collate([dataset[index] for index in range(len(dataset))])
    assert isinstance(batch.inputs, Tensor)
    figure, axes = empty_axes(8, 4.1)
    steps = batch.inputs.shape[1]
    for row, length in enumerate(batch.lengths.tolist()):
        for step, letter in enumerate(letters_of(dataset, batch.inputs[row])):
            colour = BLUE if step == length - 1 else GREY
            if step < length:
                cell(axes, step, row, letter, colour=colour, face="#d6e9f5" if step == length - 1 else "white")
            else:
                padding(axes, step, row)
        axes.text(-0.3, row + 0.45, f"{length}", ha="right", va="center", fontsize=12)
    axes.text(-0.3, -0.35, "lengths", ha="right", va="center", fontsize=11)
    axes.text(steps / 2, -0.35, "inputs (B, T)", ha="center", va="center", fontsize=11)
    axes.add_patch(
        Rectangle((steps - 1.04, -0.08), 0.99, 4.06, fill=False, edgecolor=ORANGE, linewidth=2, linestyle="--")
    )
    axes.text(steps + 0.25, 1.0, "output[:, -1]\nreads padding\nof three names", color=ORANGE, fontsize=12, va="center")
    axes.text(steps + 0.25, 2.8, "the last real step\nof each name", color=BLUE, fontsize=12, va="center")
    axes.set_xlim(-2.2, steps + 4.6)
    axes.set_ylim(4.3, -0.8)
    return figure


def draw_packed() -> Figure:
    """Draw the same batch packed: which rows make each step."""
    dataset = make_dataset()
    batch = pack_collate([dataset[index] for index in range(len(dataset))])
    assert isinstance(batch.inputs, PackedSequence)
    letters = letters_of(dataset, batch.inputs.data)
    figure, axes = empty_axes(8, 4.6)
    number = 0
    for step, size in enumerate(batch.inputs.batch_sizes.tolist()):
        for row in range(size):
            cell(axes, step, row, letters[number])
            axes.text(step + 0.84, row + 0.2, str(number), ha="right", va="center", fontsize=6.5, color=GREY, zorder=3)
            number += 1
        axes.text(step + 0.45, 4.3, str(size), ha="center", va="center", fontsize=12, color=GREEN)
    axes.text(-0.3, 4.3, "batch_sizes", ha="right", va="center", fontsize=11, color=GREEN)
    order = [NAMES[index] for index in batch.inputs.sorted_indices.tolist()]
    for row, name in enumerate(order):
        axes.text(-0.3, row + 0.45, name, ha="right", va="center", fontsize=11)
    axes.text(
        steps_end(batch.inputs) + 0.25,
        2.0,
        f"{number} rows, none of them\npadding, in the order\nof the small numbers",
        fontsize=12,
        va="center",
    )
    axes.set_xlim(-2.6, steps_end(batch.inputs) + 4.6)
    axes.set_ylim(4.8, -0.3)
    return figure


def steps_end(packed: PackedSequence) -> int:
    """Return how many steps the longest sequence has."""
    return len(packed.batch_sizes)


def draw_directions() -> Figure:
    """Draw which states a sequence ends with in each direction."""
    figure, axes = empty_axes(8, 3.3)
    name, steps = "Rossi", 7
    for row, (label, last, colour) in enumerate((("forwards", 4, BLUE), ("backwards", 0, GREEN))):
        y = 1.7 * row
        for step in range(steps):
            if step < len(name):
                look = {"colour": colour, "face": "#d6e9f5"} if step == last else {}
                cell(axes, step, y, name[step], **look)
            else:
                padding(axes, step, y)
        start, end = (0.1, 4.8) if row == 0 else (4.8, 0.1)
        axes.add_patch(
            FancyArrowPatch((start, y + 1.2), (end, y + 1.2), arrowstyle="-|>", mutation_scale=14, color=colour)
        )
        axes.text(-0.3, y + 0.45, label, ha="right", va="center", fontsize=12, color=colour)
    axes.text(7.3, 0.45, "ends at step length - 1", fontsize=12, va="center", color=BLUE)
    axes.text(7.3, 2.15, "starts at step length - 1,\nends at step 0", fontsize=12, va="center", color=GREEN)
    axes.set_xlim(-2.6, 12.2)
    axes.set_ylim(3.2, -0.3)
    return figure


WAY = [
    ("sequences", "strings, tokens,\nfloat arrays", ""),
    ("SequenceDataset", "one flat store,\nids by a Vocabulary", "data/"),
    ("Batch", "padded or packed,\nwith true lengths", "data/batch.py"),
    ("RNNClassifier", "embed, encode,\npool, head", "models/"),
    ("History,\nEvaluation, labels", "fit, evaluate,\npredict", "training/"),
    ("pictures, files,\nstudies, ONNX", "plot, save,\nrun_study, export", "plotting, study, ..."),
]


def draw_way() -> Figure:
    """Draw how data flow."""
    figure, axes = empty_axes(12, 2.4)
    for number, (name, what, room) in enumerate(WAY):
        x = 3.5 * number
        axes.add_patch(FancyBboxPatch((x, 0), 2.7, 1.5, boxstyle="round,pad=0.08", facecolor="#d6e9f5", edgecolor=BLUE))
        axes.text(x + 1.35, 0.42, name, ha="center", va="center", fontsize=9.5, weight="bold")
        axes.text(x + 1.35, 1.08, what, ha="center", va="center", fontsize=8.5)
        axes.text(x + 1.35, 2.0, room, ha="center", va="center", fontsize=9, family="monospace", color=GREY)
        if number:
            axes.add_patch(
                FancyArrowPatch((x - 0.72, 0.75), (x - 0.06, 0.75), arrowstyle="-|>", mutation_scale=14, color="black")
            )
    axes.annotate("", (-0.1, 2.55), (20.3, 2.55), arrowprops={"arrowstyle": "-|>", "color": ORANGE})
    axes.text(10.1, 2.9, "imports point backward only", ha="center", va="center", fontsize=9.5, color=ORANGE)
    axes.set_xlim(-0.3, 20.5)
    axes.set_ylim(3.2, -0.3)
    return figure


def changed_answers() -> dict[str, tuple[float, float]]:
    """Compare names in batches of 32 with each alone: the percentage with other logits, and the largest difference.

    The weights are the same each time; they are run in three ways.
    """
    dataset = SequenceDataset.from_pairs(load_names())
    plain = {"cell": "lstm", "hidden_size": 128, "seed": 0, **PLAIN}
    models = {
        way: RNNClassifier.for_dataset(dataset, execution=way, **plain).eval() for way in ("native", "packed", "padded")
    }
    last_column = models["padded"]

    def by_hand(inputs: Tensor, _: Tensor) -> Tensor:
        assert last_column.embedding is not None
        logits: Tensor = last_column.head(last_column.encoder(last_column.embedding(inputs))[0][:, -1])
        return logits

    ways = {"output[:, -1]": by_hand, "packed by torch": models["packed"], "seqclf": models["native"]}
    order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(0))
    differences: dict[str, list[Tensor]] = {name: [] for name in ways}
    with torch.no_grad():
        for indices in order.split(32):
            batch = dataset.batch(indices.tolist())
            assert isinstance(batch.inputs, Tensor)
            rows = list(zip(batch.inputs, batch.lengths, strict=True))
            for name, way in ways.items():
                alone = torch.cat([way(row[None, :length], length[None]) for row, length in rows])
                differences[name].append((way(batch.inputs, batch.lengths) - alone).abs().amax(1))
    found = {name: torch.cat(parts) for name, parts in differences.items()}
    return {name: (100 * float((one > 0).double().mean()), float(one.max())) for name, one in found.items()}


def training_speed(batch_size: int) -> dict[str, float]:
    """Return how many names a second were trained on, by library, as the benchmarks found (benchmarks/results)."""
    found = json.loads((HERE.parent.parent / "benchmarks" / "results" / "results.json").read_text(encoding="utf-8"))
    (measured,) = (
        one["peers"]
        for one in found["measurements"]
        if one["config"]["title"] == f"names, LSTM 128, batch {batch_size}, 2 threads"
    )
    return {
        name: peer["ready"]["sequences"] / median(peer["tasks"]["train"]["seconds"][1:])
        for name, peer in measured.items()
    }


def draw_home() -> Figure:
    """Draw what the library is for: answers that no batch changes, and speed."""
    figure = Figure(figsize=(5.8, 3.6), layout="constrained")
    above, below = figure.subplots(2, 1, height_ratios=(3, 4))
    changed = changed_answers()
    told = [f"{share:.0f} %, by up to {most:.1g}" if most else "none" for share, most in changed.values()]
    bars(
        above,
        {name: share for name, (share, _) in changed.items()},
        told,
        "names whose answer changes in a batch of 32",
    )
    speeds = training_speed(30)
    speeds = {name: speeds[name] for name in ("lightning", "skorch", "hand-written", "seqclf")}
    told = [f"{speed:,.0f}" for speed in speeds.values()]
    bars(below, speeds, told, "names a second in training, LSTM 128, batches of 30")
    return figure


def bars(axes: Axes, values: dict[str, float], told: list[str], title: str) -> None:
    """Draw a bar for each value, and what is told of it beside it; the last is this library."""
    colours = [GREY] * (len(values) - 1) + [BLUE]
    axes.barh(range(len(values)), list(values.values()), color=colours, height=0.62)
    widest = max(values.values())
    for row, (value, text) in enumerate(zip(values.values(), told, strict=True)):
        axes.text(value + widest / 60, row, text, va="center", fontsize=11)
    axes.set_yticks(range(len(values)), list(values), fontsize=11)
    axes.tick_params(left=False)
    axes.set_xlim(0, 1.5 * widest)
    axes.set_xticks([])
    axes.invert_yaxis()
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.set_title(title, fontsize=11, loc="left")


def run_page(page: str) -> tuple[dict[str, Figure], dict[str, Any]]:
    """Run the Python of a page, and return the pictures that it saves, by name, and its variables."""
    pictures: dict[str, Figure] = {}
    variables: dict[str, Any] = {}

    def keep(figure: Figure, name: str) -> None:
        pictures[name] = figure

    text = (HERE.parent / page).read_text(encoding="utf-8")
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(Figure, "savefig", keep):
        os.chdir(folder)
        for code in re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
            run_captured(code, variables)
        os.chdir(before)
    return pictures, variables


def draw_prefixes(curve: Any, classes: Any) -> Figure:
    """Draw the probability of each class after each step of a sequence."""
    figure = Figure(figsize=(7, 2.6), layout="constrained")
    axes = figure.subplots()
    for index, (name, colour) in enumerate(zip(classes, (ORANGE, BLUE), strict=True)):
        axes.plot(range(1, len(curve) + 1), curve[:, index], color=colour, label=name)
    axes.set(xlabel="steps read", ylabel="probability", ylim=(0, 1), xlim=(1, len(curve)))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure


SAVED = {  # pictures that pages save, and their names here
    "tutorial.md": {"history.png": "history", "confusion.png": "confusion"},
    "data.md": {"lengths.png": "lengths"},
    "training.md": {"history.png": "training"},
    "answers.md": {"curves.png": "study", "calibration.png": "calibration"},
}


def draw_pages() -> dict[str, Figure]:
    """Draw what the pages' own code draws."""
    drawn = {}
    for page, names in SAVED.items():
        pictures, _ = run_page(page)
        drawn |= {ours: pictures[theirs] for theirs, ours in names.items()}
    _, variables = run_page("time_series.md")
    return drawn | {"prefixes": draw_prefixes(variables["curve"], variables["model"].classes)}


FIGURES = {
    "padded": draw_padded,
    "packed": draw_packed,
    "directions": draw_directions,
    "way": draw_way,
    "home": draw_home,
}


def write(name: str, figure: Figure) -> None:
    """Write a figure into this folder, as the same bytes every time."""
    path = HERE / f"{name}.svg"
    figure.savefig(path, facecolor="white", bbox_inches="tight", metadata={"Date": None})
    text = path.read_text(encoding="utf-8")
    path.write_text(re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE), encoding="utf-8")


def main() -> None:
    """Draw all figures into this folder, or those of this file that are named."""
    rcParams["svg.hashsalt"] = "seqclf"  # the same file every time
    for name in sys.argv[1:] or FIGURES:
        write(name, FIGURES[name]())
    for name, figure in ({} if sys.argv[1:] else draw_pages()).items():
        write(name, figure)


if __name__ == "__main__":
    main()
