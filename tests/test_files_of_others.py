"""Files that people have: series, FASTA, a folder for each class; in Python and from the command."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from seqclf import load
from seqclf.cli import main
from seqclf.errors import FileFormatError, InvalidDataError
from seqclf.reading import read_fasta, read_folder, read_series

TS = """#comment
@problemName two
@classLabel true a b
@data
1.0,2.0,?:3.0,4.0,NaN:a
0.5,0.25,0.125:1,2,3:b
"""


def write(path: Path, content: str) -> Path:
    path.write_bytes(gzip.compress(content.encode()) if path.suffix == ".gz" else content.encode())
    return path


@pytest.mark.parametrize("name", ["two.ts", "two.ts.gz"])
def test_the_ts_format(name: str, tmp_path: Path) -> None:
    (first, a), (second, b) = read_series(write(tmp_path / name, TS))
    assert (first.tolist(), a) == ([[1.0, 3.0], [2.0, 4.0]], "a")
    assert (second.shape, b) == ((3, 2), "b")


@pytest.mark.parametrize(("name", "mark"), [("a.tsv", "\t"), ("a.csv", ","), ("a.txt", "  "), ("a.csv", ";")])
def test_tables_with_a_series_a_row(name: str, mark: str, tmp_path: Path) -> None:
    lines = [mark.join(["1", "0.5", "-2e1", "NaN" if mark.strip() else ""]), "", mark.join(["2", "1", "2", "3"])]
    found = read_series(write(tmp_path / name, "\n".join(lines)))
    assert [(series.ravel().tolist(), label) for series, label in found] == [
        ([0.5, -20.0], "1"),
        ([1.0, 2.0, 3.0], "2"),
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.ts", "@classLabel false\n1,2:3", "series must have labels; got '@classLabel false'"),
        ("a.ts", "1,2:3:a", r"channels of one length, and a label; got \[2, 1\] values in .*line 1"),
        ("a.ts", "1,2:a\n1:2:b", "each line must have 1 channels"),
        ("a.csv", "label,x,y\n1,2,3", "series must hold numbers, the label first .*line 1. Is there a line of names"),
        ("a.csv", "\n", "file must hold a series at least"),
    ],
)
def test_files_that_hold_no_series_are_refused(name: str, content: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=message):
        read_series(write(tmp_path / name, content))
    with pytest.raises(FileFormatError, match="series must be in a file"):
        read_series(tmp_path / "none.ts")


def test_fasta(tmp_path: Path) -> None:
    path = write(tmp_path / "a.fa", ">s1 x\nAC\n\nGT\n>s2 y\nGG\n")
    assert read_fasta(path) == [("ACGT", "s1 x"), ("GG", "s2 y")]
    assert read_fasta(path, label=lambda header: header[-1]) == [
        ("ACGT", "x"),
        ("GG", "y"),
    ]
    with pytest.raises(InvalidDataError, match=r"of each header; got KeyError: 's1 x' .*line 1"):
        read_fasta(path, label={}.__getitem__)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("ACGT\n>s", "must begin with a header"),
        (">s\n>t\nA", r"headers must have a sequence; got none .*line 1"),
        ("", "must hold a sequence at least"),
    ],
)
def test_files_that_are_no_fasta_are_refused(content: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=message):
        read_fasta(write(tmp_path / "a.fa", content))
    with pytest.raises(FileFormatError, match="sequences must be in a file"):
        read_fasta(tmp_path / "none.fa")


def test_a_folder_for_each_class(tmp_path: Path) -> None:
    for kind, name, text in (("pos", "1.txt", "good\nfilm\n"), ("neg", "2.txt", "bad"), ("pos", "0.txt", "fine")):
        (tmp_path / kind).mkdir(exist_ok=True)
        write(tmp_path / kind / name, text)
    assert read_folder(tmp_path) == [("bad", "neg"), ("fine", "pos"), ("good\nfilm", "pos")]
    assert read_folder(tmp_path, transform=str.upper)[0] == ("BAD", "neg")
    write(tmp_path / "neg" / "empty.txt", " ")
    with pytest.raises(FileFormatError, match="text files must hold a sequence; got nothing in"):
        read_folder(tmp_path)


def test_the_command_takes_series(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    lines = [",".join([str(kind), *map(str, rng.normal(kind, 0.1, 6).round(3))]) for kind in (0, 1) for _ in range(12)]
    table, model = str(write(tmp_path / "beats.csv", "\n".join(lines))), str(tmp_path / "model.safetensors")
    assert main(["train", table, "--series", "--output", model, "--epochs", "30", "--quiet"]) == 0
    assert load(model).input_size == 1
    assert main(["evaluate", model, table, "--series", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["accuracy"] == 1.0
    assert main(["predict", model, "[1.0, 1.1, 0.9]", "[[0.0], [0.1]]"]) == 0
    assert capsys.readouterr().out.split() == ["1", "0"]
    assert main(["predict", model, "--json", "[1.0, 1.1]"]) == 0
    assert json.loads(capsys.readouterr().out)["sequence"] == [1.0, 1.1]
    assert main(["predict", model, '["a"]']) == 1
    assert "series must be lists of numbers" in capsys.readouterr().err
    assert main(["report", table, "--series"]) == 0
    assert main(["report", table, "--sequence", "x"]) == 2
    assert "--label must be given" in capsys.readouterr().err
    assert main(["report", table, "--series", "--tokenizer", "words"]) == 2
    assert "--tokenizer must not come with --series" in capsys.readouterr().err
    assert main(["report", table, "--series", "--label-separator", ";"]) == 2
    assert "--label-separator must not come with --series" in capsys.readouterr().err
