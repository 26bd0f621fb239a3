"""Updates by the kernels: those of torch's SGD, Adam and AdamW, in the optimiser's own state."""

import copy
import inspect
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import ExponentialLR

from seqclf import RNNClassifier, fit
from seqclf.engine import kernels
from seqclf.engine.kernels import Workspace, check_status
from seqclf.engine.library import OUT_OF_MEMORY, library
from seqclf.training.update import Updater, can_update
from tests import strategies

Make = Callable[[Iterable[nn.Parameter]], Optimizer]

# An option that older versions of torch do not have.
HAS_DECOUPLED = "decoupled_weight_decay" in inspect.signature(Adam).parameters
DECOUPLED: dict[str, Any] = {"decoupled_weight_decay": True, "weight_decay": 0.1} if HAS_DECOUPLED else {}

USUAL: list[Make] = [
    lambda weights: SGD(weights, lr=0.1),
    lambda weights: SGD(weights, lr=0.1, momentum=0.9, fused=True),
    lambda weights: SGD(weights, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
    lambda weights: SGD(weights, lr=0.1, momentum=0.9, dampening=0.3, maximize=True),
    lambda weights: AdamW(weights, lr=0.01),
    lambda weights: AdamW(weights, lr=0.01, fused=True, weight_decay=0.1, betas=(0.8, 0.9), eps=1e-4),
    lambda weights: Adam(weights, lr=0.01, weight_decay=0.1),
    lambda weights: Adam(weights, lr=0.01, maximize=True, **DECOUPLED),
]
UNUSUAL: list[Make] = [
    lambda weights: AdamW(weights, amsgrad=True),
    torch.optim.RMSprop,
]


def weights_of(dtype: torch.dtype = torch.float64) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(size, dtype=dtype, generator=generator)) for size in (3, 20_000, 17, 64)]


def set_gradients(*several: list[nn.Parameter], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for same in zip(*several, strict=True):
        gradient = torch.randn(same[0].shape, dtype=same[0].dtype, generator=generator)
        for weight in same:
            weight.grad = gradient.clone()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("clip", [None, 1.0, 1e6])
@pytest.mark.parametrize("make", USUAL)
def test_updates_are_those_of_torch(make: Make, clip: float | None, dtype: torch.dtype) -> None:
    own, judges = weights_of(dtype), weights_of(dtype)
    optimizer, judge = make(own), make(judges)
    updater = Updater(optimizer, clip, own)
    assert can_update(optimizer)
    for number in range(8):
        set_gradients(own, judges, seed=number)
        if clip is not None:
            nn.utils.clip_grad_norm_(judges, clip)
        judge.step()
        assert updater.step()
        if number == 3:  # the states can take each other's place
            optimizer.load_state_dict(copy.deepcopy(judge.state_dict()))
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    for one, other in zip(own, judges, strict=True):
        assert torch.allclose(one, other, rtol=0, atol=tolerance)
        for name, value in judge.state[other].items():
            assert value is None or torch.allclose(optimizer.state[one][name], value, atol=tolerance), name


@pytest.mark.parametrize("make", UNUSUAL)
def test_other_optimizers_take_their_own_steps(make: Make) -> None:
    own, judges = weights_of(), weights_of()
    optimizer, judge = make(own), make(judges)
    assert not can_update(optimizer)
    set_gradients(own, judges, seed=0)
    judge.step()
    assert Updater(optimizer, None, own).step()
    assert all(torch.equal(one, other) for one, other in zip(own, judges, strict=True))


def test_hooks_and_steps_of_a_users_own_are_called() -> None:
    own = weights_of()
    optimizer = SGD(own, lr=0.1)
    handle = optimizer.register_step_post_hook(lambda *_: None)
    assert not can_update(optimizer)
    handle.remove()
    assert can_update(optimizer)
    ExponentialLR(optimizer, 0.9)  # which wraps the step
    assert can_update(optimizer)
    optimizer.step = lambda closure=None: None  # type: ignore[method-assign]
    assert not can_update(optimizer)


def test_parts_of_a_model_are_updated_by_torch() -> None:
    own, judges = weights_of(), weights_of()
    optimizer, judge = (
        SGD([{"params": weights[:1], "lr": 0.5}, {"params": weights[1:2]}], lr=0.1) for weights in (own, judges)
    )
    set_gradients(own, judges, seed=0)
    nn.utils.clip_grad_norm_(judges, 1.0)
    judge.step()
    assert Updater(optimizer, 1.0, own).step()
    assert all(torch.equal(one, other) for one, other in zip(own, judges, strict=True))
    assert torch.equal(own[2], weights_of()[2])


@pytest.mark.parametrize("clip", [None, 1.0])
@pytest.mark.parametrize("make", [USUAL[0], UNUSUAL[0]])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_nothing_changes_where_a_gradient_is_not_finite(value: float, make: Make, clip: float | None) -> None:
    own = weights_of()
    set_gradients(own, seed=0)
    assert own[1].grad is not None
    own[1].grad[19_999] = value
    assert not Updater(make(own), clip, own).step()
    assert all(torch.equal(one, other) for one, other in zip(own, weights_of(), strict=True))


def test_large_gradients_are_finite() -> None:
    own = weights_of()
    set_gradients(own, seed=0)
    assert own[0].grad is not None
    own[0].grad[0] = 1e200  # its square is not
    assert Updater(SGD(own, lr=1e-300), 1.0, own).step()


def test_schedulers_see_the_steps() -> None:
    """torch warns of a scheduler that steps before its optimiser, and warnings are errors here."""
    train = strategies.letters_dataset()
    model = RNNClassifier.for_dataset(train, hidden_size=4, seed=0)
    optimizer = SGD(model.parameters(), lr=0.1)
    history = fit(model, train, epochs=3, optimizer=optimizer, scheduler=ExponentialLR(optimizer, 0.5), progress=False)
    assert history["learning_rate"] == [0.1, 0.05, 0.025]


def test_memory_that_runs_out_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MemoryError, match="the kernels could not get what a batch needs"):
        check_status(OUT_OF_MEMORY, 0)
    found: Any = library()
    monkeypatch.setattr(found, "workspace_new", lambda threads: None)
    with pytest.raises(MemoryError, match="not enough memory for a pass"):
        Workspace(found, 1)
    assert kernels.spare.MOST_BYTES > 0
