"""The command on what is no table of texts: FASTA, folders, and columns of numbers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqclf import load
from seqclf.cli import main
from seqclf.errors import FileFormatError
from seqclf.reading.rows import RowFile
from seqclf.reading.tables import Table

Run = Callable[..., tuple[int, str, str]]
SMALL = ["--epochs", 1, "--hidden-size", 4, "--test-size", 0, "--quiet"]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: Any) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def fasta(tmp_path: Path) -> Path:
    path = tmp_path / "genes.fasta"
    path.write_text(">s1 coding\nACG\nT\n>s2 other\nGG\n>s3 coding\nAC\n", encoding="utf-8")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in [("spam/1", "win a prize"), ("spam/2", "win now"), ("ham/1", "see you at ten")]:
        (tmp_path / "mails" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mails" / f"{name}.txt").write_text(text, encoding="utf-8")
    return tmp_path / "mails"


def test_fasta_with_a_label_in_its_headers(fasta: Path, tmp_path: Path, run: Run) -> None:
    model = tmp_path / "model"
    assert run("train", fasta, "--header-word", -1, "--output", model, *SMALL)[0] == 0
    assert load(model).classes == ("coding", "other")
    found = json.loads(run("evaluate", model, fasta, "--header-word", 1, "--train", fasta, "--json")[1])
    assert found["n"] == 3
    assert json.loads(run("report", fasta, "--header-word", 1, "--json")[1])["n"] == 3
    code, _, err = run("report", fasta, "--header-word", 7)
    assert (code, "label must make a label of each header" in err) == (1, True)


def test_a_folder_for_each_class(folder: Path, tmp_path: Path, run: Run) -> None:
    assert run("train", folder, "--tokenizer", "words", "--output", tmp_path / "model", *SMALL)[0] == 0
    assert load(tmp_path / "model").classes == ("ham", "spam")
    assert json.loads(run("evaluate", tmp_path / "model", folder, "--json")[1])["n"] == 3


def test_columns_of_numbers(tmp_path: Path, run: Run) -> None:
    rng = np.random.default_rng(0)
    rows = [(rng.normal(kind, 0.1, 5).round(3).tolist(), str(kind)) for kind in (0, 5) for _ in range(8)]
    lines = [json.dumps({"trace": row, "kind": kind}) + "\n" for row, kind in rows]
    (tmp_path / "traces.jsonl").write_text("".join(lines), encoding="utf-8")
    cells = [f'"{row}",{kind}\n' for row, kind in rows]
    (tmp_path / "traces.csv").write_text("trace,kind\n" + "".join(cells), encoding="utf-8")
    columns = ["--sequence", "trace", "--label", "kind"]
    for name in ("traces.jsonl", "traces.csv"):
        train = ["train", tmp_path / name, *columns, "--numbers", "--output", tmp_path / "model"]
        assert run(*train, "--epochs", 20, "--hidden-size", 8, "--test-size", 0, "--quiet")[0] == 0
        assert load(tmp_path / "model").input_size == 1
        out = run("evaluate", tmp_path / "model", tmp_path / name, *columns, "--json")[1]  # which knows of numbers
        assert json.loads(out)["accuracy"] == 1.0
    out = run("predict", tmp_path / "model", tmp_path / "traces.csv", "--sequence", "trace", "--json")[1]
    assert [json.loads(line)["label"] for line in out.splitlines()] == [kind for _, kind in rows]
    code, _, err = run("report", tmp_path / "traces.jsonl", *columns)
    assert (code, "'trace' must be a string, or a list of strings or integers" in err) == (1, True)


@pytest.mark.parametrize(
    ("cell", "got"), [("abc", "Expecting value"), ("3", "a int"), ('["a"]', "could not convert"), ("[" * 9999, "")]
)
def test_cells_that_are_no_numbers_are_named(cell: str, got: str, tmp_path: Path) -> None:
    (tmp_path / "in.tsv").write_text(f"trace\tkind\n[1, 2]\tx\n{cell}\ty\n", encoding="utf-8")
    table = Table(RowFile(tmp_path / "in.tsv"), "trace", "kind", numbers=True)
    with pytest.raises(FileFormatError, match=f"'trace' must be a list of numbers, or of rows.*{got}.*line 3"):
        list(table.rows())


def test_options_of_other_kinds_are_refused(fasta: Path, folder: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "t.csv").write_text("a,b\nx,y\n", encoding="utf-8")
    table, columns = tmp_path / "t.csv", ["--sequence", "a", "--label", "b"]
    cases: list[tuple[list[Any], str]] = [
        ([fasta], "--header-word must be given for a FASTA file"),
        ([fasta, "--header-word", 1, "--label", "x"], "--label must not come with a FASTA file"),
        ([fasta, "--header-word", 1, "--encoding", "latin1"], "--encoding must not come with a FASTA file"),
        ([fasta, "--header-word", 1, "--numbers"], "--numbers must not come with a FASTA file, which holds texts"),
        ([folder, "--sequence", "x"], "--sequence must not come with a folder, which has a form of its own"),
        ([folder, "--header-word", 0], "--header-word must not come with a folder"),
        ([table, *columns, "--header-word", 0], "--header-word must come with a FASTA file"),
        ([table, *columns, "--test", folder], "--test must be of the kind of the first, a table; got a folder"),
        ([table, *columns, "--numbers", "--tokenizer", "words"], "--tokenizer must not come with --numbers"),
        ([table, "--by", "a", "--label", "b", "--numbers"], "--numbers must come with --sequence"),
        ([table, "--series", "--numbers"], "--numbers must not come with --series"),
    ]
    for arguments, message in cases:
        code, out, err = run("report", *arguments)
        assert (code, out, message in err) == (2, "", True), err
    code, _, err = run("evaluate", "model", folder, "--slices", "x")
    assert (code, "--slices must come without a column for data that are no table" in err) == (2, True)
