"""Threads, modes and arguments of another kind: what is around a call changes no answer, fit says what fails."""

import io
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import CyclicLR, OneCycleLR, ReduceLROnPlateau

import seqclf
from seqclf.errors import InvalidArgumentError
from seqclf.seeding import Draws

DATA = seqclf.SequenceDataset.from_pairs([("ab", "x"), ("ba", "y")] * 8)


def make(**options: Any) -> seqclf.RNNClassifier:
    return seqclf.RNNClassifier.for_dataset(DATA, hidden_size=4, seed=0, **options)


def train(model: Any, **options: Any) -> seqclf.History:
    return seqclf.fit(model, DATA, **{"epochs": 2, "batch_size": 8, "progress": False} | options)


class OwnCell(nn.Module):
    def __init__(self, width: int, size: int) -> None:
        super().__init__()
        self.cell, self.scale = nn.GRUCell(width, size), nn.Parameter(torch.randn(size))

    def forward(self, x: Any, state: Any) -> Any:
        return self.cell(x, state) * self.scale


def test_a_drawing_from_a_seed_is_torchs_own_and_leaves_the_global_generator() -> None:
    draws: list[Callable[[], torch.Tensor]] = [
        lambda: torch.rand(5),
        lambda: torch.randn(20),
        lambda: torch.randperm(9),
        lambda: torch.randint(7, (6,)),
        lambda: torch.randint(2, 7, (6,)),
        lambda: torch.empty(30).normal_(),
        lambda: torch.empty(4).uniform_(),
        lambda: torch.bernoulli(torch.full((9,), 0.5)),
    ]
    before = torch.get_rng_state()
    torch.manual_seed(3)
    wanted = [draw() for draw in draws]
    torch.set_rng_state(before)
    with Draws(3):
        got = [draw() for draw in draws]
    assert torch.equal(before, torch.get_rng_state())
    for one, other in zip(got, wanted, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("cell", ["gru", OwnCell])
def test_a_seed_holds_in_any_thread(cell: Any) -> None:
    def weights(_: int) -> list[torch.Tensor]:
        return [one.detach().clone() for one in make(cell=cell).parameters()]

    alone, before = weights(0), torch.get_rng_state()
    with ThreadPoolExecutor(16) as pool:
        for made in pool.map(weights, range(64)):
            assert all(map(torch.equal, made, alone))
    assert torch.equal(before, torch.get_rng_state())


def test_threads_switch_no_mode_under_each_other() -> None:
    model = make(cell=OwnCell, dropout=0.5).train()
    words = ["ab" * n for n in range(1, 40)]
    alone = seqclf.predict_proba(model, words)
    with ThreadPoolExecutor(8) as pool:
        for got in pool.map(lambda _: seqclf.predict_proba(model, words), range(24)):
            assert np.array_equal(got, alone)
    assert all(module.training for module in model.modules())


def test_training_is_the_same_bits_without_gradients_and_under_autocast() -> None:
    def weights() -> list[torch.Tensor]:
        model = make(dropout=0.1)
        train(model, validation_data=DATA)
        return [one.detach() for one in model.parameters()]

    alone = weights()
    with torch.no_grad():
        assert all(map(torch.equal, weights(), alone))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert all(map(torch.equal, weights(), alone))


class Mute:
    pass


@pytest.mark.parametrize("stream", [None, Mute(), io.StringIO()])
def test_progress_needs_nothing_of_stderr(stream: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    assert len(train(make(), progress=True)["loss"]) == 2


DOORS: list[Callable[[Any], Any]] = [
    lambda model: seqclf.predict(model, ["ab"]),
    lambda model: seqclf.predict_proba(model, ["ab"]),
    lambda model: seqclf.predict_prefixes(model, ["ab"]),
    lambda model: seqclf.evaluate(model, DATA),
    train,
]


@pytest.mark.parametrize("door", DOORS)
def test_a_model_of_another_kind_is_named(door: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"got DataParallel. Pass model\.module"):
        door(nn.DataParallel(make()))
    with pytest.raises(InvalidArgumentError, match="model must be an RNNClassifier; got Linear"):
        door(nn.Linear(2, 2))
    model = make()
    model.head = nn.Sequential(model.head)  # type: ignore[assignment]
    with pytest.raises(InvalidArgumentError, match=r"whose weight is a tensor, as nn.Linear has; got Sequential"):
        door(model)


def sgd(parameters: Any) -> torch.optim.SGD:
    return torch.optim.SGD(parameters, 0.1)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"optimizer": torch.optim.LBFGS}, "got LBFGS, which needs a closure"),
        ({"optimizer": lambda p: torch.optim.SparseAdam(list(p))}, "must take dense gradients, .*got SparseAdam"),
        (
            {"optimizer": sgd, "scheduler": ReduceLROnPlateau, "scheduler_interval": "step"},
            "scheduler must not be ReduceLROnPlateau where scheduler_interval is 'step'",
        ),
        (
            {"optimizer": sgd, "scheduler": lambda o: OneCycleLR(o, 0.1, total_steps=3, cycle_momentum=False)},
            "a step for each of the 4 updates; got OneCycleLR with 3",
        ),
        ({"scheduler": lambda o: CyclicLR(o, 0.1)}, "scheduler must be one of torch's, or make one"),
        (
            {"optimizer": lambda p: torch.optim.SGD(p, lr=-1)},
            "must make a torch Optimizer from parameters; got Val",
        ),
        (
            {"callbacks": [3]},
            "callbacks must be objects of seqclf.callbacks.Callback, or callables that take a FitState; got int",
        ),
    ],
)
def test_what_cannot_be_trained_is_known_before_the_first_update(options: Any, text: Any) -> None:
    model = make()
    before = [one.detach().clone() for one in model.parameters()]
    with pytest.raises(InvalidArgumentError, match=text):
        train(model, **options)
    assert all(map(torch.equal, before, model.parameters()))


