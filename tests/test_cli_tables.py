"""The command on tables: what it writes is what the library's functions write, and it says what it did."""

import csv
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqclf import RNNClassifier, SequenceDataset, embed, evaluate, load, predict, predict_proba, save
from seqclf.cli import main
from seqclf.inference.tables import predict_table

WORDS = ["aab", "b", "abba", "bbb", "a"]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: Any) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def save_model(path: Path, seed: int = 0, **options: Any) -> Path:
    data = SequenceDataset.from_pairs([("ab", "x"), ("ba", "y"), ("b", "z")])
    save(RNNClassifier.for_dataset(data, hidden_size=6, seed=seed, **options), path)
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save_model(tmp_path / "model")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "words.csv"
    path.write_text("id,word\n" + "".join(f"{number},{word}\n" for number, word in enumerate(WORDS)), encoding="utf-8")
    return path


@pytest.mark.parametrize("options", [{}, {"top": 2}, {"reject_below": 0.35}, {"prefix": "our_"}, {"chunk_size": 2}])
def test_a_table_of_answers_is_that_of_the_library(
    options: dict[str, Any], table: Path, model: Path, tmp_path: Path, run: Run
) -> None:
    given = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)]
    code, out, err = run("predict", model, table, "--sequence", "word", "--output", tmp_path / "out.csv", *given)
    assert (code, out) == (0, "")
    assert err.splitlines()[-1] == f"5 rows; saved as {tmp_path / 'out.csv'}"
    predict_table(load(model), table, tmp_path / "own.csv", sequence="word", progress=False, **options)
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "own.csv").read_bytes()
    assert run("predict", model, table, "--sequence", "word", *given) == (0, (tmp_path / "own.csv").read_text(), "")
    predict_table(load(model), table, tmp_path / "own.jsonl", sequence="word", progress=False, **options)
    assert run("predict", model, table, "--sequence", "word", "--output", "-", "--json", *given) == (
        0,
        (tmp_path / "own.jsonl").read_text(),
        "",
    )


def test_what_was_written_is_told_as_json_too(table: Path, model: Path, tmp_path: Path, run: Run) -> None:
    output = tmp_path / "out.parquet"
    code, out, err = run("predict", model, table, "--sequence", "word", "--output", output, "--json", "--quiet")
    assert (code, json.loads(out)) == (0, {"path": str(output), "rows": 5})
    assert err == f"5 rows; saved as {output}\n"
    code, out, _ = run(
        "embed", model, table, "--sequence", "word", "--output", tmp_path / "v.npy", "--json", "--chunk-size", 2
    )
    assert (code, json.loads(out)["shape"]) == (0, [5, load(model).head.in_features])
    assert (np.load(tmp_path / "v.npy") == embed(load(model), WORDS)).all()


def test_models_answer_together(table: Path, model: Path, tmp_path: Path, run: Run) -> None:
    other = save_model(tmp_path / "other", seed=1)
    third = save_model(tmp_path / "third", seed=2)
    models = [load(path) for path in (model, other, third)]
    together = ["--with", other, "--with", third]
    assert run("predict", model, *together, *WORDS)[1].split() == predict(models, WORDS)
    assert run("predict", model, table, *together, "--sequence", "word")[0] == 0
    best = [float(line.split("\t")[1]) for line in run("predict", model, *WORDS, "--proba", *together)[1].splitlines()]
    assert best == pytest.approx(predict_proba(models, WORDS).max(1), abs=1e-3)


def test_unsure_answers_are_left_open(model: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    best = predict_proba(load(model), WORDS).max(1)
    least = float(np.median(best))
    labels = [label or "" for label in predict(load(model), WORDS, reject_below=least)]
    assert run("predict", model, *WORDS, "--reject-below", least)[1].splitlines() == labels
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(WORDS)))
    rows = [json.loads(line) for line in run("predict", model, "--json", "--reject-below", least)[1].splitlines()]
    assert [row["label"] or "" for row in rows] == labels
    assert [row["probability"] for row in rows] == pytest.approx(best, abs=1e-6)
    lines = run("predict", model, *WORDS, "--proba", "--reject-below", least)[1].splitlines()
    assert lines == [f"{label}\t{sure:.3f}" for label, sure in zip(labels, best, strict=True)]


