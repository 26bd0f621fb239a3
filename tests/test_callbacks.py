"""Callbacks at every moment of a run, measures by name, a loss of one's own, and batches in parts."""

import io
import sys
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score
from torch import Tensor
from torch.nn.functional import cross_entropy

from seqclf import RNNClassifier, SequenceDataset, evaluate, fit, load, predict_proba
from seqclf.callbacks import Callback, EarlyStopping, FitState, SaveBest
from seqclf.errors import InvalidArgumentError, MissingDependencyError
from tests import strategies

ALL = strategies.letters_dataset(count=55)
DATA, TEST = ALL[:40], ALL[40:]
SEVERAL = SequenceDataset.from_sequences(
    ["ab", "b", "ba", "aab"] * 4, [["x"], ["y"], ["x", "y"], []] * 4, multi_label=True
)

WEIGHTS: list[Any] = [{}, {"class_weight": "balanced"}, {"sample_weight": np.linspace(0.5, 2, 40)}]


def make(data: SequenceDataset = DATA, **options: Any) -> RNNClassifier:
    return RNNClassifier.for_dataset(data, hidden_size=6, seed=0, **options)


def train(model: RNNClassifier, data: SequenceDataset = DATA, **options: Any) -> Any:
    return fit(model, data, **{"epochs": 3, "batch_size": 8, "progress": False, "early_stopping": None} | options)


class Diary(Callback):
    """Notes every call."""

    def __init__(self) -> None:
        self.notes: list[Any] = []

    def on_fit_start(self, state: FitState) -> None:
        self.notes.append(("start", state.epoch, state.update))

    def on_epoch_start(self, state: FitState) -> None:
        self.notes.append(("epoch", state.epoch, state.total_updates))

    def on_update(self, state: FitState) -> None:
        self.notes.append(("update", state.update))

    def on_validation(self, state: FitState) -> None:
        assert state.validation is not None
        state.measures["val_worst"] = float(state.validation.losses.max())
        self.notes.append(("validation", state.measures["val_loss"] == state.validation.loss))

    def on_epoch_end(self, state: FitState) -> None:
        self.notes.append(("end", state.history.epochs))

    def on_fit_end(self, state: FitState) -> None:
        self.notes.append(("over", type(state.error).__name__))


def test_every_moment_is_told_in_order() -> None:
    diary = Diary()
    history = train(make(), batch_size=20, epochs=2, validation_data=TEST, callbacks=diary)
    one = [("update", 1), ("update", 2), ("validation", True), ("end", 1)]
    two = [("update", 3), ("update", 4), ("validation", True), ("end", 2)]
    wanted = [("start", 0, 0), ("epoch", 0, 4), *one, ("epoch", 1, 4), *two, ("over", "NoneType")]
    assert diary.notes == wanted
    assert len(history["val_worst"]) == 2


def test_a_run_that_breaks_still_tells_its_end() -> None:
    diary = Diary()
    with pytest.raises(ZeroDivisionError):
        train(make(), callbacks=[diary, lambda state: 1 / 0])
    assert diary.notes[-1] == ("over", "ZeroDivisionError")


class Averages(Callback):
    """Keeps the mean of all weights over all updates, as its state."""

    def __init__(self) -> None:
        self.count, self.mean = 0, torch.zeros(1)

    def on_update(self, state: FitState) -> None:
        weights = torch.cat([weight.detach().flatten() for weight in state.model.parameters()])
        self.count += 1
        self.mean = self.mean + (weights - self.mean) / self.count

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count, "mean": self.mean}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.count, self.mean = state["count"], state["mean"]


class Breaks(Callback):
    def __init__(self, after: int) -> None:
        self.left = after

    def on_update(self, state: FitState) -> None:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


def focal(logits: Tensor, labels: Tensor) -> Tensor:
    losses = cross_entropy(logits, labels, reduction="none")
    return (1 - (-losses).exp()) ** 2 * losses


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"accumulate": 2, "batch_size": 4},
        {"loss": focal},
        {"early_stopping": EarlyStopping(1, "val_macro_f1"), "metrics": ["macro_f1"]},
        {"batch_size": 4, "accumulate": 3, "max_tokens": 12, "loss": focal},
    ],
)
@pytest.mark.parametrize("after", [2, 7, 11])
def test_a_run_goes_on_as_if_it_had_never_been_broken_off(options: Any, after: int, tmp_path: Path) -> None:
    from seqclf.callbacks import Checkpoint

    options = {"epochs": 4, "validation_data": TEST} | options

    def run(folder: Path, *more: Callback, resume: bool = False) -> tuple[Any, ...]:
        model, average, best = make(), Averages(), SaveBest(tmp_path / "best.safetensors", "val_accuracy")
        checkpoint = Checkpoint(folder, every_steps=1)
        callbacks = [average, best, *more]
        history = train(model, callbacks=callbacks, checkpoint=checkpoint, resume=resume, **options)
        history.measures.pop("seconds")
        return history, average.count, average.mean, best._best.value, model.state_dict()

    whole = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", Breaks(after))
    again = run(tmp_path / "parts", resume=True)
    assert again[0] == whole[0]
    assert again[1] == whole[1]
    assert torch.equal(again[2], whole[2])
    assert again[3] == whole[3]
    assert all(torch.equal(again[4][name], whole[4][name]) for name in whole[4])


