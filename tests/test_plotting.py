"""Pictures: what they show, and what they say without matplotlib."""

import sys

import numpy as np
import pytest

from seqclf import Evaluation, History, MissingDependencyError, plot_confusion, plot_history


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


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingDependencyError, match=r"matplotlib must be installed to draw; .*'seqclf\[plot\]'"):
        plot_history(History({"loss": [1.0], "accuracy": [1.0]}))