def test_several_labels_are_those_of_predict(tmp_path: Path, run: Run) -> None:
    data = SequenceDataset.from_sequences(WORDS, [["x"], ["x", "y"], [], ["y"], []], multi_label=True)
    model = RNNClassifier.for_dataset(data, hidden_size=4, seed=0)
    save(model, tmp_path / "model")
    labels = predict(model, WORDS)
    assert run("predict", tmp_path / "model", *WORDS)[1].splitlines() == ["\t".join(label) for label in labels]
    rows = [json.loads(line) for line in run("predict", tmp_path / "model", *WORDS, "--json")[1].splitlines()]
    assert [tuple(row["label"]) for row in rows] == labels
    assert [len(row["probability"]) for row in rows] == list(map(len, labels))
    code, _, err = run("predict", tmp_path / "model", "ab", "--reject-below", 0.5)
    assert (code, "--reject-below must be None for a model of several labels" in err) == (2, True)


def test_what_is_wrong_is_one_line(table: Path, model: Path, tmp_path: Path, run: Run) -> None:
    labelled = tmp_path / "labelled.csv"
    labelled.write_text("word,label\nab,x\n", encoding="utf-8")
    column = ["--sequence", "word"]
    out = ["--output", tmp_path / "out.csv"]
    for arguments, expected, message in [
        (["predict", model, labelled, *column, *out], 1, "got 'label' in"),
        (["predict", model, labelled, *column, *out], 1, "Pass --prefix predicted_, or another"),
        (["predict", model, table, *column, "--output", table], 2, "output must be another file than the table"),
        (["predict", model, table, *column, "--output", tmp_path / "no" / "x.csv"], 2, "output must be a file in a"),
        (["predict", model, *column], 2, "--sequence and --by must come with one table; got []"),
        (["predict", model, table, table, *column], 2, "--sequence and --by must come with one table"),
        (["predict", model, table, *column, "--by", "id"], 2, "one of --sequence and --by must be given"),
        (["predict", model, table, *column, "--order", "id"], 2, "--order must come with --by"),
        (["predict", model, table, "--by", "id"], 2, "--by must come with a model of records"),
        (["predict", model, table, "--by", "id", "--encoding", "latin1"], 2, "--encoding must not come with --by"),
        (["predict", model, table, *column, "--no-header"], 2, "--sequence must be numbers of columns, from 0, with"),
        (["predict", model, "ab", *out], 2, "--output must come with --sequence or --by, for a table"),
        (["predict", model, "ab", "--prefix", "p_"], 2, "--prefix must come with --sequence or --by, for a table"),
        (["predict", model, "ab", "--skip-broken"], 2, "--skip-broken must come with --sequence or --by, for a table"),
        (["predict", model, "ab", "--top", 2, "--reject-below", 0.5], 2, "--reject-below must not come with --top"),
        (["predict", model, table], 2, "or, for a table, name the column of its sequences with --sequence"),
        (["embed", model, table, *column, *out], 2, "output must end in .npy"),
        (["embed", model, table, "--output", tmp_path / "v.npy"], 2, "one of --sequence and --by must be given"),
    ]:
        code, printed, err = run(*arguments)
        assert (code, printed) == (expected, ""), arguments
        last = err.splitlines()[-1]  # a bar may stand before it
        assert last.startswith("seqclf: ")
        assert message in last
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labelled.csv", "model", "words.csv"]


def test_a_column_by_its_number(model: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "bare.csv").write_text("1;ab\n2;b\n", encoding="utf-8")
    code, out, _ = run("predict", model, tmp_path / "bare.csv", "--sequence", 1, "--no-header", "--delimiter", ";")
    assert (code, [line.split(";")[:3] for line in out.splitlines()]) == (
        0,
        [["1", "ab", predict(load(model), ["ab"])[0]], ["2", "b", predict(load(model), ["b"])[0]]],
    )


