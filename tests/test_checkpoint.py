"""Law 6: a run that goes on from a checkpoint equals one that was never interrupted, bit for bit, from any step."""

import contextlib
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR, ReduceLROnPlateau, StepLR

from seqclf import History, RNNClassifier, SequenceDataset, fit, load, save
from seqclf.callbacks import Checkpoint, EarlyStopping
from seqclf.errors import FileFormatError, InvalidArgumentError, InvalidDataError
from seqclf.tensor_file import read_tensor_file, write_tensor_file
from seqclf.training import checkpoint as checkpoint_module
from seqclf.training.nested import flatten, unflatten
from tests import strategies
from tests.killed_run import dataset

DATA = dataset(0, 40)
EPOCHS = 3


class PowerCutError(Exception):
    """What a test stops a run with."""


OPTIMIZERS: dict[str, Callable[[Iterable[nn.Parameter]], Optimizer]] = {
    "momentum": lambda parameters: SGD(parameters, lr=0.1, momentum=0.9),
    "adamw": lambda parameters: AdamW(parameters, lr=0.01, fused=True),
    "amsgrad": lambda parameters: AdamW(parameters, lr=0.01, amsgrad=True),
}
SCHEDULERS: dict[str, Callable[[Optimizer], LRScheduler] | None] = {
    "none": None,
    "one cycle": lambda optimizer: OneCycleLR(optimizer, max_lr=0.1, total_steps=500),
    "steps": lambda optimizer: StepLR(optimizer, 1),
    "plateau": lambda optimizer: ReduceLROnPlateau(optimizer, patience=0),
}
MODELS: dict[str, dict[str, Any]] = {
    "plain": {},
    "both ways, dropout": {"bidirectional": True, "num_layers": 2, "dropout": 0.3, "input_dropout": 0.1},
    "own cell": {"cell": nn.GRUCell},
}


def train(folder: Path | None, *, at: int = -1, data: SequenceDataset = DATA, **options: Any) -> tuple[Any, History]:
    """Train a new model, and return its weights and what was measured; be cut off before update number `at`."""
    chosen = {"model": "plain", "optimizer": "momentum", "scheduler": "none", "every_steps": 1, "stopping": False}
    chosen |= {name: options.pop(name) for name in list(options) if name in chosen}
    model = RNNClassifier.for_dataset(data, hidden_size=5, seed=0, **MODELS[str(chosen["model"])])

    def make_optimizer(parameters: Iterable[nn.Parameter]) -> Optimizer:
        optimizer = OPTIMIZERS[str(chosen["optimizer"])](parameters)
        updates = itertools.count()

        def cut(*_: Any) -> None:
            if next(updates) == at:
                raise PowerCutError

        optimizer.register_step_pre_hook(cut)
        return optimizer

    arguments: dict[str, Any] = {"epochs": EPOCHS, "batch_size": 7, "progress": False, "device": "cpu"} | options
    if folder is not None:
        arguments["checkpoint"] = Checkpoint(folder, every_seconds=None, every_steps=int(str(chosen["every_steps"])))
    if chosen["stopping"]:
        arguments |= {"early_stopping": EarlyStopping(patience=1), "validation_data": data}
    history = fit(
        model, data, optimizer=make_optimizer, scheduler=SCHEDULERS[str(chosen["scheduler"])], seed=3, **arguments
    )
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}, history


def assert_same(first: tuple[Any, History], second: tuple[Any, History]) -> None:
    """Compare weights and measures, bit for bit; only the seconds may differ."""
    assert first[0].keys() == second[0].keys()
    assert all(torch.equal(first[0][name], second[0][name]) for name in first[0])
    ones, others = ({**vars(history)} for _, history in (first, second))
    for one in (ones, others):
        one["measures"] = {name: values for name, values in one["measures"].items() if name != "seconds"}
    assert ones == others