def test_a_run_with_other_callbacks_of_a_state_is_another(tmp_path: Path) -> None:
    options = {"label_smoothing": 0.0, "callbacks": Averages()}
    train(make(), checkpoint=tmp_path, **options)
    with pytest.raises(InvalidArgumentError, match=r"a run of the same callbacks; got .'Averages'. in"):
        train(make(), checkpoint=tmp_path, resume=True, label_smoothing=0.0)
    with pytest.raises(InvalidArgumentError, match="a run of the same loss"):
        train(make(), checkpoint=tmp_path, resume=True, loss=focal, **options)
    with pytest.raises(InvalidArgumentError, match=r"a run of the same (batch_size|accumulate)"):
        train(make(), checkpoint=tmp_path, resume=True, batch_size=4, accumulate=2, **options)


def test_a_class_in_place_of_an_object_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="callables that take a FitState; got Diary itself"):
        train(make(), callbacks=[Diary])
    with pytest.raises(InvalidArgumentError, match=r"got EarlyStopping. Pass it as early_stopping=\."):
        train(make(), callbacks=[EarlyStopping(2)])


def test_the_best_model_is_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "best.safetensors"
    kept: list[np.ndarray[Any, Any]] = []
    scores: list[float] = []

    def note(state: FitState) -> None:
        kept.append(predict_proba(state.model, TEST))
        scores.append(state.measures["val_macro_f1"])

    train(
        make(), epochs=6, validation_data=TEST, metrics=["macro_f1"], callbacks=[note, SaveBest(path, "val_macro_f1")]
    )
    assert np.array_equal(predict_proba(load(path), TEST), kept[int(np.argmax(scores))])


def test_where_the_best_model_cannot_go_is_known_before_the_first_update(tmp_path: Path) -> None:
    from seqclf.errors import FileFormatError

    diary = Diary()
    with pytest.raises(FileFormatError, match="folder must exist"):
        train(make(), validation_data=TEST, callbacks=[SaveBest(tmp_path / "none" / "best.safetensors"), diary])
    assert not [note for note in diary.notes if note[0] == "update"]


def test_the_best_of_an_earlier_run_stays_until_an_epoch_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "best.safetensors"
    train(make(), epochs=1, callbacks=SaveBest(path, "loss"))
    before = path.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        train(make(), callbacks=[SaveBest(path, "loss"), Breaks(1)])
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


class Chatty(Callback):
    def on_epoch_end(self, state: FitState) -> Any:
        return state.epoch + 1  # no True


def test_only_true_from_a_callback_ends_the_training() -> None:
    assert train(make(), epochs=3, callbacks=Chatty()).epochs == 3


@pytest.mark.parametrize(
    ("monitor", "text"),
    [
        (
            "val_macro_f1",
            r"monitor must be a measure that the run has, loss, accuracy, val_loss, val_accuracy, val_m",
        ),
        ("val_micro", r"got 'val_micro'. Did you mean 'val_micro_f1'\? Others come with metrics=, such as"),
    ],
)
def test_a_monitor_that_no_epoch_has_is_refused(monitor: str, text: str, tmp_path: Path) -> None:
    for options in ({"early_stopping": EarlyStopping(3, monitor)}, {"callbacks": SaveBest(tmp_path / "m", monitor)}):
        with pytest.raises(InvalidArgumentError, match=text):
            train(make(), validation_data=TEST, metrics=["micro_f1"], **options)
    found = train(make(), validation_data=TEST, early_stopping=EarlyStopping(3, "val_worst"), callbacks=Diary())
    assert found.best_epoch is not None


def brier(probabilities: Tensor, labels: Tensor) -> float:
    return float((probabilities - torch.eye(probabilities.shape[1])[labels]).square().sum(1).mean())