def test_a_kind_of_warning_is_told_once(model: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "odd.csv").write_text("word\n?\nab\n!\n", encoding="utf-8")
    code, _, err = run("predict", model, tmp_path / "odd.csv", "--sequence", "word", "--chunk-size", 1)
    assert (code, err.count("\n")) == (0, 1)
    assert f"no symbol is known of 2 of 3 sequences, such as {tmp_path / 'odd.csv'}, line 2" in err
    code, _, err = run("predict", model, "?", "!", "ab", "--chunk-size", 1)
    assert (code, err.count("\n"), "such as line 1:" in err) == (0, 1, True)


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    path = tmp_path / "labelled.csv"
    rows = [f"{word},{label},{device}\n" for word, label, device in zip(WORDS, "xyzxy", "mmtmt", strict=True)]
    path.write_text("word,letter,device\n" + "".join(rows), encoding="utf-8")
    return path


COLUMNS = ["--sequence", "word", "--label", "letter"]


def test_mistakes_and_slices_are_those_of_the_library(labelled: Path, model: Path, tmp_path: Path, run: Run) -> None:
    loaded = load(model)
    data = SequenceDataset.from_sequences(WORDS, list("xyzxy"), vocabulary=loaded.vocabulary, classes=loaded.classes)
    result = evaluate(loaded, data)
    command = ["evaluate", model, labelled, *COLUMNS]
    code, out, err = run(*command, "--mistakes", tmp_path / "rows.csv", "--slices", "device")
    assert (code, err) == (0, f"{len(result.mistakes(data))} mistakes; saved as {tmp_path / 'rows.csv'}\n")
    assert out.endswith(f"\n\n{result.by(list('mmtmt'))}\n")
    mistakes = result.mistakes(data)
    mistakes.write(tmp_path / "own.csv", {"line": [row.index + 2 for row in mistakes]})
    assert (tmp_path / "rows.csv").read_bytes() == (tmp_path / "own.csv").read_bytes()
    slices = json.loads(run(*command, "--slices", "device", "--json")[1])["slices"]
    assert {name: part["n"] for name, part in slices.items()} == {"m": 3, "t": 2}
    assert run(*command, "--slices")[1].endswith(f"\n\n{result.by('length')}\n")


def test_slices_of_what_is_measured_alone(tmp_path: Path, run: Run) -> None:
    model = save_model(tmp_path / "model", empty="skip")
    (tmp_path / "table.csv").write_text("word,letter,part\nab,x,p\n,y,q\nb,z,q\n", encoding="utf-8")
    out = run("evaluate", model, tmp_path / "table.csv", *COLUMNS, "--slices", "part", "--json")[1]
    assert {name: part["n"] for name, part in json.loads(out)["slices"].items()} == {"p": 1, "q": 1}


def test_slices_of_events_and_of_columns_by_number(tmp_path: Path, model: Path, run: Run) -> None:
    rows = [
        f"{who},{at},{page},{left},{land}\n"
        for who, left, land in ("anI", "byJ", "cnI")
        for at, page in ((1, "a"), (2, "b"))
    ]
    (tmp_path / "events.csv").write_text("who,at,page,left,land\n" + "".join(rows), encoding="utf-8")
    about = [tmp_path / "events.csv", "--by", "who", "--order", "at", "--fields", "page", "--label", "left"]
    assert run("train", *about, "--output", tmp_path / "m", "--test-size", 0, "--epochs", 1, "--quiet")[0] == 0
    out = run("evaluate", tmp_path / "m", *about, "--slices", "land", "--json")[1]
    assert {name: part["n"] for name, part in json.loads(out)["slices"].items()} == {"I": 2, "J": 1}
    (tmp_path / "bare.csv").write_text("ab,x,p\nb,z,q\n", encoding="utf-8")
    about = [model, tmp_path / "bare.csv", "--sequence", 0, "--label", 1, "--no-header"]
    assert list(json.loads(run("evaluate", *about, "--slices", 2, "--json")[1])["slices"]) == ["p", "q"]
    code, _, err = run("evaluate", *about, "--slices", "part")
    assert (code, "--slices must be the number of a column with --no-header; got part" in err) == (2, True)