@given(
    at=st.integers(0, 6 * EPOCHS),
    every_steps=st.integers(1, 8),
    model=st.sampled_from(sorted(MODELS)),
    optimizer=st.sampled_from(sorted(OPTIMIZERS)),
    scheduler=st.sampled_from(sorted(SCHEDULERS)),
    max_tokens=st.sampled_from([None, 30]),
    stopping=st.booleans(),
)
@example(at=0, every_steps=1, model="plain", optimizer="momentum", scheduler="none", max_tokens=None, stopping=False)
def test_going_on_equals_never_having_stopped(at: int, **options: Any) -> None:
    whole = train(None, **options)
    with tempfile.TemporaryDirectory() as folder:
        with contextlib.suppress(PowerCutError):
            train(Path(folder), at=at, **options)
        assert_same(train(Path(folder), resume=True, **options), whole)
        assert_same(train(Path(folder), resume=True, **options), whole)  # of a run that has ended nothing is done again


def test_float_sequences_and_many_interruptions(tmp_path: Path) -> None:
    data = strategies.random_features(count=30)
    whole = train(None, data=data)
    for at in (4, 3, 5, 2):
        with pytest.raises(PowerCutError):
            train(tmp_path, at=at, data=data, resume=True)
    assert_same(train(tmp_path, data=data, resume=True), whole)


def test_more_epochs_go_on_where_fewer_ended(tmp_path: Path) -> None:
    train(tmp_path, epochs=1)
    assert_same(train(tmp_path, epochs=EPOCHS, resume=True), train(None))


def test_a_lost_state_would_be_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted bug: momentum is forgotten."""
    monkeypatch.setattr(SGD, "load_state_dict", lambda *_: None)
    with pytest.raises(PowerCutError):
        train(tmp_path, at=8)
    with pytest.raises(AssertionError):
        assert_same(train(tmp_path, resume=True), train(None))


def run_to_kill(folder: Path, output: Path, every_steps: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-m", "tests.killed_run", str(folder), str(output), str(every_steps)])


@pytest.mark.processes
def test_runs_that_are_killed_at_random_end_as_if_nothing_had_happened(tmp_path: Path) -> None:
    """SIGKILL at any moment, some of them within a write, until the run gets through."""
    start = time.monotonic()
    assert run_to_kill(tmp_path / "whole", tmp_path / "whole.json", 1).wait() == 0
    seconds = time.monotonic() - start
    expected = (tmp_path / "whole.json").read_text()
    rng = random.Random(0)
    runs = int(os.environ.get("SEQCLF_KILLED_RUNS", "2"))
    kills = 0
    for number in range(runs):
        folder, output = tmp_path / f"run{number}", tmp_path / f"run{number}.json"
        while not output.exists():
            process = run_to_kill(folder, output, rng.choice([1, 3, 1000]))
            try:
                process.wait(rng.uniform(0.5, 1.1) * seconds)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                kills += 1
        assert output.read_text() == expected
    assert kills or runs < 10
    print(f"{runs} runs, killed {kills} times, all equal")


@pytest.fixture
def _attended() -> Iterator[None]:
    """Have Ctrl-C handled as at a terminal; where nobody sits at one, the system may have it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupt(times: int) -> Callable[[Any], None]:
    def callback(_: Any) -> None:
        for _time in range(times):
            os.kill(os.getpid(), signal.SIGINT)

    return callback


@pytest.mark.usefixtures("_attended")
def test_ctrl_c_is_no_loss(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"interrupted in epoch 2\. What it had come to is in .* resume=True goes on"):
        _, history = train(tmp_path, callbacks=[interrupt(1)])
    assert (history.stopped_by, history.epochs) == ("interrupted", 1)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert_same(train(tmp_path, resume=True), train(None))


@pytest.mark.usefixtures("_attended")
def test_ctrl_c_within_an_epoch(tmp_path: Path) -> None:
    class Pressing(SGD):
        steps = 0

        def step(self, closure: Any = None) -> Any:
            self.steps += 1
            if self.steps == 2:  # the first is rehearsed
                os.kill(os.getpid(), signal.SIGINT)
            return super().step(closure)

    model = RNNClassifier.for_dataset(DATA, hidden_size=5, seed=0)
    with pytest.warns(UserWarning, match="interrupted in epoch 1"):
        history = fit(
            model, DATA, optimizer=lambda params: Pressing(params, lr=0.1), checkpoint=tmp_path, progress=False
        )
    assert (history.stopped_by, history.epochs) == ("interrupted", 0)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000000002.safetensors"]  # the one after


