"""Studies: every point once, each found again only by what decided it, and the same results however they were run."""

import functools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from seqclf import (
    EarlyStopping,
    FileFormatError,
    InvalidArgumentError,
    RNNClassifier,
    StudyResult,
    TrainingError,
    evaluate,
    fit,
    run_study,
)
from seqclf.study.options import DEFAULTS, describe, expand
from seqclf.study.run import train_run
from tests import strategies

DATA = strategies.letters_dataset(count=60)
TRAIN, TEST = DATA.split(0.3, seed=0)
SMALL = {"hidden_size": 4, "embedding_dim": 4, "epochs": 2, "batch_size": 8}


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
    [run] = study({"seed": [3]}, base={"learning_rate": 0.01, "weight_decay": 0.0, "cell": "gru"}, curves=True).runs
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
    points = expand([{"cell": ["lstm"], "num_layers": [1, 2]}, {"cell": ["gru"], "seed": range(2)}], {"epochs": 3})
    assert [(point["cell"], point["num_layers"], point["seed"]) for point in points] == [
        ("lstm", 1, 0),
        ("lstm", 2, 0),
        ("gru", 1, 0),
        ("gru", 1, 1),
    ]
    assert all(point["epochs"] == 3 and point.keys() == DEFAULTS.keys() for point in points)


@pytest.mark.parametrize("workers", [1, 2])
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


SCRIPT = """
import sys
from pathlib import Path
from seqclf import run_study
from tests.test_study import PlainCell, TEST, TRAIN

if __name__ == "__main__":
    folder, workers = Path(sys.argv[1]), int(sys.argv[2])
    base = {"hidden_size": 8, "epochs": 4, "batch_size": 4}
    grid = {"cell": ["lstm", "gru", PlainCell], "seed": range(4)}
    result = run_study(TRAIN, grid, base=base, test_data=TEST, cache=folder / "runs", workers=workers, progress=False)
    result.write(folder)
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_study_goes_on_and_ends_with_the_very_same_file(workers: int, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}

    def start(folder: str) -> "subprocess.Popen[bytes]":
        (tmp_path / folder).mkdir(exist_ok=True)
        command = [sys.executable, str(script), str(tmp_path / folder), str(workers)]
        return subprocess.Popen(command, env=environment)

    assert start("whole").wait(120) == 0
    process = start("killed")
    runs = tmp_path / "killed" / "runs"
    while process.poll() is None and len(list(runs.glob("*.json"))) < 3:
        time.sleep(0.01)
    time.sleep(int.from_bytes(os.urandom(1), "big") / 2000)  # at a random moment of a run, or of its writing
    process.send_signal(signal.SIGKILL)
    assert process.wait(30) == -signal.SIGKILL
    finished = len(list(runs.glob("*.json")))
    assert 3 <= finished < 12
    assert start("killed").wait(120) == 0
    for name in ("results.json", "results.csv"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes()


def test_a_run_whose_loss_is_not_finite_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    base = {"optimizer": "sgd", "momentum": 0.9, "cell": "rnn_relu", "epochs": 3, "batch_size": 2}
    grid = {"learning_rate": [1e30, 0.05], "seed": [0, 1]}
    result = study(grid, base=base, cache=tmp_path)
    again = study(grid, base=base, cache=tmp_path)
    for runs in (result.runs, again.runs):
        assert [run.error is None for run in runs] == [False, False, True, True]
        assert "the loss must stay finite" in (runs[0].error or "")
    broken, whole = result.summarise()
    assert (broken.n, whole.n, broken.mean) == (0, 2, {})
    assert repr(result) == "StudyResult(4 runs, varying learning_rate, seed, 2 broke off)"
    assert "| 1e+30 | - |" in result.to_markdown(["test_accuracy"])
    assert result.best().options["learning_rate"] == 0.05
    assert json.loads(json.dumps(result.to_dict()))["runs"][0]["error"]


def test_summaries_are_means_and_deviations_over_seeds() -> None:
    result = study({"batch_size": [4, 8], "seed": [0, 1, 2]})
    for row in result.summarise():
        values = torch.tensor([run.results["test"].loss for run in row.runs], dtype=torch.float64)
        assert row.n == 3
        assert row.mean["test_loss"] == pytest.approx(float(values.mean()))
        assert row.std["test_loss"] == pytest.approx(float(values.std()))
        assert row.seconds > 0
        interval = row.interval("accuracy", resamples=200)
        assert interval.low <= row.mean["test_accuracy"] == interval.value <= interval.high
    assert [record["batch_size"] for record in result.records()] == [4, 4, 4, 8, 8, 8]
    assert "seconds" in result.records()[0]
    assert result.to_csv().splitlines()[0].startswith("batch_size,seed,loss,accuracy,validation_accuracy")
    single = study({"batch_size": [4]})
    assert single.summarise()[0].std["test_loss"] == 0
    assert repr(single) == "StudyResult(1 runs)"


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
    study(grid, cache=tmp_path)
    for _ in range(2):
        for run in study(grid, cache=tmp_path, keep_models=True, base={"calibrate": True, "priors": (1, 2, 3)}).runs:
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
        ({"seed": [1, 1]}, {}, r"every run must differ from the others; got .*'seed': 1.* twice"),
        ({"seed": [-1]}, {}, r"seed must be an integer of at least 0"),
        ({"cell": ["lstn"]}, {}, r"cell must be .*; got 'lstn'"),
        ({"epochs": [2, 0]}, {}, r"epochs must be an integer of at least 1"),
        ({"batch_size": [0]}, {}, r"batch_size must be an integer of at least 1"),
        ({"learning_rate": [-1.0]}, {}, r"learning_rate must be a finite number of at least 0; got -1.0"),
        ({"momentum": [0.9]}, {}, r"momentum must be 0 for 'adamw', which has its own; got 0.9"),
        ({"optimizer": ["adamax"]}, {}, r"optimizer must be one of 'adamw'"),
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


def test_a_function_with_variables_around_it_has_no_description() -> None:
    scale = 2.0

    def cell(input_size: int, hidden_size: int) -> nn.Module:
        return PlainCell(input_size, hidden_size, scale)

    with pytest.raises(InvalidArgumentError, match=r"uses no variables of a function around it; .*functools.partial"):
        study({"cell": [cell]})
    with pytest.raises(InvalidArgumentError, match=r"an option must be a plain value"):
        describe(eval("lambda input_size, hidden_size: None"))


def test_a_damaged_cache_file_is_named(tmp_path: Path) -> None:
    study({"seed": [0]}, cache=tmp_path)
    [path] = tmp_path.glob("*.json")
    content = json.loads(path.read_text())
    damages = [
        "{",
        "[]",
        json.dumps(content | {"key": {}}),
        json.dumps(content | {"history": "x"}),
        json.dumps(content | {"results": {"test": {"losses": [1.0], "predictions": [1]}}}),
    ]
    for damage in damages:
        path.write_text(damage)
        with pytest.raises(FileFormatError, match=rf"run file must be .*{path.name}"):
            study({"seed": [0]}, cache=tmp_path)


class DeadlyCell(PlainCell):
    """A cell that takes its process with it, at the second epoch's worth of steps."""

    def forward(self, x_t: Tensor, state: Tensor | None) -> Tensor:
        if len(x_t) > 3:
            os._exit(9)
        return super().forward(x_t, state)


def test_a_worker_that_dies_is_reported_and_what_was_finished_is_kept(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"every worker process must live .* Finished runs are in the cache"):
        study({"cell": [PlainCell, DeadlyCell], "seed": [0, 1]}, workers=2, cache=tmp_path)


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