def test_a_cycle_of_just_as_many_steps_trains() -> None:
    train(make(), optimizer=sgd, scheduler=lambda o: OneCycleLR(o, 0.1, total_steps=4, cycle_momentum=False))


def test_nothing_to_train_is_named() -> None:
    with pytest.raises(InvalidArgumentError, match="model must have weights to train"):
        train(make().requires_grad_(False))


@pytest.mark.parametrize(("answer", "epochs"), [(True, 1), (np.True_, 1), (1, 2), ("yes", 2), (None, 2)])
def test_one_callback_alone_and_only_true_stops(answer: Any, epochs: Any) -> None:
    assert len(train(make(), callbacks=lambda end: answer)["loss"]) == epochs


class Pair(nn.Module):
    """A cell that returns an output and a state, as cells of other libraries do."""

    def __init__(self, width: int, size: int) -> None:
        super().__init__()
        self.cell = nn.GRUCell(width, size)

    def forward(self, x: Any, state: Any) -> Any:
        new = self.cell(x, state)
        return new, new


class Normed(nn.Module):
    """A pooling that fails on a batch of one."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4)

    def forward(self, states: Any, lengths: Any) -> Any:
        return self.norm(states[:, 0])


class Stuck(torch.optim.SGD):
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        raise RuntimeError("no")


class Halting(torch.optim.lr_scheduler.LambdaLR):
    def step(self, *_: Any) -> None:
        if self.last_epoch >= 0:
            raise ValueError("enough")
        super().step()


@pytest.mark.parametrize(
    ("made", "options", "text"),
    [
        ({"cell": Pair}, {}, "model must be able to make a training step of 2 sequences; .* raised"),
        (
            {"pooling": Normed()},
            {"batch_size": 5},
            "a training step of 1 sequence; .* raised ValueError: Exp",
        ),
        (
            {},
            {"optimizer": lambda p: Stuck(p, 0.1)},
            "optimizer must be able to take a step; Stuck raised Ru",
        ),
        (
            {},
            {"optimizer": sgd, "scheduler": lambda o: Halting(o, lambda _: 1.0)},
            "scheduler must be able to take a st",
        ),
    ],
)
def test_parts_of_the_users_own_are_rehearsed_and_nothing_is_kept(made: Any, options: Any, text: Any) -> None:
    model = make(**made)
    before = {name: one.clone() for name, one in model.state_dict().items()}
    with pytest.raises(InvalidArgumentError, match=text):
        train(model, **options)
    assert all(torch.equal(before[name], one) for name, one in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


class Choosy(nn.Module):
    """A pooling that says itself what it does not take."""

    def forward(self, states: Any, lengths: Any) -> Any:
        raise InvalidArgumentError("lengths must be even.")


def test_errors_of_the_librarys_kind_stay_as_they_are() -> None:
    with pytest.raises(InvalidArgumentError, match=r"^lengths must be even\.$"):
        train(make(pooling=Choosy()))


def test_a_rehearsal_changes_nothing_that_training_uses(monkeypatch: Any) -> None:
    def weights() -> list[torch.Tensor]:
        model = make(cell=OwnCell)
        momentum = lambda p: torch.optim.SGD(p, 0.1, momentum=0.9)  # noqa: E731
        train(model, optimizer=momentum, scheduler=lambda o: OneCycleLR(o, 0.1, total_steps=4))
        return [one.detach() for one in model.parameters()]

    rehearsed = weights()
    monkeypatch.setattr("seqclf.training.fit.rehearse", lambda *_: True)
    assert all(map(torch.equal, weights(), rehearsed))


BLOCKS: dict[str, Callable[[], Any]] = {
    "gradients": torch.no_grad,
    "inference": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "numpy's errors": lambda: np.errstate(all="raise"),
}


@pytest.mark.parametrize("block", BLOCKS)
def test_what_others_have_set_changes_no_answer(block: str) -> None:
    model = make(dropout=0.5, bidirectional=True).train()
    words = ["ab", "abba", "b"]

    def answers() -> list[Any]:
        new = make(dropout=0.2)
        losses = train(new)["loss"]
        given = [seqclf.predict_proba(model, words), seqclf.predict_proba(model, words[:1])]
        given += [seqclf.Predictor(model).predict_proba("abba"), seqclf.evaluate(model, DATA).losses]
        return [*given, losses, *(one.detach().numpy() for one in new.parameters())]

    alone = answers()
    with BLOCKS[block]():
        found = answers()
    assert all(np.array_equal(one, other) for one, other in zip(found, alone, strict=True))
    assert model.training


def test_the_default_type_of_others_changes_no_answer() -> None:
    model, words = make(), ["ab", "abba", "b"]
    alone = seqclf.predict_proba(model, words)
    torch.set_default_dtype(torch.float64)
    try:
        assert np.array_equal(seqclf.predict_proba(model, words), alone)
        assert np.array_equal(seqclf.predict_proba(model, words[:1]), alone[:1])
        features = seqclf.SequenceDataset.from_pairs([(np.ones((2, 1), np.float32), "x")])
        assert features.sequences.values.dtype == torch.float32
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_second_call_goes_on_with_other_orders() -> None:
    model = make(dropout=0.3)
    still = {"learning_rate": 1e-9}  # so that losses tell what was dropped
    first, second, again = (train(model, **still, **options) for options in ({}, {"epochs": 4, "initial_epoch": 2}, {}))
    assert len(second["loss"]) == 2
    assert np.allclose(first["loss"], again["loss"], atol=1e-6)  # the same choices
    assert not np.allclose(first["loss"], second["loss"], atol=1e-6)
    with pytest.raises(InvalidArgumentError, match="epochs must be an integer of at least 3; got 2"):
        train(model, epochs=2, initial_epoch=2)
