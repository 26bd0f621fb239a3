"""Progress: smooth where someone watches, a few lines in a log, silent where it is not wanted."""

import io
import sys

import pytest

from seqclf import RNNClassifier, fit
from seqclf.progress import progress_bar
from tests import strategies


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Notebook(io.StringIO):
    """Looks as the stream of a notebook does: it comes from ipykernel and is no terminal."""


Notebook.__module__ = "ipykernel.iostream"


@pytest.mark.parametrize(("stream", "interval"), [(Terminal(), 0.1), (Notebook(), 0.1), (io.StringIO(), 10.0)])
def test_how_often_it_moves_depends_on_who_looks(
    stream: io.StringIO, interval: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    with progress_bar(True, "batch", total=3) as bar:
        assert bar.mininterval == interval
        bar.update()
    assert "1/3" in stream.getvalue() or "0/3" in stream.getvalue()


@pytest.mark.parametrize("shown", [True, False])
def test_a_run_says_how_far_it_is_or_nothing(shown: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    data = strategies.letters_dataset(count=30)
    fit(RNNClassifier.for_dataset(data, hidden_size=4, seed=0), data, epochs=2, progress=shown)
    assert ("epoch 2/2" in stream.getvalue()) == shown
    assert bool(stream.getvalue()) == shown
    assert stream.getvalue().count("\r") < 10  # a log is not flooded
