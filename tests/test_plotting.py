"""Pictures: what they show, and what they say without matplotlib."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqclf import Evaluation, History, SequenceDataset, run_study
from seqclf.errors import InvalidArgumentError, InvalidDataError, MissingDependencyError
from seqclf.plotting import plot_calibration, plot_confusion, plot_history, plot_lengths, plot_study
from seqclf.study import StudyResult
from tests import strategies


def axes_of(figure: Any) -> list[Any]:
    """Return the panels of a figure, whose artists matplotlib types as no more than artists."""
    return list(figure.axes)


def test_confusion_shows_shares_of_the_true_class() -> None:
    result = Evaluation(np.full(5, 0.5), np.array([0, 0, 0, 0, 1]), np.array([0, 0, 0, 1, 1]), ("cat", "dog", "eel"))
    axes = plot_confusion(result).axes[0]
    assert {text.get_text() for text in axes.texts} == {"75", "25", "100"}
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat (4)", "dog (1)", "eel (0)"]
    assert axes.get_title() == "accuracy 80.0%, macro-F1 0.762, n = 5"
    assert plot_confusion(result, title="mine").axes[0].get_title() == "mine"


def test_history_shows_what_there_is() -> None:
    history = History({"loss": [2.0, 1.0], "accuracy": [0.2, 0.6], "val_loss": [2.0, 1.5], "val_accuracy": [0.1, 0.5]})
    history.best_epoch = 1
    left, right = plot_history(history, title="run").axes
    labels = [text.get_text() for text in left.get_legend().get_texts()]
    assert labels == ["training", "validation", "best epoch"]
    assert right.lines[0].get_ydata().tolist() == [20.0, 60.0]
    assert right.lines[0].get_xdata().tolist() == [1, 2]


labels_with_lengths = st.lists(st.tuples(st.sampled_from("xyz"), st.integers(1, 400)), min_size=1, max_size=30)


@given(labels_with_lengths)
def test_lengths_are_counted_for_all_and_for_each_class(drawn: list[tuple[str, int]]) -> None:
    dataset = SequenceDataset.from_pairs([("a" * length, label) for label, length in drawn], classes=list("xyz"))
    figure = plot_lengths(dataset)
    left, right = axes_of(figure)
    assert sum(bar.get_height() for bar in left.patches) == len(drawn)
    by_class = {label: [length for own, length in drawn if own == label] for label in "xyz"}
    expected = sorted((np.median(own), f"{label} ({len(own)})") for label, own in by_class.items() if own)
    (medians,) = (line.get_xdata().tolist() for line in right.lines)
    assert medians == [median for median, _ in expected]
    assert sorted(text.get_text() for text in right.get_yticklabels()) == sorted(name for _, name in expected)
    boxes = {(bar.get_x(), bar.get_x() + bar.get_width()) for bar in right.patches}
    assert boxes == {tuple(np.percentile(own, [25, 75])) for own in by_class.values() if own}
    assert (left.get_xscale() == "log") == (max(map(len, _texts(dataset))) >= 100 * min(map(len, _texts(dataset))))


def _texts(dataset: SequenceDataset) -> list[Any]:
    return [sequence for sequence, _ in dataset]


def test_the_largest_of_many_classes_are_drawn() -> None:
    dataset = SequenceDataset.from_pairs([("ab", number) for number in range(60) for _ in range(1 + (number > 20))])
    figure = plot_lengths(dataset, title="mine")
    names = [text.get_text() for text in figure.axes[1].get_yticklabels()]
    assert len(names) == 40
    assert {f"{number} (2)" for number in range(21, 60)} < set(names)
    assert figure.get_suptitle() == "mine"
    with pytest.raises(InvalidDataError, match="dataset must hold at least one sequence to be drawn; got none"):
        plot_lengths(dataset.subset([]))


def test_a_reliability_diagram_shows_what_is_right_in_each_bin() -> None:
    labels, sure = np.array([0, 0, 1, 1, 1]), np.array([0.9, 1.0, 0.55, 0.6, 0.65])
    predictions = np.array([0, 1, 1, 1, 0])
    result = Evaluation(np.ones(5), labels, predictions, ("a", "b"), confidences=sure)
    upper, lower = axes_of(plot_calibration({"before": result, "after": result}, bins=2, title="mine"))
    _, before, after = upper.lines
    assert before.get_xdata().tolist() == pytest.approx([100 * sure.mean()])  # the lower half is empty
    assert before.get_ydata().tolist() == after.get_ydata().tolist() == pytest.approx([60.0])
    assert before.get_label() == f"before, calibration error {result.calibration_error(2):.3f}"
    assert lower.patches[0].get_data().values.tolist() == [0, 100]
    assert axes_of(plot_calibration(result))[0].lines[1].get_label().startswith("calibration error")
    assert "mine" in plot_calibration({1: result}, title="mine").get_suptitle()  # any name will do
    with pytest.raises(InvalidArgumentError, match="result must hold at least one evaluation; got none"):
        plot_calibration({})
    with pytest.raises(InvalidArgumentError, match="bins must be an integer of at least 1; got 0"):
        plot_calibration(result, bins=0)


def test_dollars_are_no_formulas(tmp_path: Path) -> None:
    labels, sure = np.array([0, 1]), np.array([0.9, 0.8])
    result = Evaluation(np.ones(2), labels, labels, ("$\\bad$", "b"), confidences=sure)
    dataset = SequenceDataset.from_pairs([("ab", "$\\bad$"), ("b", "x")])
    for figure in (plot_confusion(result), plot_calibration({"$\\bad$": result}), plot_lengths(dataset)):
        figure.savefig(tmp_path / "picture.png")


def test_bins_over_powers_of_ten_hold_whole_steps() -> None:
    dataset = SequenceDataset.from_pairs([("a" * length, "x") for length in range(1, 161)])
    heights = [bar.get_height() for bar in axes_of(plot_lengths(dataset))[0].patches]
    assert sum(heights) == 160
    assert min(heights) > 0


def study(grid: Any, **options: Any) -> StudyResult:
    data = strategies.letters_dataset(count=30)
    base = {"hidden_size": 4, "embedding_dim": 4, "epochs": 3, "cell": "rnn_relu"}
    options = {"test_data": data, "curves": True} | options
    return run_study(data, grid, base=base, progress=False, **options)


def test_a_study_is_drawn_in_every_view() -> None:
    result = study(
        [{"batch_size": [size], "learning_rate": [rate], "seed": [0, 1]} for size, rate in ((5, 0.01), (10, 0.02))]
    )
    figure = plot_study(result, "batch_size")
    panels = [axes for axes in figure.axes if axes.get_xlabel()]
    assert [axes.get_xlabel() for axes in panels[::2]] == ["epoch", "updates (log)", "training time (s, log)"]
    by_epoch, by_updates = panels[0], panels[2]
    names = [line.get_label() for line in by_epoch.lines]
    assert names == ["batch size 5, train", "batch size 5, test", "batch size 10, train", "batch size 10, test"]
    assert by_updates.lines[1].get_xdata().tolist() == [6, 12, 18]
    for row, line in zip(result.summarise(), panels[1].lines, strict=True):
        mean = np.mean([run.history["test_accuracy"] for run in row.runs], axis=0)
        assert line.get_ydata() == pytest.approx(100 * mean)
    [band] = [band.get_paths()[0].vertices[:, 1] for band in by_epoch.collections[1:2]]
    losses = [loss for run in result.runs[:2] for loss in run.history["test_loss"]]
    assert (band.min(), band.max()) == pytest.approx((min(losses), max(losses)))


def test_runs_that_broke_off_are_not_drawn() -> None:
    result = study({"learning_rate": [0.01, 1e38], "seed": [0, 1]})
    assert [line.get_label() for line in plot_study(StudyResult(result.runs[:1]), "batch_size").axes[1].lines] == [
        "batch size 32"
    ]
    assert [row.n for row in result.summarise()] == [2, 0]
    figure = plot_study(result, "learning_rate", views=["epoch"], title="mine")
    assert [line.get_label() for line in figure.axes[1].lines] == ["learning rate 0.01"]
    assert figure.get_suptitle() == "mine"


@pytest.mark.parametrize(
    ("grid", "options", "ask", "message"),
    [
        (
            {"batch_size": [5, 9], "epochs": [1, 2]},
            {},
            {},
            r"by must be an option that tells all rows .*; got 'batch_size'",
        ),
        ({"epochs": [1, 2]}, {}, {}, r"by must be an option .*; got 'batch_size', where epochs varies"),
        ({"batch_size": [5, 9]}, {"curves": False}, {}, r"result must have curves of train and test data"),
        ({"learning_rate": [1e38]}, {}, {}, r"result must have a run that went well; got none"),
        ({"batch_size": [5, 9]}, {}, {"by": "seed"}, r"by must be an option .*; got 'seed'"),
        ({"batch_size": [5, 9]}, {}, {"views": []}, r"views must name at least one view"),
        ({"batch_size": [5, 9]}, {}, {"views": ["epochs"]}, r"views must be one of 'epoch', .* mean 'epoch'"),
    ],
)
def test_studies_that_cannot_be_drawn(grid: Any, options: Any, ask: Any, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        plot_study(study(grid, **options), **({"by": "batch_size"} | ask))


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingDependencyError, match=r"matplotlib must be installed to draw; .*'seqclf\[plot\]'"):
        plot_history(History({"loss": [1.0], "accuracy": [1.0]}))
