"""Studies: every point once, each found again only by what decided it, and the same results however they were run."""

import dataclasses
import functools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from seqclf import Evaluation, RNNClassifier, evaluate, fit, run_study
from seqclf.callbacks import EarlyStopping
from seqclf.errors import FileFormatError, InvalidArgumentError, TrainingError
from seqclf.study import StudyResult
from seqclf.study.options import DEFAULTS, describe, expand
from seqclf.study.result import plain
from seqclf.study.run import train_run
from seqclf.training.trainer import Trainer
from tests import strategies

DATA = strategies.letters_dataset(count=60)
TRAIN, TEST = DATA.split(0.3, seed=0)
SMALL = {"hidden_size": 4, "embedding_dim": 4, "epochs": 2, "batch_size": 8}
WORKERS = [1, pytest.param(2, marks=pytest.mark.processes)]


class PlainCell(nn.Module):
    """A cell of the user's own."""

    def __init__(self, input_size: int, hidden_size: int, scale: float = 1.0) -> None:
        super().__init__()
        self.mix = nn.Linear(input_size + hidden_size, hidden_size)
        self.scale = scale

    def forward(self, x_t: Tensor, state: Tensor | None) -> Tensor:
        state = x_t.new_zeros(len(x_t), self.mix.out_features) if state is None else state
        return torch.tanh(self.scale * self.mix(torch.cat([x_t, state], dim=1)))


def study(grid: Any, **options: Any) -> StudyResult:
    base = SMALL | options.pop("base", {})
    options = {"validation_data": TEST, "test_data": TEST, "progress": False} | options
    return run_study(TRAIN, grid, base=base, **options)


def test_a_run_is_what_fit_and_evaluate_give() -> None:
    [run] = study(
        {"seed": [3]},
        base={"optimizer": "adamw", "learning_rate": 0.01, "weight_decay": 0.0, "cell": "gru"},
        curves=True,
    ).runs
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        model = RNNClassifier.for_dataset(TRAIN, cell="gru", hidden_size=4, embedding_dim=4, seed=3)
        curve: list[float] = []
        history = fit(
            model,
            TRAIN,
            validation_data=TEST,
            epochs=2,
            batch_size=8,
            optimizer=lambda parameters: torch.optim.AdamW(parameters, lr=0.01, weight_decay=0.0, fused=True),
            callbacks=[lambda end: curve.append(evaluate(end.model, TRAIN).loss)],
            seed=3,
            progress=False,
        )
        result = evaluate(model, TEST)
    finally:
        torch.set_num_threads(threads)
    assert run.history["loss"] == history["loss"]
    assert run.history["val_loss"] == history["val_loss"] == run.history["test_loss"]
    assert run.history["train_loss"] == curve
    assert run.results["test"].losses.tolist() == result.losses.tolist()
    assert run.results["validation"].accuracy == result.accuracy
    assert run.parameters == model.num_parameters


def test_the_grid_is_a_product_and_several_are_put_together() -> None:
    points = [
        point.options
        for point in expand(
            [{"cell": ["lstm"], "num_layers": [1, 2]}, {"cell": ["gru"], "seed": range(2)}], {"epochs": 3}
        )
    ]
    assert [(point["cell"], point["num_layers"], point["seed"]) for point in points] == [
        ("lstm", 1, 0),
        ("lstm", 2, 0),
        ("gru", "auto", 0),
        ("gru", "auto", 1),
    ]
    assert all(point["epochs"] == 3 and point.keys() == DEFAULTS.keys() for point in points)


@pytest.mark.parametrize("workers", WORKERS)
def test_the_results_do_not_depend_on_the_number_of_workers_or_on_the_cache(workers: int, tmp_path: Path) -> None:
    grid = {"batch_size": [4, 16], "cell": [PlainCell, "lstm"]}
    first = study(grid, curves=True)
    second = study(grid, curves=True, workers=workers, cache=tmp_path / "runs")
    third = study(grid, curves=True, cache=tmp_path / "runs")
    for number, result in enumerate((first, second, third)):
        result.write(tmp_path / str(number))
    for name in ("results.json", "results.csv"):
        assert len({(tmp_path / str(number) / name).read_bytes() for number in range(3)}) == 1
        written = json.loads((tmp_path / "0" / "results.json").read_text())
        assert written == json.loads(json.dumps(first.to_dict()))
    assert (tmp_path / "1" / "timings.json").read_bytes() == (tmp_path / "2" / "timings.json").read_bytes()
    errors = [[run.results["test"].calibration_error() for run in result.runs] for result in (first, second, third)]
    assert errors[0] == errors[1] == errors[2]


