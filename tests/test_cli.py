"""The command line: it does what the library does, and behaves as a shell expects."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seqclf import RNNClassifier, SequenceDataset, calibrate, evaluate, fit, load, predict, predict_proba, save
from seqclf.cli import main
from seqclf.reading import read_table
from seqclf.training.stopping import EarlyStopping
from tests.printed import is_shown

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
    options += ["--learning-rate", 0.003]
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
    given: dict[str, Any] = {
        "learning_rate": 0.003,
        "epochs": 4,
        "batch_size": 8,
        "class_weight": "balanced",
        "seed": 3,
        "progress": False,
    }
    fit(by_hand, train, validation_data=validation, early_stopping=stopping, **given)
    calibrate(by_hand, validation)
    assert (predict_proba(load(path), WORDS) == predict_proba(by_hand.cpu(), WORDS)).all()
    assert json.loads(out)["accuracy"] == evaluate(by_hand, test).accuracy


def test_train_tries_options_and_tells_of_them(table: Path, tmp_path: Path, run: Run) -> None:
    path = tmp_path / "new.safetensors"
    command = ["train", table, *COLUMNS, "--output", path, "--hidden-size", 4, "--epochs", 2, "--autotune", 1e-6]
    code, out, err = run(*command, "--balanced")
    assert code == 0
    assert "| the rules |" in err
    assert "Of 1 choice the rules came to" in err
    assert "\nlinear     " in out
    assert load(path).hidden_size == 4
    code, _, err = run(*command, "--patience", 2)
    assert code == 2
    assert "--patience must not come with --autotune" in err


def test_a_linear_model_stands_beside_what_is_measured(table: Path, tmp_path: Path, run: Run) -> None:
    path = tmp_path / "new.safetensors"
    assert run("train", table, *COLUMNS, "--output", path, "--epochs", 1, "--quiet")[0] == 0
    code, out, _ = run("evaluate", path, table, *COLUMNS, "--train", table, "--json")
    assert code == 0
    assert json.loads(out)["linear_accuracy"] > 0.9
    code, out, _ = run("evaluate", path, table, *COLUMNS, "--train", table)
    assert ", which is better" in out
    assert "linear" not in run("evaluate", path, table, *COLUMNS)[1]


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


def test_classes_that_are_nowhere_are_not_shown(model: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "few.csv").write_text("word,letter\nabba,a\n", encoding="utf-8")
    assert [line.split()[0] for line in run("evaluate", model, tmp_path / "few.csv", *COLUMNS)[1].splitlines()[4:]] == [
        "a"
    ]


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


@pytest.mark.parametrize("top", [1, 2, 3, 9])
def test_the_likeliest_labels_come_first(model: Path, run: Run, top: int) -> None:
    words = ["abba", "c?b"]
    expected = [
        sorted(zip("abc", row.tolist(), strict=True), key=lambda pair: -pair[1])[:top]
        for row in predict_proba(load(model), words)
    ]
    lines = ["\t".join(f"{label}\t{part:.3f}" for label, part in pairs) for pairs in expected]
    assert run("predict", model, *words, "--top", top)[1].splitlines() == lines
    for line, pairs in zip(
        run("predict", model, *words, "--top", top, "--json")[1].splitlines(), expected, strict=True
    ):
        answer = json.loads(line)
        assert [(one["label"], one["probability"]) for one in answer["top"]] == [
            (label, pytest.approx(part, abs=1e-6)) for label, part in pairs
        ]
        assert answer["label"] == pairs[0][0]


def test_no_labels_are_no_wish(model: Path, run: Run) -> None:
    code, out, err = run("predict", model, "abba", "--top", 0)
    assert (code, out, err) == (2, "", "seqclf: top must be an integer of at least 1; got 0.\n")


@pytest.mark.parametrize("chunk_size", [1, 2, 3, 100])
def test_answers_before_a_wrong_line_are_given(model: Path, chunk_size: int, run: Run) -> None:
    words = ["abba", "cab", "b", ""]
    code, out, err = run("predict", model, *words, "cab", "--chunk-size", chunk_size)
    assert (code, out.split()) == (1, predict(load(model), words[:3]))
    assert err.startswith("seqclf: sequences must not be empty; got length 0 (line 4). Remove it")


@pytest.mark.parametrize("classes", [None, tuple(range(10, 22)), tuple("abcdefghijkl")])
def test_labels_in_a_csv_are_those_of_the_model(classes: Any, tmp_path: Path, run: Run) -> None:
    letters = "abcdefghijkl"
    data = SequenceDataset.from_pairs([(letter, number) for number, letter in enumerate(letters)])
    vocabulary = data.vocabulary
    assert vocabulary is not None
    model = RNNClassifier(
        12, vocab_size=len(vocabulary), vocabulary=vocabulary, classes=classes, hidden_size=16, seed=0
    )
    named = SequenceDataset.from_sequences(list(letters), range(12) if classes is None else classes)
    fit(model, named if classes else data, epochs=60, batch_size=4, progress=False)
    save(model, tmp_path / "model")
    known = range(12) if classes is None else classes
    lines = [f"{letter},{label}\n" for letter, label in zip(letters, known, strict=True)]
    (tmp_path / "table.csv").write_text("word,letter\n" + "".join(lines), encoding="utf-8")
    assert (
        json.loads(run("evaluate", tmp_path / "model", tmp_path / "table.csv", *COLUMNS, "--json")[1])["accuracy"] == 1
    )
    assert run("predict", tmp_path / "model", "d")[1].strip() == str(known[3])


def test_what_a_model_skips_has_no_label(tmp_path: Path, run: Run) -> None:
    data = SequenceDataset.from_pairs([("ab", "x"), ("b", "y")])
    save(RNNClassifier.for_dataset(data, hidden_size=4, empty="skip", seed=0), tmp_path / "model")
    assert json.loads(run("predict", tmp_path / "model", "", "--json")[1]) == {"sequence": "", "label": None}
    assert run("predict", tmp_path / "model", "")[1] == "\n"
    assert run("predict", tmp_path / "model", "", "--proba")[1] == "\t\n"
    assert run("predict", tmp_path / "model", "", "--top", 2)[1] == "\t\n"
    assert json.loads(run("predict", tmp_path / "model", "", "--json", "--top", 2)[1])["top"] == []


@pytest.mark.parametrize("empty", ["zero", "skip"])
def test_empty_sequences_are_what_one_says(empty: str, tmp_path: Path, run: Run) -> None:
    (tmp_path / "table.csv").write_text("word,letter\n" + "ab,x\nb,y\n,x\n" * 5, encoding="utf-8")
    train = ["train", tmp_path / "table.csv", *COLUMNS, "--output", tmp_path / "model", "--test-size", 0, "--epochs", 1]
    code, _, err = run(*train)
    assert (
        code,
        f"got length 0 ({tmp_path / 'table.csv'}, line 4). Remove it; leave such rows out with --skip-broken" in err,
    ) == (1, True)
    assert run(*train, "--empty", empty)[0] == 0
    assert load(tmp_path / "model").empty == empty


def test_models_of_tokens_take_lists(tmp_path: Path, run: Run) -> None:
    pairs = [(["GET", "a"], "x"), (["PUT"], "y")]
    model = RNNClassifier.for_dataset(SequenceDataset.from_pairs(pairs), hidden_size=4, seed=0)
    save(model, tmp_path / "model")
    code, out, _ = run("predict", tmp_path / "model", '["PUT", "b"]', "--json")
    assert code == 0
    assert json.loads(out)["sequence"] == ["PUT", "b"]
    assert json.loads(out)["label"] == predict(model, [["PUT", "b"]])[0]
    for line in ("PUT", '"PUT"'):
        code, out, err = run("predict", tmp_path / "model", line)
        assert (code, out) == (1, "")
        assert f"sequences must be lists in JSON for this model, which is not of text; got {line!r}" in err


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


def test_errors_are_one_line(table: Path, model: Path, tmp_path: Path, run: Run) -> None:
    bare = tmp_path / "bare"
    save(RNNClassifier(3, vocab_size=5), bare)
    for arguments, expected, message in [
        (["evaluate", model, table, "--sequence", "wrd", "--label", "letter"], 1, "must have one column 'wrd'"),
        (["predict", tmp_path / "none", "a"], 1, "model file must exist; got no file at"),
        (["predict", model, "--chunk-size", 0], 2, "chunk_size must be an integer of at least 1; got 0"),
        (["predict", bare, "a"], 2, "model must have a vocabulary to encode raw sequences"),
        (["evaluate", bare, table, *COLUMNS], 2, "model must have a vocabulary to encode raw sequences"),
        (["export", model, tmp_path / "model.pt"], 2, "path must end in .onnx"),
        (["train", table, *COLUMNS, "--output", tmp_path / "no" / "x"], 2, "output must be a file in a folder that"),
        (["train", table, *COLUMNS, "--output", tmp_path], 2, "output must be a file in a folder that exists and"),
        (["train", table, *COLUMNS, "--output", bare, "--epochs", 0], 2, "epochs must be an integer of at least 1"),
    ]:
        code, out, err = run(*arguments)
        assert (code, out, err.count("\n")) == (expected, "", 1)
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
    def interrupted(*arguments: Any, **options: Any) -> Any:
        history = fit(*arguments, **options)
        history.stopped_by = "interrupted"
        return history

    monkeypatch.setattr("seqclf.cli.train.fit", interrupted)
    command = ["train", table, *COLUMNS, "--epochs", 1, "--hidden-size", 4, "--quiet"]
    assert run(*command, "--output", tmp_path / "model")[0] == 130
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("page", "is_right"),
    [
        ("rows 3,014\n", True),
        ("rows 3,015\n", False),
        ("rows 3,014\n...\nMori 0.123\tx\n", True),
        ("Mori 0.123\tx\n...\nrows 3,014\n", False),
        ("Mori 0.123\ty\n", False),
    ],
)
def test_what_a_page_shows_is_compared_but_for_the_figures_of_models(page: str, is_right: bool) -> None:
    assert is_shown(page, "rows 3,014\nshare 5.6 %\nMori 0.987\tx\n") == is_right


def in_a_shell(code: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    own = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"} | environment
    command = ["bash", "-c", "set -o pipefail; " + code]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, env=own)


@pytest.mark.processes
def test_a_pipe_that_closes_early_is_no_error(model: Path, table: Path) -> None:
    finished = in_a_shell(f"yes abc | {sys.executable} -m seqclf predict {model} --chunk-size 64 | head -2")
    assert (finished.stdout, finished.stderr) == ("a\na\n", "")
    finished = in_a_shell(f"{sys.executable} -m seqclf report {table} --sequence word --label letter | true")
    assert (finished.returncode, finished.stderr) == (0, "")


@pytest.mark.processes
def test_answers_come_before_the_next_question(model: Path) -> None:
    own = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-m", "seqclf", "predict", str(model), "--chunk-size", "1"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=own) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for word in ("abba", "cab"):
            process.stdin.write(word + "\n")
            process.stdin.flush()
            assert process.stdout.readline() == word[0] + "\n"
        process.stdin.close()


@pytest.mark.processes
def test_labels_that_the_terminal_has_no_letters_for(tmp_path: Path) -> None:
    data = SequenceDataset.from_pairs([("a", "é"), ("b", "é")])
    save(RNNClassifier.for_dataset(data, hidden_size=4), tmp_path / "model")
    finished = in_a_shell(f"{sys.executable} -m seqclf predict {tmp_path}/model a", PYTHONIOENCODING="ascii")
    assert (finished.stdout, finished.stderr) == ("\\xe9\n", "")


@pytest.mark.processes
def test_bytes_that_are_no_text_are_unknown_symbols(model: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "seqclf", "predict", str(model), "--json"],
        input=b"ab\xff\n",
        capture_output=True,
        timeout=600,
        check=True,
    )
    assert json.loads(finished.stdout)["label"] == predict(load(model), ["ab�"])[0]


def test_the_name_of_a_file_is_no_sequence(model: Path, table: Path, run: Run) -> None:
    code, out, err = run("predict", model, table)
    assert (code, out) == (2, "")
    assert f"one on each line of standard input; got the file {table}. Run: seqclf predict" in err
    assert run("predict", model, "--top", 2, "aab")[0] == 0  # options before sequences, or behind
    assert run("predict", model, "aab", "--top", 2)[0] == 0
    with pytest.raises(SystemExit, match="2"):
        run("predict", model, "--tops", 2, "aab")
    with pytest.raises(SystemExit, match="2"):
        run("export", model, model, "more")


def test_columns_by_number(tmp_path: Path, run: Run) -> None:
    (tmp_path / "bare.csv").write_text("ab;x\nba;y\n" * 4, encoding="utf-8")
    options = ["--sequence", 0, "--label", 1, "--no-header"]
    code, out, _ = run("report", tmp_path / "bare.csv", *options, "--json")
    assert (code, json.loads(out)["n"]) == (0, 8)
    code, _, err = run("report", tmp_path / "bare.csv", *COLUMNS, "--no-header")
    assert (code, "--sequence and --label must be numbers of columns, from 0, with --no-header" in err) == (2, True)
    code, _, err = run("report", tmp_path / "bare.csv", *COLUMNS)
    assert (code, "if there is no header, pass --no-header and the numbers of the columns" in err) == (1, True)


def test_warnings_are_one_line(tmp_path: Path, run: Run) -> None:
    (tmp_path / "a.csv").write_text("word,letter\n" + "0.1 0.2,x\n3 4 5,y\nbroken\n" * 4, encoding="utf-8")
    code, _, err = run("report", tmp_path / "a.csv", *COLUMNS, "--skip-broken")
    assert code == 0
    assert [line[:17] for line in err.splitlines()] == ["seqclf: warning: "] * 2


@pytest.mark.parametrize("closed", ["stdin", "stdout"])
def test_closed_streams_are_told_in_one_line(model: Path, closed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    def say(message: str, code: int) -> int:
        told.append(message)
        return code

    monkeypatch.setattr("seqclf.cli._say", say)
    monkeypatch.setattr(sys, closed, None)
    assert main(["predict", str(model)]) in {1, 2}
    assert len(told) == 1
    assert f"standard {'input' if closed == 'stdin' else 'output'} must be open" in told[0]


def test_a_full_disk_is_told_in_one_line(model: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("seqclf.cli.predict._print_answer", full)
    monkeypatch.setattr("seqclf.cli._close_output", lambda: None)
    assert main(["predict", str(model), "aab"]) == 1
    assert capsys.readouterr().err == "seqclf: could not write: No space left on device\n"


@pytest.mark.processes
@pytest.mark.parametrize(
    "command",
    [
        ["--help"],
        ["--version"],
        *([name, "--help"] for name in ("train", "evaluate", "predict", "report", "export")),
        ["trian"],
        ["train", "words.csv", "--cell", "transformer"],
        ["train", "words.csv", "--sequence", "a", "--by", "b", "--output", "model"],
        ["report", "words.csv", "--sequence", "a"],
    ],
)
def test_help_and_wrong_options_wait_for_nothing(command: list[str]) -> None:
    code = (
        "import sys\nfrom seqclf.cli import main\n"
        f"try:\n    main({command})\nexcept SystemExit:\n    pass\n"
        "print([name for name in ('torch', 'numpy', 'pandas', 'tqdm') if name in sys.modules])"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=True)
    assert finished.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("option", [["--delimiter", ";"], ["--skip-broken"], ["--encoding", "latin1"]])
@pytest.mark.parametrize("kind", [["--by", "word", "--label", "letter"], ["--series"]])
def test_options_that_a_kind_of_table_does_not_take_are_refused(
    table: Path, kind: list[str], option: list[str], run: Run
) -> None:
    code, _, err = run("report", table, *kind, *option)
    assert (code, err.startswith(f"seqclf: {option[0]} must not come with {kind[0]}")) == (2, True)
