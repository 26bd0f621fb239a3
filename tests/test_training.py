"""fit: it learns, it measures honestly, it is reproducible, and it refuses what cannot work."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import ExponentialLR, OneCycleLR, ReduceLROnPlateau

from seqclf import History, RNNClassifier, SequenceDataset, evaluate, fit
from seqclf.callbacks import EarlyStopping, FitState
from seqclf.defaults import PLAIN
from seqclf.errors import InvalidArgumentError, InvalidDataError, TrainingError
from seqclf.training.steps import NativeSteps, StepData
from seqclf.training.stopping import StopEarly
from tests import strategies

DATA = strategies.letters_dataset(count=80)
TEST = strategies.letters_dataset(count=30, seed=1, vocabulary=DATA.vocabulary)


def make(data: SequenceDataset = DATA, **options: Any) -> RNNClassifier:
    return RNNClassifier.for_dataset(data, **({"hidden_size": 8, "seed": 0} | PLAIN | options))


def train(model: RNNClassifier | None = None, data: SequenceDataset = DATA, **options: Any) -> History:
    return fit(model or make(data), data, **({"epochs": 3, "batch_size": 8, "progress": False} | options))


def weights(model: nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def descend(model: nn.Module, loss: torch.Tensor) -> None:
    """Make one plain step by hand, with a learning rate of 0.5."""
    parameters = list(model.parameters())
    for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
        parameter.data -= 0.5 * gradient


def test_weights_that_are_spoilt_already_are_not_trained() -> None:
    data = strategies.letters_dataset(count=10)
    model = RNNClassifier.for_dataset(data, hidden_size=4, seed=0)
    torch.nn.init.constant_(model.head.bias, torch.nan)
    with pytest.raises(InvalidArgumentError, match=r"weights must be finite before training; got one .* in head\.bias"):
        fit(model, data, epochs=1, progress=False)


@pytest.mark.parametrize("cell", strategies.CELLS)
def test_every_cell_learns_the_task(cell: Any) -> None:
    model = make(cell=cell)
    test = SequenceDataset.from_pairs(
        [("bca", "a"), ("abc", "c"), ("b", "b"), ("cc", "c")], vocabulary=DATA.vocabulary, classes=DATA.classes
    )
    history = train(model, validation_data=test, epochs=25, optimizer=lambda parameters: AdamW(parameters, lr=0.01))
    assert history["loss"][-1] < 0.3 * history["loss"][0]
    assert history["val_accuracy"][-1] == 1.0
    assert history["val_loss"][-1] == pytest.approx(evaluate(model, test).loss)


def test_features_are_learned() -> None:
    rng = np.random.default_rng(0)
    pairs = [(rng.normal(size=(rng.integers(2, 9), 2)) + sign, sign) for sign in (-1, 1) for _ in range(40)]
    data = SequenceDataset.from_pairs(pairs)
    model = make(data)
    train(model, data, epochs=15)
    assert evaluate(model, data).accuracy > 0.95


def test_the_history_measures_what_it_says() -> None:
    history = train(validation_data=TEST)
    assert history.epochs == 3
    names = {"loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds", "steps", "padding_waste"}
    assert set(history) == set(history.keys()) == names
    assert all(len(history[name]) == 3 for name in names)
    assert history["steps"] == [10.0] * 3
    assert all(1 <= waste < 1.5 for waste in history["padding_waste"])
    assert all(0 <= accuracy <= 1 for accuracy in history["accuracy"])
    assert history.stopped_by == "epochs"
    assert History.from_json(history.to_json()) == history
    assert dict(history)["loss"] == history["loss"]
    assert "val_loss" not in train()
    assert repr(history).startswith("History(3 epochs, last: loss=")
    assert repr(History()) == "History(0 epochs)"


def test_the_training_loss_counts_every_sequence_once() -> None:
    """With a learning rate of nothing, the mean over uneven batches is the mean over the sequences."""
    model = make()
    history = train(model, batch_size=7, epochs=1, optimizer=lambda parameters: SGD(parameters, lr=0.0))
    result = evaluate(model, DATA)
    assert history["loss"][0] == pytest.approx(result.loss, rel=1e-6)
    assert history["accuracy"][0] == pytest.approx(result.accuracy)


def test_same_seed_same_weights_and_the_global_generator_is_left_alone() -> None:
    before = torch.random.get_rng_state()
    runs = []
    for seed in (0, 0, 1):
        model = make(dropout=0.5)
        train(model, seed=seed)
        runs.append(weights(model))
        torch.rand(3)  # what others draw in between changes nothing
        torch.random.set_rng_state(before)
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])
    train(dropout_free := make())
    assert torch.equal(torch.random.get_rng_state(), before)
    assert dropout_free.training


def test_one_full_batch_is_one_step_of_plain_gradient_descent() -> None:
    model, by_hand = make().double(), make().double()
    train(model, epochs=1, batch_size=len(DATA), optimizer=SGD(model.parameters(), lr=0.5))
    batch = DATA.batch(range(len(DATA)))
    descend(by_hand, cross_entropy(by_hand(batch.inputs, batch.lengths), batch.labels))
    assert torch.allclose(weights(model), weights(by_hand), atol=1e-12)


@pytest.mark.parametrize("optimizer", [None, Adam, lambda parameters: AdamW(parameters, lr=0.01), "instance"])
def test_optimizers_of_every_form(optimizer: Any) -> None:
    model = make()
    optimizer = SGD(model.parameters(), lr=0.5, momentum=0.9) if optimizer == "instance" else optimizer
    before = weights(model)
    train(model, optimizer=optimizer)
    assert not torch.equal(before, weights(model))


def test_schedulers_by_epoch_step_and_plateau() -> None:
    def sgd(parameters: Any) -> SGD:
        return SGD(parameters, lr=1.0)

    by_epoch = train(optimizer=sgd, scheduler=lambda optimizer: ExponentialLR(optimizer, 0.5))
    assert by_epoch["learning_rate"] == [1.0, 0.5, 0.25]
    by_step = train(optimizer=sgd, scheduler=lambda optimizer: ExponentialLR(optimizer, 0.5), scheduler_interval="step")
    assert by_step["learning_rate"] == [0.5**9, 0.5**19, 0.5**29]
    one_cycle = train(optimizer=sgd, scheduler=lambda optimizer: OneCycleLR(optimizer, 1.0, total_steps=30))
    assert one_cycle["learning_rate"][-1] < 1e-4
    model = make()
    optimizer = SGD(model.parameters(), lr=1e-3)
    plateau = ReduceLROnPlateau(optimizer, factor=0.1, patience=0, threshold=0.5)
    history = train(model, optimizer=optimizer, scheduler=plateau, validation_data=TEST)
    assert history["learning_rate"] == pytest.approx([1e-3, 1e-3, 1e-4])
    train(optimizer=sgd, scheduler=ReduceLROnPlateau)


def test_clipping_bounds_the_step() -> None:
    model = make()
    before = weights(model)
    train(
        model, epochs=1, batch_size=len(DATA), clip_grad_norm=1e-3, optimizer=lambda parameters: SGD(parameters, lr=1.0)
    )
    assert float((weights(model) - before).norm()) == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_label_smoothing_is_torchs_and_leaves_the_measures_plain(class_weight: Any) -> None:
    model, by_hand = make().double(), make().double()
    history = train(
        model,
        epochs=1,
        batch_size=len(DATA),
        class_weight=class_weight,
        label_smoothing=0.2,
        optimizer=SGD(model.parameters(), lr=0.5),
    )
    weight = len(DATA) / (3 * torch.bincount(DATA.labels).double()) if class_weight else None
    batch = DATA.batch(range(len(DATA)))
    logits = by_hand(batch.inputs, batch.lengths)
    assert history["loss"][0] == pytest.approx(float(cross_entropy(logits, batch.labels).detach()))
    descend(by_hand, cross_entropy(logits, batch.labels, weight=weight, label_smoothing=0.2))
    assert torch.allclose(weights(model), weights(by_hand), atol=1e-12)


def test_class_weights_scale_the_gradient() -> None:
    batch = DATA.batch(range(len(DATA)))
    counts = torch.bincount(DATA.labels).double()
    balanced = (len(DATA) / (3 * counts)).tolist()
    for passed, meant in [
        ("balanced", balanced),
        ({"a": 2.0, "c": 0.5}, [2.0, 1.0, 0.5]),
        ([3.0, 1.0, 1.0], [3.0, 1.0, 1.0]),
        (torch.tensor([3.0, 1.0, 1.0]), [3.0, 1.0, 1.0]),
    ]:
        model, by_hand = make().double(), make().double()
        history = train(
            model, epochs=1, batch_size=len(DATA), class_weight=passed, optimizer=SGD(model.parameters(), lr=0.5)
        )
        logits = by_hand(batch.inputs, batch.lengths)
        assert history["loss"][0] == pytest.approx(float(cross_entropy(logits, batch.labels).detach()))
        descend(by_hand, cross_entropy(logits, batch.labels, weight=torch.tensor(meant, dtype=torch.float64)))
        assert torch.allclose(weights(model), weights(by_hand), atol=1e-12)


@given(
    st.lists(st.integers(0, 3), min_size=len(DATA), max_size=len(DATA)).filter(any),
    st.sampled_from([None, [3.0, 1.0, 0.5]]),
    st.sampled_from([0.0, 0.2]),
)
def test_a_sequence_of_weight_k_counts_as_k_of_it(counts: list[int], class_weight: Any, smoothing: float) -> None:
    several = DATA.subset([index for index, count in enumerate(counts) for _ in range(count)])
    found = []
    for data, weight in [(DATA, counts), (DATA, [0.5 * count for count in counts]), (several, None)]:
        model = make().double()
        sgd = SGD(model.parameters(), lr=0.5)
        options = {"class_weight": class_weight, "label_smoothing": smoothing, "sample_weight": weight}
        fit(model, data, epochs=1, batch_size=len(several), optimizer=sgd, progress=False, **options)
        found.append(weights(model))
    assert torch.allclose(found[0], found[2], atol=1e-12)
    assert torch.allclose(found[0], found[1], atol=1e-12)


@pytest.mark.parametrize("scale", [1e-50, 1e39, 1e-300, 1e300])
def test_only_ratios_of_weights_count(scale: float) -> None:
    own = [1.0 + index % 3 for index in range(len(DATA))]
    found = []
    for weight in (own, [scale * one for one in own]):
        model = make()
        train(model, sample_weight=weight)
        found.append(weights(model))
    assert torch.allclose(found[0], found[1], atol=1e-6)


def test_weights_too_small_for_the_type_are_left_out() -> None:
    for weight in (1e-46, 1e-39):
        model, judge = make(), make()
        train(model, batch_size=4, sample_weight=[1.0] * 8 + [weight] * (len(DATA) - 8))
        train(judge, DATA.subset(range(8)), batch_size=4, sample_weight=[1.0] * 8)
        assert torch.equal(weights(model), weights(judge))


@pytest.mark.parametrize(
    ("options", "empty"),
    [({"sample_weight": [0, 0, 1, 1, 1]}, "error"), ({}, "skip"), ({"sample_weight": [0, 1, 1, 1, 1]}, "skip")],
)
def test_errors_tell_where_a_sequence_stands_in_what_was_given(options: Any, empty: Any) -> None:
    texts = ["" if empty == "skip" and index == 1 else "ab" for index in range(5)]
    data = SequenceDataset.from_pairs([(text, "xy"[index % 2]) for index, text in enumerate(texts)], allow_empty=True)
    model = RNNClassifier.for_dataset(data, hidden_size=4, empty=empty, seed=0, **PLAIN)
    with torch.no_grad():
        model.head.weight.fill_(3e38)  # finite, which the logits will not be
        nn.init.constant_(model.encoder.get_parameter("bias_ih_l0"), 9.0)
    with pytest.raises(TrainingError) as caught:
        fit(model, data, epochs=1, batch_size=9, progress=False, device="cpu", **options)
    left = [index for index in range(5) if texts[index] and options.get("sample_weight", [1] * 5)[index]]
    assert sorted(caught.value.indices) == left


@pytest.mark.parametrize("convert", [list, np.array, lambda kept: torch.tensor(kept, requires_grad=True)])
def test_sequences_of_weight_0_are_left_out(convert: Any) -> None:
    kept = torch.arange(len(DATA)) % 3 > 0
    found = []
    for data, weight in [(DATA, convert(kept.double().tolist())), (DATA.subset(torch.nonzero(kept)[:, 0]), None)]:
        model = make()
        history = train(model, data=data, epochs=3, batch_size=2, sample_weight=weight)
        found.append((weights(model), history["loss"]))
    assert torch.allclose(found[0][0], found[1][0], atol=1e-6)
    assert found[0][1] == pytest.approx(found[1][1], abs=1e-6)


def test_weights_stay_with_their_sequences_where_others_are_skipped() -> None:
    pairs = [("ab", "x"), ("", "y"), ("ba", "y"), ("b", "x")]
    whole = SequenceDataset.from_pairs(pairs, allow_empty=True)
    found = []
    for data, weight in [(whole, [1.0, 7.0, 2.0, 3.0]), (whole.subset([0, 2, 3]), [1.0, 2.0, 3.0])]:
        model = RNNClassifier.for_dataset(whole, hidden_size=4, empty="skip", seed=0, **PLAIN)
        fit(model, data, epochs=2, sample_weight=weight, progress=False)
        found.append(weights(model))
    assert torch.equal(*found)


def test_early_stopping_goes_back_to_the_best() -> None:
    """After the second epoch the training goes uphill, so that epoch stays the best."""
    model = make()
    seen = []

    def turn_around(end: FitState) -> None:
        seen.append(weights(end.model))
        if end.epoch == 1:
            end.optimizer.param_groups[0]["lr"] = -0.1

    history = train(
        model,
        epochs=20,
        optimizer=lambda parameters: SGD(parameters, lr=0.1),
        validation_data=DATA,
        early_stopping=EarlyStopping(patience=3),
        callbacks=[turn_around],
    )
    assert history.best_epoch is not None
    assert history["val_loss"][history.best_epoch] == min(history["val_loss"])
    assert history.epochs == history.best_epoch + 4
    assert history.stopped_by == "early_stopping"
    assert torch.equal(weights(model), seen[history.best_epoch])
    assert evaluate(model, DATA).loss == pytest.approx(min(history["val_loss"]))


def test_early_stopping_rules() -> None:
    def epochs_until_stop(rule: EarlyStopping, values: list[float]) -> int:
        stopper, state, stops = StopEarly(rule), FitState(0, make(), SGD([torch.zeros(1)]), History()), []
        for state.epoch, value in enumerate(values):
            state.measures = {rule.monitor: value}
            stops.append(stopper.on_epoch_end(state))
        return stops.index(True) + 1 if True in stops else -1

    assert epochs_until_stop(EarlyStopping(patience=2), [3.0, 2.0, 2.0, 2.0]) == 4
    assert epochs_until_stop(EarlyStopping(patience=2), [3.0, 2.0, 1.0, 0.5]) == -1
    assert epochs_until_stop(EarlyStopping(patience=1, min_delta=0.5), [3.0, 2.6]) == 2
    assert epochs_until_stop(EarlyStopping(patience=1, monitor="val_accuracy"), [0.1, 0.2, 0.2]) == 3
    assert epochs_until_stop(EarlyStopping(patience=1, monitor="val_calibration_error"), [0.2, 0.1, 0.1]) == 3
    assert epochs_until_stop(EarlyStopping(patience=1, monitor="val_cost", mode="min"), [0.2, 0.1, 0.1]) == 3
    last = make()
    history = train(last, epochs=2, early_stopping=EarlyStopping(monitor="loss", restore_best=False))
    assert history.best_epoch == 1
    assert history.stopped_by == "epochs"


def test_callbacks_see_the_epoch_and_may_stop() -> None:
    epochs: list[int] = []

    def note(state: FitState) -> bool:
        epochs.append(state.epoch)
        return state.history.epochs == 2

    history = train(epochs=9, callbacks=[note, lambda state: None])
    assert epochs == [0, 1]
    assert (history.epochs, history.stopped_by) == (2, "callback")


def test_progress_shows_and_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    train()
    assert capsys.readouterr().err == ""
    train(progress=True, validation_data=TEST)
    shown = capsys.readouterr().err
    assert "epoch 3/3" in shown
    assert "val_accuracy " in shown


def test_the_model_lands_on_the_device() -> None:
    model = make()
    train(model, device=torch.device("cpu"))
    assert model.device.type == "cpu"


OTHER = SequenceDataset.from_pairs([("xyz", "a"), ("x", "b"), ("y", "c")])
OTHER_CLASSES = SequenceDataset.from_pairs([("abc", "q")], vocabulary=DATA.vocabulary)
FEATURES = SequenceDataset.from_pairs([(np.ones((2, 3)), "a")])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, r"epochs must be an integer of at least 1; got 0"),
        ({"batch_size": 0}, r"batch_size must be an integer of at least 1; got 0"),
        ({"seed": -1}, r"seed must be an integer of at least 0; got -1"),
        ({"validation_data": [("a", "a")]}, r"validation_data must be a SequenceDataset; got list"),
        ({"validation_data": OTHER}, r"must be encoded with the model's vocabulary"),
        ({"validation_data": OTHER_CLASSES}, r"must have the model's classes, \('a', 'b', 'c'\); got \('q',\)"),
        ({"validation_data": FEATURES}, r"must have the model's symbols; got 3 features a step"),
        ({"optimizer": "sgd"}, r"optimizer must be a torch Optimizer, or a callable .*; got str"),
        ({"optimizer": lambda parameters: 5}, r"optimizer must be a torch Optimizer, .*; got int"),
        ({"optimizer": SGD(nn.Linear(1, 1).parameters(), 1)}, r"optimizer must hold parameters of the model; got none"),
        ({"scheduler": ExponentialLR(SGD(nn.Linear(1, 1).parameters(), 1), 1)}, r"one of another optimizer"),
        ({"scheduler_interval": "batch"}, r"scheduler_interval must be one of 'epoch', 'step'; got 'batch'"),
        ({"clip_grad_norm": 0}, r"clip_grad_norm must be a finite number above 0; got 0"),
        ({"learning_rate": -0.1}, r"learning_rate must be a finite number above 0; got -0.1"),
        ({"learning_rate": True}, r"learning_rate must be a finite number above 0; got True"),
        (
            {"learning_rate": 0.1, "optimizer": torch.optim.SGD},
            r"learning_rate must be None beside an optimizer, which has its own; got 0.1. Give it to the optimizer",
        ),
        ({"label_smoothing": 1.0}, r"label_smoothing must be a number from 0"),
        ({"class_weight": "balance"}, r"class_weight must be one of 'balanced'; got 'balance'\. Did you mean"),
        ({"class_weight": {"z": 1}}, r"class_weight must name classes of train; got 'z'"),
        ({"class_weight": [1.0]}, r"3 finite numbers above 0, one for each class; got \[1\.0\]"),
        ({"class_weight": [1.0, -1.0, 1.0]}, r"3 finite numbers above 0"),
        ({"class_weight": {"a": "much"}}, r"class_weight must hold numbers; got \['much', 1\.0, 1\.0\]"),
        ({"sample_weight": ["a"] * len(DATA)}, r"sample_weight must hold numbers; got \['a', 'a'"),
        ({"sample_weight": [1.0]}, rf"sample_weight must hold {len(DATA)} numbers, .*; got the shape \(1,\)"),
        ({"sample_weight": [1.0] * (len(DATA) - 1) + [-1.0]}, rf"at least 0; got -1\.0 \(sequence {len(DATA) - 1}\)"),
        ({"sample_weight": [float("nan")] * len(DATA)}, r"finite numbers of at least 0; got nan \(sequence 0\)"),
        (
            {"sample_weight": [0] * len(DATA)},
            r"sample_weight must be above zero for one sequence at least; got weights of zero",
        ),
        ({"early_stopping": 5}, r"early_stopping must be an EarlyStopping; got 5"),
        (
            {"early_stopping": EarlyStopping()},
            r"monitor must be a measure .*; got 'val_loss'. Pass validation_data.",
        ),
        ({"device": "gpu9"}, r"device must be one that torch can use; got 'gpu9'"),
    ],
)
def test_bad_arguments_are_refused_before_any_work(options: Any, message: str) -> None:
    model = make()
    before = weights(model)
    with pytest.raises((InvalidArgumentError, InvalidDataError), match=message):
        train(model, **options)
    assert torch.equal(before, weights(model))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patience": 0}, r"patience must be an integer of at least 1"),
        ({"monitor": 3}, r"monitor must be the name of a measure; got 3"),
        ({"mode": "least"}, r"mode must be one of 'auto', 'min', 'max'; got 'least'"),
        ({"min_delta": -1}, r"min_delta must be a number of at least 0; got -1"),
    ],
)
def test_bad_early_stopping(options: Any, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        EarlyStopping(**options)


def test_a_model_of_too_few_ids() -> None:
    model = RNNClassifier(3, vocab_size=3)
    with pytest.raises(InvalidDataError, match=r"at most the model's 3 ids; got 5"):
        train(model)


def test_weights_that_an_update_spoils_stop_the_training() -> None:
    with pytest.raises(
        TrainingError, match=r"epoch 1, update 2 .* must be finite; got embedding\.weight made infinite"
    ):
        train(optimizer=lambda parameters: SGD(parameters, lr=float("inf")))


class Spoiling(nn.Module):
    """A pooling whose gradient is not finite; or, where a sequence has eight steps, its result."""

    def __init__(self, size: int, spoil: str) -> None:
        super().__init__()
        self.output_size, self.spoil = size, spoil
        self.scale = nn.Linear(size, size)

    def forward(self, states: Tensor, lengths: Tensor) -> Tensor:
        pooled: Tensor = self.scale(states.sum(1))
        if self.spoil == "result":
            return torch.where((lengths == 8)[:, None], torch.inf, pooled)
        return pooled + (pooled * 0).sqrt()  # that is 0, and the gradient of a root there is infinite


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ("result", "got one that is not, as the logits are not"),
        ("gradient", r"got one that is not, in pooling\.scale\.bias"),
    ],
)
def test_a_gradient_that_is_not_finite_reaches_no_weight(spoil: str, message: str) -> None:
    data = strategies.letters_dataset(count=60)
    data = data.subset(torch.argsort(data.lengths))
    model = RNNClassifier.for_dataset(data, hidden_size=4, pooling=Spoiling(4, spoil), seed=0)
    kept: list[Any] = []

    def keep(optimizer: Optimizer, *_: Any) -> None:
        kept.append([parameter.detach().clone() for group in optimizer.param_groups for parameter in group["params"]])

    optimizer = SGD(model.parameters(), lr=0.01)
    optimizer.register_step_post_hook(keep)
    with pytest.raises(TrainingError, match=message + r".*The update was not made: .* the largest, \d") as raised:
        fit(model, data, optimizer=optimizer, epochs=3, batch_size=4, device="cpu", progress=False)
    error = raised.value
    assert error.epoch == 0
    assert error.update == len(kept)
    if spoil == "result":
        assert max(data.lengths[error.indices]) == 8
    for parameter, before in zip(model.parameters(), kept[-1] if kept else model.parameters(), strict=True):
        assert torch.equal(parameter, before)
        assert bool(parameter.isfinite().all())


def test_where_gradients_are_not_looked_at_the_loss_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU."""
    monkeypatch.setattr("seqclf.training.update.is_finite", lambda _: True)
    monkeypatch.setattr("seqclf.training.update.can_update", lambda _: False)
    with pytest.raises(TrainingError, match=r"the loss must stay finite; got (nan|inf) in epoch 1\. Lower the"):
        train(optimizer=lambda parameters: SGD(parameters, lr=float("inf")))


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("CUDA out of memory. Tried to allocate ...")])
def test_a_dry_run_finds_what_memory_holds(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    data = strategies.letters_dataset(count=40)
    sizes: list[tuple[int, int]] = []
    real = NativeSteps.compute_gradients

    def compute(self: NativeSteps, data: StepData, *arguments: Any) -> Tensor:
        sizes.append((len(data.indices), data.padded_steps // len(data.indices)))
        if data.padded_steps > limit:
            raise error
        return real(self, data, *arguments)

    monkeypatch.setattr(NativeSteps, "compute_gradients", compute)
    limit = 40
    with pytest.raises(TrainingError, match=r"not hold 16 sequences of up to 8 steps\. Pass max_tokens=32, which did"):
        train(data=data, batch_size=16, dry_run=True)
    assert sizes == [(16, 8), (8, 8), (4, 8)]
    sizes.clear()
    train(data=data, batch_size=16, max_tokens=40, dry_run=True, epochs=1)
    assert sizes[0] == (5, 8)
    limit = 0
    with pytest.raises(TrainingError, match=r"must hold the longest sequence at least; .* of 8 steps \(sequence \d+\)"):
        train(data=data, batch_size=16, dry_run=True)


@pytest.mark.processes
@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are set as Linux does")
def test_real_memory_that_runs_out_is_found_by_a_dry_run() -> None:
    code = """
import random, re, resource, torch
from seqclf import RNNClassifier, SequenceDataset, fit
from seqclf.errors import TrainingError
from seqclf.defaults import PLAIN
torch.set_num_threads(1)
pairs = [("".join(random.choices("abcd", k=1500)), "xy"[number % 2]) for number in range(200)]
data = SequenceDataset.from_pairs(pairs)
def run(**options):
    model = RNNClassifier.for_dataset(data, hidden_size=64, seed=0, **PLAIN)
    return fit(model, data, epochs=1, batch_size=200, dry_run=True, progress=False, device="cpu", **options)
RNNClassifier(2, vocab_size=3, seed=0)  # torch 2.15 imports much of itself for the first layer
used = int(re.search(r"VmSize:\\s+(\\d+)", open("/proc/self/status").read())[1]) << 10
resource.setrlimit(resource.RLIMIT_AS, (used + (100 << 20),) * 2)
try:
    run()
except TrainingError as error:
    print(error)
    print(run(max_tokens=int(re.search(r"max_tokens=(\\d+)", str(error))[1])))
"""
    finished = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    refused, trained = finished.stdout.splitlines()
    assert refused.startswith("memory must hold the largest batch; it did not hold 200 sequences of up to 1500 steps")
    assert trained.startswith("History(1 epochs")


def test_a_dry_run_changes_nothing_and_hides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert train(dry_run=True)["loss"] == train()["loss"]
    monkeypatch.setattr(NativeSteps, "compute_gradients", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train(dry_run=True)

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("something else")

    monkeypatch.setattr(NativeSteps, "compute_gradients", fail)
    with pytest.raises(RuntimeError, match="something else"):
        train(dry_run=True)


def test_bad_histories() -> None:
    history = History()
    with pytest.raises(InvalidArgumentError, match=r"measure must be one of none; got 'loss'"):
        history["loss"]
    history.append({"loss": 1.0})
    with pytest.raises(InvalidArgumentError, match=r"got 'val_loss'\. Pass validation_data to fit\."):
        history["val_loss"]
    with pytest.raises(InvalidArgumentError, match=r"got 'los'\. Did you mean 'loss'\?"):
        history["los"]
    with pytest.raises(InvalidArgumentError, match=r"must have the measures \['loss'\]; got \['accuracy'\]"):
        history.append({"accuracy": 1.0})
    for text in ("", "[]", "{}", '{"measures": 5, "best_epoch": null, "stopped_by": "x"}'):
        with pytest.raises(InvalidDataError, match=r"history must be JSON that History\.to_json wrote"):
            History.from_json(text)
