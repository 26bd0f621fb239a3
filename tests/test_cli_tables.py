"""The command on tables: what it writes is what the library's functions write, and it says what it did."""

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqclf import RNNClassifier, SequenceDataset, embed, load, predict, predict_proba, save
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
