"""Pictures: what they show, and what they say without matplotlib."""

import sys
from typing import Any

import numpy as np
import pytest

from seqclf import (
    Evaluation,
    History,
    InvalidArgumentError,
    MissingDependencyError,
    StudyResult,
    plot_confusion,
    plot_history,
    plot_study,
    run_study,
)
from tests import strategies


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