def test_measures_are_those_of_evaluate() -> None:
    model = make()
    names = ["macro_f1", "micro_f1", "calibration_error", "average_precision", "roc_auc", "top_2_accuracy"]
    history = train(model, epochs=2, validation_data=TEST, metrics=[*names, brier])
    result = evaluate(model, TEST, keep_probabilities=True, metrics={"brier": brier})
    assert history["val_macro_f1"][-1] == result.macro_f1
    assert history["val_macro_f1"][-1] == pytest.approx(
        f1_score(result.labels, result.predictions, average="macro", zero_division=0)
    )
    assert history["val_calibration_error"][-1] == result.calibration_error()
    assert history["val_roc_auc"][-1] == result.roc_auc
    assert history["val_average_precision"][-1] == result.average_precision
    assert history["val_top_2_accuracy"][-1] == result.top_k_accuracy(2)
    assert history["val_brier"][-1] == result.metrics["brier"]
    for alone in ("macro_f1", brier):
        assert len(train(make(), epochs=1, validation_data=TEST, metrics=alone).measures) == 9
    mapped = train(make(), epochs=1, validation_data=TEST, metrics={"score": brier})
    assert list(mapped)[-1] == "val_score"
    several = train(
        make(SEVERAL), SEVERAL, epochs=1, validation_data=SEVERAL, metrics=["micro_f1", "average_precision"]
    )
    assert several["val_average_precision"][0] > 0


@pytest.mark.parametrize(
    ("metrics", "text"),
    [
        (["macro_f2"], r"metrics must be callables, or of macro_f1, .*got 'macro_f2'. Did you mean 'macro_f1'\?"),
        (3, "metrics must be a list of names and callables, or a mapping .*; got 3"),
        ([3], "metrics must be names or callables; got int"),
        ([brier, brier], "metrics must have names of their own; got 'brier', which there is already"),
        ({"loss": brier}, "metrics must have names of their own; got 'loss', which there is already"),
        ([lambda p, y: "much"], "metrics must take probabilities .* raised ValueError"),
        ({"bad": lambda p: 1.0}, "and return a number; bad raised TypeError"),
    ],
)
def test_metrics_that_cannot_be_are_refused_before_any_work(metrics: Any, text: str) -> None:
    model = make()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    with pytest.raises(InvalidArgumentError, match=text):
        train(model, validation_data=TEST, metrics=metrics)
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())


def test_metrics_need_data_labels_and_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidArgumentError, match=r"metrics must come with validation_data, .*got \['macro_f1'\]"):
        train(make(), metrics=["macro_f1"])
    with pytest.raises(InvalidArgumentError, match="top_k_accuracy must have one label for each sequence"):
        train(make(SEVERAL), SEVERAL, validation_data=SEVERAL, metrics=["top_2_accuracy"])
    monkeypatch.setitem(sys.modules, "sklearn.metrics", None)
    with pytest.raises(MissingDependencyError, match="roc_auc must have scikit-learn"):
        train(make(), validation_data=TEST, metrics=["roc_auc"])


def plain(logits: Tensor, labels: Tensor) -> Tensor:
    return cross_entropy(logits, labels, reduction="none")


@pytest.mark.parametrize("weights", WEIGHTS)
def test_the_usual_loss_given_as_ones_own_trains_the_same(weights: Any) -> None:
    one, other = (make().double() for _ in range(2))
    optimizer = {"optimizer": lambda weights: torch.optim.SGD(weights, lr=0.1), "label_smoothing": 0.0}
    known, own = train(one, **weights, **optimizer), train(other, loss=plain, **weights, **optimizer)
    assert own["loss"] == pytest.approx(known["loss"], abs=1e-12)
    for first, second in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.allclose(first, second, atol=1e-12, rtol=0)


def test_a_loss_of_ones_own_is_what_is_minimised() -> None:
    def mean(model: RNNClassifier) -> float:
        logits = torch.from_numpy(predict_proba(model, DATA)).double().log()
        return float(focal(logits, DATA.labels).mean())

    model = make()
    before = mean(model)
    history = train(model, epochs=30, loss=focal)
    assert mean(model) < 0.8 * before
    assert history.config["loss"] == "focal"
    train(make(SEVERAL), SEVERAL, loss=lambda z, y: (z.sigmoid() - y).square().mean(1))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"loss": "focal"}, r"loss must be a function of logits \(B, C\) and labels that returns \(B,\); got 'focal'"),
        ({"loss": cross_entropy}, r"loss must return one value for each sequence, .* shape \(2,\); got shape \(\)"),
        ({"loss": lambda z, y: 1.0}, r"a tensor of shape \(2,\); got float"),
        ({"loss": lambda z, y: torch.zeros(2)}, r"loss must be able to take logits .*raised RuntimeError"),
        ({"loss": lambda z, y: z.sum(1) / 0}, r"loss must have a finite gradient by the logits"),
        ({"loss": lambda z: z}, r"loss must be able to take logits \(B, C\) and labels; function raised TypeError"),
        ({"loss": focal, "label_smoothing": 0.1}, r"label_smoothing must be 0 beside a loss, .*got 0.1"),
        ({"accumulate": 0}, "accumulate must be an integer of at least 1; got 0"),
    ],
)
def test_losses_that_cannot_be_are_refused_before_any_work(options: Any, text: str) -> None:
    diary = Diary()
    with pytest.raises(InvalidArgumentError, match=text):
        train(make(), callbacks=diary, **options)
    assert not diary.notes