@pytest.mark.usefixtures("_attended")
def test_a_second_ctrl_c_stops_at_once(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, callbacks=[interrupt(2)])


@pytest.mark.usefixtures("_attended")
def test_without_a_checkpoint_ctrl_c_is_what_it_always_was() -> None:
    with pytest.raises(KeyboardInterrupt):
        train(None, callbacks=[interrupt(1)])


CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "train": ({"data": dataset(1, 40)}, "train; got '"),
    "validation_data": ({"validation_data": DATA}, "validation_data; got None"),
    "weights": ({"model": "own cell"}, "weights; got "),
    "batch_size": ({"batch_size": 8}, "batch_size; got 7 in .*, and now 8"),
    "max_tokens": ({"max_tokens": 99}, "max_tokens; got None in .*, and now 99"),
    "optimizer": ({"optimizer": "adamw"}, r"optimizer; got \['SGD'.*, and now \['AdamW'"),
    "scheduler": ({"scheduler": "steps"}, r"scheduler; got None in .*, and now \['StepLR', 'epoch'"),
    "clip_grad_norm": ({"clip_grad_norm": 1.0}, "clip_grad_norm; got None"),
    "class_weight": ({"class_weight": "balanced"}, "class_weight; got None"),
    "sample_weight": ({"sample_weight": [1.0, 2.0] * 20}, "sample_weight; got None"),
    "label_smoothing": ({"label_smoothing": 0.1}, "label_smoothing; got 0.0"),
    "early_stopping": ({"early_stopping": EarlyStopping(monitor="loss")}, "early_stopping; got None"),
}


@pytest.mark.parametrize(("change", "message"), CHANGES.values(), ids=list(CHANGES))
def test_another_run_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    train(tmp_path, epochs=1)
    with pytest.raises(InvalidArgumentError, match="checkpoint must be of a run of the same " + message):
        train(tmp_path, resume=True, **change)


def test_a_folder_in_use_is_not_overwritten(tmp_path: Path) -> None:
    train(tmp_path, epochs=1)
    with pytest.raises(InvalidArgumentError, match=r"got step-0+6\.safetensors in .*Pass resume=True to go on"):
        train(tmp_path)


def test_bad_arguments(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="resume=True needs checkpoint=FOLDER"):
        train(None, resume=True)
    with pytest.raises(InvalidArgumentError, match=r"every_seconds must be a finite number above 0; got 0"):
        Checkpoint(tmp_path, every_seconds=0)
    with pytest.raises(InvalidArgumentError, match="every_steps must be an integer of at least 1; got 0"):
        Checkpoint(tmp_path, every_steps=0)
    (tmp_path / "file").touch()
    with pytest.raises(FileFormatError, match="checkpoint must be a folder that can be made; got File exists"):
        train(tmp_path / "file")


def test_only_two_are_kept_and_leftovers_go(tmp_path: Path) -> None:
    (tmp_path / ".0123456789abcdef.tmp").touch()
    train(tmp_path)
    older, newest = sorted(path.name for path in tmp_path.iterdir())
    assert older.startswith("step-0")
    assert newest == "step-000000000018.safetensors"


def test_after_some_seconds_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int] = []
    monkeypatch.setattr(
        checkpoint_module.Checkpoints, "on_state", lambda _self, state, _snapshot: written.append(state.update)
    )
    clock = iter(range(0, 10_000, 7))
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    model = RNNClassifier.for_dataset(DATA, hidden_size=5, seed=0)
    fit(model, DATA, epochs=1, batch_size=4, checkpoint=Checkpoint(tmp_path, every_seconds=30), progress=False)
    assert written == [5, 6, 7, 8, 9, 10, 10]  # for nothing is written, the clock is never set back


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_where_the_newest_is_damaged_the_one_before_serves(tmp_path: Path) -> None:
    train(tmp_path, epochs=1)
    older, newest = sorted(tmp_path.iterdir())
    damage(newest)
    with pytest.warns(UserWarning, match=rf"older checkpoint, {older.name}: checkpoint file must have the checksum"):
        assert_same(train(tmp_path, resume=True), train(None))