def test_what_is_in_the_cache_is_not_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[int] = []

    def counting(options: Any, *arguments: Any, **named: Any) -> Any:
        trained.append(options["seed"])
        return train_run(options, *arguments, **named)

    monkeypatch.setattr("seqclf.study.runner.train_run", counting)
    study({"seed": [0, 1]}, cache=tmp_path)
    study({"seed": [0, 1, 2]}, cache=tmp_path)
    assert trained == [0, 1, 2]


CHANGES: list[dict[str, Any]] = [
    {"base": {"hidden_size": 5}},
    {"base": {"learning_rate": 0.003}},
    {"base": {"epochs": 3}},
    {"base": {"early_stopping": EarlyStopping(3)}},
    {"base": {"early_stopping": EarlyStopping(4)}},
    {"base": {"cell": PlainCell}},
    {"base": {"cell": functools.partial(PlainCell, scale=2.0)}},
    {"base": {"cell": functools.partial(PlainCell, scale=3.0)}},
    {"base": {"pooling": ("last", "max")}},
    {"base": {"pooling": ("max", "last")}},
    {"base": {"label_smoothing": 0.1}},
    {"base": {"priors": (0.5, 0.25, 0.25)}},
    {"base": {"calibrate": True}},
    {"curves": True},
    {"threads": 2},
    {"test_data": None},
    {"validation_data": TRAIN},
    {"test_data": TEST.subset(range(len(TEST) - 1))},
    {},
]


def test_a_changed_configuration_is_never_mistaken_for_a_finished_one(tmp_path: Path) -> None:
    for count, change in enumerate(CHANGES, start=1):
        study({"seed": [0]}, cache=tmp_path, **change)
        assert len(list(tmp_path.glob("*.json"))) == count, change
    smaller = TRAIN.subset(range(len(TRAIN) - 1))
    run_study(smaller, {"seed": [0]}, base=SMALL, cache=tmp_path, progress=False)
    assert len(list(tmp_path.glob("*.json"))) == len(CHANGES) + 1


def test_a_cell_whose_source_changed_is_another_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = describe(PlainCell)
    monkeypatch.setattr("inspect.getsource", lambda value: "class PlainCell: ...")
    assert describe(PlainCell) != before


def long_study(folder: Path, **options: Any) -> None:
    """A study of some seconds, written to a folder."""
    grid = {"cell": ["lstm", "gru", PlainCell], "seed": range(3)}
    study(grid, base={"hidden_size": 8, "epochs": 4, "batch_size": 4}, cache=folder / "runs", **options).write(folder)


SCRIPT = """
import sys
from pathlib import Path
from tests.test_study import long_study

if __name__ == "__main__":
    long_study(Path(sys.argv[1]), workers=int(sys.argv[2]))
"""


def children(pid: int) -> list[int]:
    """Return the processes that a process has started, as far as the system tells."""
    tasks = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(number) for number in tasks.read_text().split()] if tasks.exists() else []