def test_labels_are_not_weighed_where_a_loss_is_one_value_for_all() -> None:
    with pytest.raises(InvalidArgumentError, match="class_weight must be None beside a loss of several labels"):
        train(make(SEVERAL), SEVERAL, loss=lambda z, y: z.sum(1), class_weight="balanced")


@given(
    parts=st.integers(1, 5),
    count=st.integers(2, 4),
    max_tokens=st.sampled_from([None, 20]),
    weights=st.sampled_from(WEIGHTS),
    own=st.booleans(),
)
def test_batches_in_parts_train_as_whole_ones(
    parts: int, count: int, max_tokens: int | None, weights: Any, own: bool
) -> None:
    """Dropout included, as it goes by the sequence."""
    one, other = (make().double() for _ in range(2))
    options = {"epochs": 2, "optimizer": lambda weights: torch.optim.SGD(weights, lr=0.1), **weights}
    options |= {"loss": focal} if own else {}
    limits = ({}, {}) if max_tokens is None else ({"max_tokens": max_tokens * count}, {"max_tokens": max_tokens})
    whole = train(one, **options | {"batch_size": parts * count} | limits[0])
    found = train(other, **options | {"batch_size": parts, "accumulate": count} | limits[1])
    assert found["steps"] == whole["steps"]
    assert found["loss"] == pytest.approx(whole["loss"], abs=1e-12)
    assert found.config["accumulate"] == count
    for first, second in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.allclose(first, second, atol=1e-12, rtol=0)


def test_parts_are_no_larger_than_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from seqclf.training.steps import NativeSteps, StepData

    seen: list[tuple[int, int]] = []
    real = NativeSteps.compute_gradients

    def note(self: NativeSteps, data: StepData, *arguments: Any) -> Tensor:
        seen.append((len(data.indices), data.padded_steps))
        return real(self, data, *arguments)

    monkeypatch.setattr(NativeSteps, "compute_gradients", note)
    train(make(), batch_size=6, max_tokens=24, accumulate=3, dry_run=True)
    assert max(count for count, _ in seen) <= 6
    assert max(steps for _, steps in seen) <= 24
    assert len(seen) > 3


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stream", [Terminal(), io.StringIO()])
def test_each_epoch_leaves_a_line(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    train(make(), epochs=10, validation_data=TEST, progress=True)
    lines = stream.getvalue().replace("\r", "\n").splitlines()
    told = [line for line in lines if "val_loss" in line]
    assert len(told) == 10
    assert "epoch  1/10: loss" in told[0]
    assert "epoch 10/10: loss" in told[-1]
    assert ("\r" in stream.getvalue()) == stream.isatty()


def test_a_log_is_not_silent_within_a_long_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr("seqclf.training.log._SILENCE", 0.0)
    train(make(), epochs=1, progress=True)
    assert "epoch 1/1: 3 of 5 updates" in stream.getvalue()


@pytest.mark.parametrize("tracker", ["wandb", "mlflow"])
def test_what_the_page_shows_for_trackers_works(tracker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parent.parent / "docs" / "callbacks.md").read_text(encoding="utf-8")
    (block,) = [part for part in page.split("```") if part.startswith(f"python\nimport {tracker}")]
    module = MagicMock()
    monkeypatch.setitem(sys.modules, tracker, module)
    namespace: dict[str, Any] = {"Callback": Callback}
    exec(block.removeprefix("python\n"), namespace)
    (kind,) = [one for one in namespace.values() if isinstance(one, type) and one is not Callback]
    train(make(), epochs=2, callbacks=kind())
    logged = module.init.return_value.log if tracker == "wandb" else module.log_metrics
    assert [call.args[0]["steps"] for call in logged.call_args_list] == [5, 5]
    ended = module.init.return_value.finish if tracker == "wandb" else module.end_run
    assert ended.call_count == 1