def test_where_all_are_damaged_there_is_an_error(tmp_path: Path) -> None:
    train(tmp_path, epochs=1)
    for path in tmp_path.iterdir():
        damage(path)
    with (
        pytest.warns(UserWarning, match="older"),
        pytest.raises(FileFormatError, match="checkpoint file must have the checksum"),
    ):
        train(tmp_path, resume=True)


def rewrite(folder: Path, change: Callable[[Any], Any]) -> None:
    """Change the content of all checkpoints, with checksums that fit."""
    for path in folder.iterdir():
        content, tensors = read_tensor_file(path, checkpoint_module._KIND, "")
        write_tensor_file(path, checkpoint_module._KIND, change(content), tensors)


def test_a_newer_or_hostile_file(tmp_path: Path) -> None:
    train(tmp_path, epochs=1, every_steps=100)
    rewrite(tmp_path, lambda content: content | {"version": 3})
    with pytest.raises(FileFormatError, match=r"version 2 or older; got 3 in .* Upgrade seqclf: '0"):
        train(tmp_path, resume=True)
    rewrite(tmp_path, lambda content: content | {"version": 1})
    with pytest.raises(InvalidArgumentError, match=r"of version 2; got 1 in .*, which wrote it, end the run; or begin"):
        train(tmp_path, resume=True)
    changes: list[Callable[[Any], Any]] = [
        lambda _: [],
        lambda content: {"version": 2},
        lambda content: content | {"version": 2, "state": {}},
    ]
    for change in changes:
        rewrite(tmp_path, change)
        with pytest.raises(FileFormatError, match="checkpoint file must hold the state of a run; got "):
            train(tmp_path, resume=True)


def test_neither_models_nor_checkpoints_are_taken_for_the_other(tmp_path: Path) -> None:
    train(tmp_path, epochs=1, every_steps=100)
    (path,) = tmp_path.iterdir()
    with pytest.raises(FileFormatError, match="model file must be one that seqclf wrote as such"):
        load(path)
    save(RNNClassifier.for_dataset(DATA), path)
    with pytest.raises(FileFormatError, match="checkpoint file must be one that seqclf wrote as such"):
        train(tmp_path, resume=True)


def test_another_environment_is_warned_of(tmp_path: Path) -> None:
    train(tmp_path, epochs=1)
    rewrite(tmp_path, lambda content: content | {"environment": {"torch": "0.1", "threads": 1}})
    with pytest.warns(UserWarning, match=r"begun with torch '0\.1', now '.*'; it need not equal, bit for bit"):
        train(tmp_path, resume=True)


def test_a_full_disk_ends_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.warns(UserWarning, match=r"could not be written, and training goes on without: .*No space left"):
        found = train(tmp_path)
    assert not list(tmp_path.iterdir())
    assert_same(found, train(None))


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | strategies.small_tensors,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
    ),
    max_leaves=12,
)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return torch.equal(one, other) and one.dtype == other.dtype
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return repr(one) == repr(other)  # for nan


@given(values)
@settings(max_examples=100)
def test_nested_states_survive(value: Any) -> None:
    tensors: dict[str, Tensor] = {}
    text = json.dumps(flatten(value, "state", tensors), allow_nan=False)
    assert same(unflatten(json.loads(text), tensors), value)


def test_what_a_state_cannot_hold() -> None:
    with pytest.raises(InvalidDataError, match=r"lists and dicts alone; got <object .*> in state\.a\.0"):
        flatten({"a": [object()]}, "state", {})
    with pytest.raises(KeyError, match="set"):
        unflatten({"set": []}, {})
    assert np.isnan(unflatten({"float": "nan"}, {}))