def is_running(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "State:\tZ" not in status.read_text()


@pytest.mark.processes
@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_study_goes_on_and_ends_with_the_very_same_file(workers: int, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}

    (tmp_path / "killed").mkdir()
    command = [sys.executable, str(script), str(tmp_path / "killed"), str(workers)]
    process = subprocess.Popen(command, env=environment)
    runs = tmp_path / "killed" / "runs"
    while process.poll() is None and len(list(runs.glob("*.json"))) < 3:
        time.sleep(0.01)
    time.sleep(int.from_bytes(os.urandom(1), "big") / 2000)  # at a random moment of a run, or of its writing
    workers_alive = children(process.pid)
    process.send_signal(signal.SIGKILL)
    assert process.wait(600) == -signal.SIGKILL
    deadline = time.monotonic() + 600
    while any(map(is_running, workers_alive)):  # none stays behind to write into the folder
        assert time.monotonic() < deadline
        time.sleep(0.05)
    finished = len(list(runs.glob("*.json")))
    assert 3 <= finished < 9
    long_study(tmp_path / "killed")
    long_study(tmp_path / "whole")
    for name in ("results.json", "results.csv"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes()


DIVERGING = {"optimizer": "sgd", "momentum": 0.9, "cell": "rnn_relu", "epochs": 3, "batch_size": 2}


@pytest.mark.parametrize("workers", WORKERS)
def test_a_run_whose_loss_is_not_finite_is_told_and_the_others_go_on(workers: int, tmp_path: Path) -> None:
    grid = {"learning_rate": [1e30, 0.05], "seed": [0, 1]}
    options: dict[str, Any] = {"base": DIVERGING, "cache": tmp_path, "keep_models": True, "workers": workers}
    result = study(grid, **options)
    again = study(grid, **options)
    for runs in (result.runs, again.runs):
        assert [run.error is None for run in runs] == [False, False, True, True]
        assert "weights and gradients must be finite" in (runs[0].error or "")
    broken, whole = result.summarise()
    assert (broken.n, whole.n, broken.mean) == (0, 2, {})
    assert repr(result) == "StudyResult(4 runs, varying learning_rate, seed, 2 broke off)"
    assert "| 1e+30 | - |" in result.to_markdown(["test_accuracy"])
    assert result.best().options["learning_rate"] == 0.05
    with pytest.raises(InvalidArgumentError, match=r"on must name data .* Every run broke off"):
        broken.interval()
    only_broken = StudyResult(result.runs[:2])
    assert "| - |" in only_broken.to_markdown()
    with pytest.raises(InvalidArgumentError, match=r"must have no run that broke off; got none of 2 runs"):
        only_broken.best()
    one_of_each = StudyResult((result.runs[0], result.runs[2]))
    assert one_of_each.best() is result.runs[2]


def test_of_a_seed_that_broke_off_the_tables_tell() -> None:
    runs = study({"seed": [0, 1, 2]}).runs
    result = StudyResult((runs[0], runs[1], dataclasses.replace(runs[2], results={}, error="broken")))
    assert "(2 of 3)" in result.to_markdown(["test_accuracy"])
    with pytest.raises(InvalidArgumentError, match=r"must have no run that broke off"):
        result.best()


def test_a_run_that_breaks_off_late_keeps_what_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Trainer.run_epoch

    def break_at_the_third(self: Any, train: Any, sampler: Any, epoch: int, *others: Any) -> Any:
        if epoch == 2:
            raise TrainingError("the loss must stay finite")
        return real(self, train, sampler, epoch, *others)

    monkeypatch.setattr(Trainer, "run_epoch", break_at_the_third)
    result = study({"seed": [0]}, base={"epochs": 4}, curves=True, cache=tmp_path / "runs")
    [run] = result.runs
    assert run.error == "the loss must stay finite"
    assert [len(run.history[name]) for name in ("loss", "val_loss", "train_loss", "test_loss")] == [2, 2, 2, 2]
    result.write(tmp_path)
    assert len(json.loads((tmp_path / "timings.json").read_text())[0]["epochs"]) == 2


def test_a_last_update_that_spoils_the_model_is_not_taken_for_success() -> None:
    """The loss of an epoch is measured before its last update, so `fit` cannot see what that one did."""
    base = DIVERGING | {"epochs": 1, "batch_size": len(TRAIN), "momentum": 0.0}
    result = study({"learning_rate": [1e38, 0.01]}, base=base)
    assert "the trained model must give finite losses" in (result.runs[0].error or "")
    assert result.best().options["learning_rate"] == 0.01


def test_measures_are_those_of_the_epoch_whose_weights_were_kept() -> None:
    base = {"early_stopping": EarlyStopping(patience=3), "epochs": 12, "learning_rate": 0.8}
    result = study({"seed": [0]}, base=base, curves=True)
    [run] = result.runs
    best = run.history.best_epoch
    assert best is not None
    assert best < run.history.epochs - 1
    assert result.records()[0]["train_loss"] == run.history["train_loss"][best]
    assert run.results["test"].loss == run.history["test_loss"][best]


def test_summaries_are_means_and_deviations_over_seeds() -> None:
    result = study({"batch_size": [4, 8], "seed": [0, 1, 2]})
    for row in result.summarise():
        values = torch.tensor([run.results["test"].loss for run in row.runs], dtype=torch.float64)
        assert row.n == 3
        assert row.mean["test_loss"] == pytest.approx(float(values.mean()))
        assert row.std["test_loss"] == pytest.approx(float(values.std()))
        assert row.seconds > 0
        interval = row.interval("accuracy", resamples=200)
        assert interval.value == pytest.approx(row.mean["test_accuracy"])
        assert interval.low <= interval.value <= interval.high
    assert [record["batch_size"] for record in result.records()] == [4, 4, 4, 8, 8, 8]
    assert "seconds" in result.records()[0]
    assert result.to_csv().splitlines()[0].startswith("batch_size,seed,loss,accuracy,validation_accuracy")
    single = study({"batch_size": [4]})
    assert single.summarise()[0].std["test_loss"] == 0
    assert repr(single) == "StudyResult(1 runs)"


def test_intervals_hold_as_often_as_they_say_when_seeds_differ() -> None:
    """Seeds whose accuracies spread more than the test sequences account for: Student's t has to carry the interval."""
    [run] = study({"seed": [0]}).runs
    generator = np.random.default_rng(0)
    n = 2000
    labels = np.zeros(n, dtype=np.int64)
    held = 0
    for trial in range(100):
        runs = []
        for accuracy in np.clip(0.7 + 0.05 * generator.standard_normal(3), 0, 1):
            wrong = (np.arange(n) >= accuracy * n).astype(np.int64)
            result = Evaluation(np.ones(n), labels, generator.permutation(wrong), ("a", "b"))
            runs.append(dataclasses.replace(run, results={"test": result}))
        [row] = StudyResult(tuple(runs)).summarise()
        interval = row.interval("accuracy", resamples=40, seed=trial)
        held += interval.low <= 0.7 <= interval.high
    assert held >= 90


def test_the_best_run_is_chosen_by_the_mean_over_seeds() -> None:
    result = study({"hidden_size": [1, 12], "seed": [0, 1]}, base={"epochs": 12, "learning_rate": 0.03})
    rows = {row.options["hidden_size"]: row.mean["validation_loss"] for row in result.summarise()}
    best = result.best()
    assert best.options["hidden_size"] == min(rows, key=lambda size: rows[size])
    losses = [
        run.results["validation"].loss
        for run in result.runs
        if run.options["hidden_size"] == best.options["hidden_size"]
    ]
    assert best.results["validation"].loss == min(losses)
    assert result.best("validation_accuracy").error is None


def test_kept_models_give_the_answers_that_were_measured(tmp_path: Path) -> None:
    grid = {"cell": ["gru", PlainCell]}
    base = {"calibrate": True, "priors": (1, 2, 3)}
    study(grid, cache=tmp_path, base=base)  # without models, which the next call has to make
    for _ in range(2):
        for run in study(grid, cache=tmp_path, keep_models=True, base=base).runs:
            model = run.load_model()
            assert evaluate(model, TEST).losses.tolist() == pytest.approx(run.results["test"].losses.tolist())
    with pytest.raises(InvalidArgumentError, match=r"models must have been kept .* keep_models=True"):
        study(grid).runs[0].load_model()


@pytest.mark.parametrize("schedule", ["constant", "cosine", "one_cycle"])
@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
def test_schedules_run_over_all_updates(schedule: str, optimizer: str) -> None:
    base = {"schedule": schedule, "optimizer": optimizer, "learning_rate": 0.01, "epochs": 4}
    [run] = study({"seed": [0]}, base=base).runs
    last = run.history["learning_rate"][-1]
    assert last == 0.01 if schedule == "constant" else last < 0.002


@pytest.mark.parametrize(
    ("grid", "options", "message"),
    [
        (
            {"hiden_size": [3]},
            {},
            r"an option of a run must be one of .*; got 'hiden_size'. Did you mean 'hidden_size'",
        ),
        ({"cell": "lstm"}, {}, r"grid\['cell'\] must be a list of the values to try; got 'lstm'"),
        ({"seed": []}, {}, r"grid\['seed'\] must be a list"),
        ({"seed": 3}, {}, r"grid\['seed'\] must be a list"),
        ([], {}, r"grid must describe at least one run"),
        (None, {}, r"grid must map options to lists of the values to try, .*; got None"),
        ([3], {}, r"grid must map options to lists"),
        ({"seed": [0, 2**63]}, {}, r"seed must be below 2\*\*63; got 9223372036854775808"),
        ({"seed": [0]}, {"validation_data": TEST.subset([])}, r"validation_data must hold at least one sequence"),
        ({"seed": [0]}, {"device": "cpux"}, r"device must be one that torch can use"),
        ({"seed": [1, 1]}, {}, r"every run must differ from the others; got .*'seed': 1.* twice"),
        ({"seed": [-1]}, {}, r"seed must be an integer of at least 0"),
        ({"cell": ["lstn"]}, {}, r"cell must be .*; got 'lstn'"),
        ({"epochs": [2, 0]}, {}, r"epochs must be an integer of at least 1"),
        ({"batch_size": [0]}, {}, r"batch_size must be an integer of at least 1"),
        ({"learning_rate": [-1.0]}, {}, r"learning_rate must be a finite number above 0; got -1.0"),
        ({"weight_decay": [-1.0]}, {}, r"weight_decay must be a finite number above 0; got -1.0"),
        ({"optimizer": ["sgd"]}, {}, r"learning_rate must come with optimizer='sgd'; got 'auto'. Pass a number"),
        (
            {"optimizer": ["sgd"], "learning_rate": [-1.0]},
            {},
            r"learning_rate must be a finite number of at least 0; got -1.0",
        ),
        (
            {"optimizer": ["adam"], "learning_rate": [0.1], "momentum": [0.5]},
            {},
            r"momentum must be 0 for 'adam', which has its own; got 0.5",
        ),
        ({"momentum": [0.9]}, {}, r"momentum must be 0 for AdamW, which has its own; got 0.9"),
        ({"optimizer": ["adamax"]}, {}, r"optimizer must be one of 'auto', 'adamw'"),
        ({"schedule": ["cosin"]}, {}, r"schedule must be one of .* mean 'cosine'"),
        ({"calibrate": [True]}, {"validation_data": None}, r"calibrate must have validation_data; got None"),
        ({"priors": [(1, 2)]}, {}, r"expected must give 3 finite frequencies"),
        ({"label_smoothing": [1.0]}, {}, r"label_smoothing must be a number from 0"),
        ({"pooling": [nn.Identity()]}, {}, r"an option must be a plain value, or a class or function"),
        ({"dropout": [float("nan")]}, {}, r"an option must be a plain value"),
        ({"seed": [0]}, {"test_data": [("a", 0)]}, r"test_data must be a SequenceDataset; got list"),
        ({"seed": [0]}, {"keep_models": True}, r"keep_models must have a folder"),
        ({"seed": [0]}, {"workers": 0}, r"workers must be an integer of at least 1"),
        ({"seed": [0]}, {"threads": 0}, r"threads must be an integer of at least 1"),
    ],
)
def test_errors_come_before_any_training(grid: Any, options: dict[str, Any], message: str, tmp_path: Path) -> None:
    if not options.get("keep_models"):
        options = options | {"cache": tmp_path}
    with pytest.raises(InvalidArgumentError, match=message):
        study(grid, **options)
    assert not list(tmp_path.iterdir())


def test_a_cache_that_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileFormatError, match=r"cache must be a folder that can be written to; got .*file"):
        study({"seed": [0]}, cache=tmp_path / "file")


def test_iterators_and_numpy_numbers_are_axes_as_well() -> None:
    points = expand({"seed": (seed for seed in range(2)), "hidden_size": np.arange(1, 3)}, {})
    assert [(point.options["seed"], point.options["hidden_size"]) for point in points] == [
        (0, 1),
        (0, 2),
        (1, 1),
        (1, 2),
    ]
    assert type(points[0].options["hidden_size"]) is int


def test_a_device_may_be_torchs_own(tmp_path: Path) -> None:
    study({"seed": [0]}, device=torch.device("cpu"), cache=tmp_path)
    study({"seed": [0]}, device="auto" if not torch.cuda.is_available() else "cpu", cache=tmp_path)
    assert len(list(tmp_path.glob("*.json"))) == 1


def test_values_in_tables_are_short() -> None:
    assert plain(functools.partial(scaled_cell, scale=2.0)) == "scaled_cell(scale=2.0)"
    assert plain(functools.partial(PlainCell, 3)) == "PlainCell(3)"
    assert (plain(("last", "max")), plain(PlainCell), plain(0.5)) == ("last+max", "PlainCell", 0.5)


class Factory:
    """Makes cells by a method."""

    def make(self, input_size: int, hidden_size: int) -> nn.Module:
        return PlainCell(input_size, hidden_size)


def scaled_cell(input_size: int, hidden_size: int, scale: float = 1.0) -> nn.Module:
    return PlainCell(input_size, hidden_size, scale)


def inner_class() -> Any:
    class Inner(PlainCell):
        pass

    return Inner


UNCLEAR = {
    "a method": Factory().make,
    "a lambda": lambda input_size, hidden_size: nn.RNNCell(hidden_size, input_size),
    "an inner class": inner_class(),
    "a module": PlainCell(1, 1),
    "no source": type("Made", (PlainCell,), {}),
}


@pytest.mark.parametrize("name", UNCLEAR)
def test_what_its_source_text_does_not_tell_has_no_description(name: str) -> None:
    with pytest.raises(InvalidArgumentError, match=r"(?s)stands at the top level of a file .*; .*functools.partial"):
        study({"cell": [UNCLEAR[name]]})


def test_default_arguments_tell_functions_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    before = describe(scaled_cell)
    monkeypatch.setattr(scaled_cell, "__defaults__", (5.0,))
    assert describe(scaled_cell) != before


def test_what_a_run_is_known_by_is_settled_when_the_study_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A source file that is edited while its runs are trained: they stay known by the text that they ran with."""
    before = study({"cell": [PlainCell]}, cache=tmp_path)

    def edit_and_train(*arguments: Any, **named: Any) -> Any:
        monkeypatch.setattr("inspect.getsource", lambda value: "class PlainCell: ...")
        return train_run(*arguments, **named)

    monkeypatch.setattr("seqclf.study.runner.train_run", edit_and_train)
    assert len(study({"cell": [PlainCell], "seed": [0, 1]}, cache=tmp_path).runs) == 2
    monkeypatch.undo()
    monkeypatch.setattr("seqclf.study.runner.train_run", None)  # nothing is trained any more
    after = study({"cell": [PlainCell], "seed": [0, 1]}, cache=tmp_path)
    assert after.runs[0].results["test"].losses.tolist() == before.runs[0].results["test"].losses.tolist()


@pytest.mark.processes
def test_another_dtype_is_another_run(tmp_path: Path) -> None:
    study({"seed": [0]}, cache=tmp_path)
    torch.set_default_dtype(torch.float64)
    try:
        inside = study({"seed": [0, 1]}, cache=tmp_path, workers=2)
        alone = study({"seed": [0, 1]})
    finally:
        torch.set_default_dtype(torch.float32)
    assert len(list(tmp_path.glob("*.json"))) == 3
    assert inside.to_dict() == alone.to_dict()


def test_a_damaged_cache_file_is_named(tmp_path: Path) -> None:
    study({"seed": [0]}, cache=tmp_path)
    [path] = tmp_path.glob("*.json")
    content = json.loads(path.read_text())
    damages = [
        "{",
        "[]",
        json.dumps(content | {"key": {}}),
        json.dumps(content | {"history": "x"}),
        json.dumps(content | {"results": {"test": {"losses": [1.0], "predictions": [1], "confidences": [1.0]}}}),
    ]
    for damage in damages:
        path.write_text(damage)
        with pytest.raises(FileFormatError, match=rf"run file must be .*{path.name}"):
            study({"seed": [0]}, cache=tmp_path)


class DeadlyCell(PlainCell):
    """A cell that takes its process with it when there is more than a rehearsal to do."""

    def forward(self, x_t: Tensor, state: Tensor | None) -> Tensor:
        if len(x_t) > 3:
            os._exit(9)
        return super().forward(x_t, state)


@pytest.mark.processes
def test_a_worker_that_dies_is_reported_and_what_was_finished_is_kept(tmp_path: Path) -> None:
    grid = {"cell": ["gru", DeadlyCell], "seed": [0, 1]}
    with pytest.raises(TrainingError, match=r"every worker process must live .* Finished runs are in the cache"):
        study(grid, workers=2, cache=tmp_path, base={"epochs": 1})
    assert len(list(tmp_path.glob("*.json"))) >= 1


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda result: result.best("test_accuracy"), r"got 'test_accuracy'.* Test data choose nothing"),
        (lambda result: result.best("validation_los"), r"got 'validation_los'. Did you mean 'validation_loss'"),
        (lambda result: result.to_markdown(["tets_loss"]), r"measure must be one of .*; got 'tets_loss'. Did you mean"),
        (lambda result: result.summarise()[0].interval(on="train"), r"on must name data .*; got 'train'"),
        (lambda result: result.summarise()[0].interval("f1"), r"measure must be one of 'accuracy'"),
    ],
)
def test_questions_that_a_result_cannot_answer(ask: Any, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        ask(study({"seed": [0]}))