def test_models_are_measured_together(labelled: Path, model: Path, tmp_path: Path, run: Run) -> None:
    other = save_model(tmp_path / "other", seed=1)
    models = [load(model), load(other)]
    data = SequenceDataset.from_sequences(
        WORDS, list("xyzxy"), vocabulary=models[0].vocabulary, classes=models[0].classes
    )
    found = json.loads(run("evaluate", model, labelled, *COLUMNS, "--with", other, "--json")[1])
    assert found["loss"] == evaluate(models, data).loss


def test_where_mistakes_cannot_go_is_told_first(labelled: Path, model: Path, tmp_path: Path, run: Run) -> None:
    for place, message in [
        ("rows.txt", "--mistakes must end in one of .csv"),
        ("no/rows.csv", "output must be a file"),
    ]:
        code, out, err = run("evaluate", model, labelled, *COLUMNS, "--mistakes", tmp_path / place)
        assert (code, out, message in err) == (2, "", True)
    code, _, err = run("evaluate", model, labelled, "--series", "--slices", "device")
    assert (code, "--slices must come without a column for data" in err) == (2, True)


def test_training_writes_a_page(tmp_path: Path, run: Run) -> None:
    (tmp_path / "table.csv").write_text("word,letter\n" + "".join(f"{w},{w[0]}\n" for w in WORDS * 4), encoding="utf-8")
    train = ["train", tmp_path / "table.csv", *COLUMNS, "--output", tmp_path / "model", "--epochs", 2, "--quiet"]
    train += ["--hidden-size", 4]
    code, out, err = run(*train, "--report", tmp_path / "run.html")
    assert (code, err.splitlines()[-1]) == (0, f"report saved as {tmp_path / 'run.html'}")
    assert out.startswith("accuracy   ")
    assert "Figures of each class" in (tmp_path / "run.html").read_text("utf-8")
    for wrong, message in [
        (["--report", tmp_path / "run.pdf"], "--report must end in .html"),
        (["--report", tmp_path / "no" / "run.html"], "output must be a file in a folder that exists"),
        (["--report", tmp_path / "run.html", "--test-size", 0], "--report must come with a part to test on"),
    ]:
        code, out, err = run(*train, *wrong)
        assert (code, out, message in err) == (2, "", True)


def test_rows_without_a_sequence_stay_without_an_answer_or_are_left_out(model: Path, tmp_path: Path, run: Run) -> None:
    table = tmp_path / "gaps.csv"
    table.write_text("word,letter\nab,x\n,y\nb,z\n", encoding="utf-8")
    code, _, err = run("predict", model, table, "--sequence", "word", "--output", tmp_path / "out.csv")
    assert code == 1
    assert "got length 0 (" in err
    assert "line 3). Remove it; leave such rows out with --skip-broken; or keep them by training with --empty" in err
    command = ("predict", model, table, "--sequence", "word", "--prefix", "our_", "--skip-broken")
    code, _, _ = run(*command, "--output", tmp_path / "out.csv")
    answers = predict(load(model), ["ab", "b"])
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text(encoding="utf-8").splitlines()))
    assert code == 0
    assert [row["our_label"] for row in rows] == [answers[0], "", answers[1]]
    assert rows[1]["our_probability"] == ""
    code, out, err = run("evaluate", model, table, *COLUMNS, "--skip-broken", "--json")
    assert (code, json.loads(out)["n"]) == (0, 2)
    assert "1 rows were left out, the first as 'word' must not be empty; got ''" in err
    assert "--skip-broken" not in err
    assert run("report", table, *COLUMNS, "--skip-broken")[0] == 0
