"""The command line: it does what the library does, and behaves as a shell expects."""

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seqclf import (
    RNNClassifier,
    SequenceDataset,
    calibrate,
    evaluate,
    fit,
    load,
    predict,
    predict_proba,
    read_table,
    save,
)
from seqclf.cli import main
from seqclf.training.stopping import EarlyStopping

COLUMNS = ["--sequence", "word", "--label", "letter"]
WORDS = [first + rest for first in "abc" for rest in ("", "a", "b", "ca", "bb", "cc", "abc", "cab", "bca")]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "words.csv"
    path.write_text("word,letter\n" + "".join(f"{word},{word[0]}\n" for word in WORDS * 2), encoding="utf-8")
    return path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: Any) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def model(tmp_path: Path, table: Path) -> Path:
    data = SequenceDataset.from_pairs(read_table(table, sequence="word", label="letter"))
    model = RNNClassifier.for_dataset(data, hidden_size=16, seed=0)
    fit(model, data, epochs=30, batch_size=8, progress=False)
    save(model, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def test_train_is_what_the_library_does(table: Path, tmp_path: Path, run: Run) -> None:
    path = tmp_path / "new.safetensors"
    options = ["--hidden-size", 8, "--epochs", 4, "--cell", "gru", "--pooling", "last", "max", "--batch-size", 8]
    options += ["--bidirectional", "--num-layers", 2, "--dropout", 0.1, "--balanced", "--seed", 3, "--patience", 2]
    code, out, err = run("train", table, *COLUMNS, "--output", path, "--json", "--quiet", *options)
    assert code == 0
    assert "History(4 epochs" in err
    data = SequenceDataset.from_pairs(read_table(table, sequence="word", label="letter"))
    rest, test = data.split(0.2, seed=3)
    train, validation = rest.split(0.1, seed=3)
    by_hand = RNNClassifier.for_dataset(
        train, cell="gru", hidden_size=8, num_layers=2, bidirectional=True, dropout=0.1, pooling=("last", "max"), seed=3
    )
    stopping = EarlyStopping(patience=2)
    given: dict[str, Any] = {"epochs": 4, "batch_size": 8, "class_weight": "balanced", "seed": 3, "progress": False}
    fit(by_hand, train, validation_data=validation, early_stopping=stopping, **given)
    calibrate(by_hand, validation)
    assert (predict_proba(load(path), WORDS) == predict_proba(by_hand.cpu(), WORDS)).all()
    assert json.loads(out)["accuracy"] == evaluate(by_hand, test).accuracy


def test_train_on_all_and_go_on(table: Path, tmp_path: Path, run: Run) -> None:
    command = ["train", table, *COLUMNS, "--hidden-size", 4, "--test-size", 0, "--checkpoint", tmp_path / "run"]
    code, out, err = run(*command, "--output", tmp_path / "one", "--epochs", 1)
    assert (code, out) == (0, "")
    assert "54 sequences" in err
    assert "epoch 1/1" in err
    assert "History(2 epochs" in run(*command, "--output", tmp_path / "two", "--epochs", 2)[2]


def test_evaluate(table: Path, model: Path, run: Run) -> None:
    code, out, err = run("evaluate", model, table, *COLUMNS)
    assert (code, err) == (0, "")
    assert out.startswith("accuracy   1.000 (")
    assert [line.split()[0] for line in out.splitlines()[-3:]] == ["a", "b", "c"]
    found = json.loads(run("evaluate", model, table, *COLUMNS, "--json")[1])
    assert found["n"] == 54
    assert 0 <= found["calibration_error"] <= 1


def test_predict(model: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["abba", "cab", "b?"]
    labels = predict(load(model), words)
    assert run("predict", model, *words) == (0, "".join(f"{label}\n" for label in labels), "")
    probable = predict_proba(load(model), words).max(1)
    lines = [f"{label}\t{part:.3f}" for label, part in zip(labels, probable, strict=True)]
    assert run("predict", model, *words, "--proba")[1].splitlines() == lines
    monkeypatch.setattr(sys, "stdin", io.StringIO("abba\ncab\r\nb?"))
    read = [json.loads(line) for line in run("predict", model, "--json", "--chunk-size", 2)[1].splitlines()]
    assert [one["sequence"] for one in read] == words
    assert [one["label"] for one in read] == labels
    assert [one["probability"] for one in read] == pytest.approx(probable.tolist(), abs=1e-6)


def test_models_without_labels_give_indices(tmp_path: Path, run: Run) -> None:
    data = SequenceDataset.from_pairs([("ab", 0), ("b", 1)])
    assert data.vocabulary is not None
    save(RNNClassifier(2, vocab_size=4, vocabulary=data.vocabulary, hidden_size=4), tmp_path / "model")
    assert run("predict", tmp_path / "model", "ab")[1].strip() in {"0", "1"}


def test_report_and_export(table: Path, model: Path, tmp_path: Path, run: Run) -> None:
    data = SequenceDataset.from_pairs(read_table(table, sequence="word", label="letter"))
    assert run("report", table, *COLUMNS) == (0, f"{data.report()}\n", "")
    assert json.loads(run("report", table, *COLUMNS, "--json")[1]) == json.loads(json.dumps(data.report().to_dict()))
    other = tmp_path / "other.csv"
    other.write_text("word,letter\nabc,a\nzz,b\n", encoding="utf-8")
    assert (
        str(
            data.report(
                SequenceDataset.from_pairs(
                    [("abc", "a"), ("zz", "b")], vocabulary=data.vocabulary, classes=data.classes
                )
            )
        )
        in run("report", table, *COLUMNS, "--test", other)[1]
    )
    code, out, _ = run("export", model, tmp_path / "model.onnx")
    assert code == 0
    assert out.startswith(f"{tmp_path / 'model.onnx'} (logits differ from torch's by ")
    assert json.loads(run("export", model, tmp_path / "model.onnx", "--json")[1])["largest_difference"] < 1e-5


def test_errors_are_one_line_and_exit_with_1(table: Path, model: Path, tmp_path: Path, run: Run) -> None:
    for arguments, message in [
        (["evaluate", model, table, "--sequence", "wrd", "--label", "letter"], "must have one column 'wrd'"),
        (["predict", tmp_path / "none", "a"], "model file must exist; got no file at"),
        (["predict", model, "a", ""], "sequences must not be empty; got length 0 (sequence 1)"),
        (["export", model, tmp_path / "model.pt"], "path must end in .onnx"),
        (["train", table, *COLUMNS, "--output", tmp_path / "no" / "x"], "output must be in a folder that exists; got"),
    ]:
        code, out, err = run(*arguments)
        assert (code, out, err.count("\n")) == (1, "", 1)
        assert err.startswith("seqclf: ")
        assert message in err


@pytest.mark.parametrize("arguments", [[], ["trian"], ["predict"], ["train", "words.csv", "--cell", "transformer"]])
def test_wrong_arguments_exit_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "usage: seqclf" in capsys.readouterr().err


def test_ctrl_c_saves_nothing_and_exits_with_130(
    table: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    import seqclf.cli

    def interrupted(*arguments: Any, **options: Any) -> Any:
        history = fit(*arguments, **options)
        history.stopped_by = "interrupted"
        return history

    monkeypatch.setattr(seqclf.cli, "fit", interrupted)
    command = ["train", table, *COLUMNS, "--epochs", 1, "--hidden-size", 4, "--quiet"]
    assert run(*command, "--output", tmp_path / "model")[0] == 130
    assert not (tmp_path / "model").exists()


def test_a_pipe_that_closes_early_is_no_error(model: Path) -> None:
    code = f"yes abc | {sys.executable} -m seqclf predict {model} --chunk-size 64 | head -2"
    finished = subprocess.run(["bash", "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert finished.stdout == "a\na\n"
    assert finished.stderr == ""


def test_bytes_that_are_no_text_are_unknown_symbols(model: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "seqclf", "predict", str(model), "--json"],
        input=b"ab\xff\n",
        capture_output=True,
        timeout=120,
        check=True,
    )
    assert json.loads(finished.stdout)["label"] == predict(load(model), ["ab�"])[0]
