"""Tables of answers: each row as predict answers it, whatever the kinds of files and the size of chunks."""

import csv
import datetime
import decimal
import gzip
import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqclf import RNNClassifier, SequenceDataset, Vocabulary, embed, predict, predict_proba, save
from seqclf.errors import FileFormatError, InvalidArgumentError, InvalidDataError, SeqclfWarning
from seqclf.inference.tables import embed_table, predict_table
from seqclf.reading import read_table
from seqclf.reading.rows import RowFile

ENDINGS = [".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".csv.gz", ".jsonl.gz"]
WORDS = ["aab", "b", "abba", "bbb", "a", "babab", "ab"]
MODEL = RNNClassifier.for_dataset(
    SequenceDataset.from_pairs([("ab", "x"), ("ba", "y"), ("b", "z")]), hidden_size=6, seed=0
)
OTHER = RNNClassifier.for_dataset(
    SequenceDataset.from_pairs([("ab", "x"), ("ba", "y"), ("b", "z")]), hidden_size=5, seed=1
)
Rows = list[dict[str, Any]]


def write(path: Path, rows: Rows) -> Path:
    """Write rows as a table; values of CSV files are strings."""
    kind = path.name.removesuffix(".gz").rpartition(".")[2]
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
        return path
    if kind in {"jsonl", "ndjson"}:
        text = "".join(json.dumps(row) + "\n" for row in rows)
    else:
        delimiter = "\t" if kind == "tsv" else ","
        text = "".join(delimiter.join(map(str, row)) + "\n" for row in [rows[0], *(row.values() for row in rows)])
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def read(path: Path) -> Rows:
    """Read a table by other means than the library's; an empty cell is nothing."""
    kind = path.name.removesuffix(".gz").rpartition(".")[2]
    if kind == "parquet":
        return pq.read_table(path).to_pylist()
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as file:
        if kind in {"jsonl", "ndjson"}:
            return [json.loads(line) for line in file]
        rows = csv.DictReader(file, delimiter="\t" if kind == "tsv" else ",")
        return [{name: value or None for name, value in row.items()} for row in rows]


def answer(source: Path, output: Path, **options: Any) -> Rows:
    count = predict_table(
        options.pop("model", MODEL), source, output, progress=False, **({"sequence": "word"} | options)
    )
    rows = read(output)
    assert count == len(rows)
    return rows


@pytest.mark.parametrize("out", ENDINGS)
@pytest.mark.parametrize("into", ENDINGS)
def test_each_row_has_the_answer_of_predict_whatever_the_files(into: str, out: str, tmp_path: Path) -> None:
    rows = [{"id": str(number), "word": word, "note": f"n {number}"} for number, word in enumerate(WORDS)]
    found = answer(write(tmp_path / f"in{into}", rows), tmp_path / f"out{out}")
    assert [{name: row[name] for name in rows[0]} for row in found] == rows
    assert [row["label"] for row in found] == predict(MODEL, WORDS)
    assert [float(row["probability"]) for row in found] == pytest.approx(predict_proba(MODEL, WORDS).max(1), abs=1e-6)
    assert list(found[0]) == ["id", "word", "note", "label", "probability"]


@given(words=st.lists(st.text("ab", min_size=1, max_size=6), min_size=1, max_size=12), chunk_size=st.integers(1, 13))
def test_the_size_of_chunks_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, words: list[str], chunk_size: int
) -> None:
    folder = tmp_path_factory.mktemp("chunks")
    for ending in (".csv", ".jsonl", ".parquet"):
        source = write(folder / f"in{ending}", [{"word": word, "n": number} for number, word in enumerate(words)])
        whole = answer(source, folder / f"whole{ending}", top=2)
        assert answer(source, folder / f"parts{ending}", top=2, chunk_size=chunk_size) == whole


@pytest.mark.parametrize("top", [1, 2, 3, 9])
def test_the_runners_up_stand_beside(top: int, tmp_path: Path) -> None:
    source = write(tmp_path / "in.csv", [{"word": word} for word in WORDS])
    for row, pairs in zip(answer(source, tmp_path / "out.jsonl", top=top), predict(MODEL, WORDS, top=top), strict=True):
        expected: dict[str, Any] = {"word": row["word"]}
        for place, (label, probability) in enumerate(pairs, start=1):
            behind = f"_{place}" if place > 1 else ""
            expected |= {f"label{behind}": label, f"probability{behind}": pytest.approx(probability, abs=1e-6)}
        assert row == expected


def test_unsure_answers_are_left_open(tmp_path: Path) -> None:
    best = predict_proba(MODEL, WORDS).max(1)
    least = float(np.median(best))
    source = write(tmp_path / "in.csv", [{"word": word} for word in WORDS])
    rows = answer(source, tmp_path / "out.csv", reject_below=least)
    labels = predict(MODEL, WORDS, reject_below=least)
    assert [row["label"] for row in rows] == labels
    assert labels == [
        label if sure >= least else None for label, sure in zip(predict(MODEL, WORDS), best.tolist(), strict=True)
    ]
    assert 0 < labels.count(None) < len(labels)
    assert [float(row["probability"]) for row in rows] == pytest.approx(best, abs=1e-6)
    assert predict(MODEL, WORDS[:1], reject_below=0.999) == [None]
    assert predict(MODEL, WORDS, reject_below=0.0) == predict(MODEL, WORDS)


@pytest.mark.parametrize("models", [[MODEL], [MODEL, OTHER]])
def test_models_answer_together(models: list[RNNClassifier], tmp_path: Path) -> None:
    source = write(tmp_path / "in.csv", [{"word": word} for word in WORDS])
    rows = answer(source, tmp_path / "out.jsonl", model=models, reject_below=0.35)
    assert [row["label"] for row in rows] == predict(models, WORDS, reject_below=0.35)
    best = predict_proba(models, WORDS).max(1)
    assert [row["probability"] for row in rows] == pytest.approx(best, abs=1e-6)
    assert predict(models, WORDS, reject_below=0.99) == [None] * len(WORDS)


def test_what_cannot_be_left_open_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match=r"reject_below must be None beside top; got 0\.5 and 2"):
        predict(MODEL, WORDS, top=2, reject_below=0.5)
    with pytest.raises(InvalidArgumentError, match="reject_below must be a number from 0 up to, but not including, 1"):
        predict(MODEL, WORDS, reject_below=1.5)
    data = SequenceDataset.from_sequences(["ab", "b"], [["x"], ["x", "y"]], multi_label=True)
    several = RNNClassifier.for_dataset(data, hidden_size=4, seed=0)
    with pytest.raises(InvalidArgumentError, match=r"must be None for a model of several labels; got 0\.5"):
        predict(several, ["ab"], reject_below=0.5)


@pytest.mark.parametrize("out", [".csv", ".jsonl", ".parquet"])
def test_several_labels_are_lists_or_apart_by_semicolons(out: str, tmp_path: Path) -> None:
    words = ["ab", "b", "aab", "bb"]
    data = SequenceDataset.from_sequences(words, [["x"], ["x", "y"], [], ["y"]], multi_label=True)
    model = RNNClassifier.for_dataset(data, hidden_size=4, seed=0)
    rows = answer(write(tmp_path / "in.csv", [{"word": word} for word in words]), tmp_path / f"out{out}", model=model)
    labels = [list(label) for label in predict(model, words)]
    if out == ".csv":
        assert [row["label"] or "" for row in rows] == [";".join(label) for label in labels]
    else:
        assert [row["label"] for row in rows] == labels
        assert [len(row["probability"]) for row in rows] == list(map(len, labels))
    odd = SequenceDataset.from_sequences(words, [["x;y"]] * 4, multi_label=True, classes=["x;y"])
    model = RNNClassifier.for_dataset(odd, hidden_size=4, seed=0)
    assert model.head.bias is not None
    model.head.bias.data.fill_(99.0)
    if out == ".csv":
        with pytest.raises(FileFormatError, match=r"labels must be without ';' .*in\.csv, line 2"):
            answer(tmp_path / "in.csv", tmp_path / "odd.csv", model=model)


@pytest.mark.parametrize("classes", [None, (10, 20), ((1, 2), (3, 4))])
@pytest.mark.parametrize("out", [".csv", ".jsonl", ".parquet"])
def test_labels_are_integers_where_all_are_and_text_otherwise(classes: Any, out: str, tmp_path: Path) -> None:
    vocabulary = Vocabulary("ab")
    model = RNNClassifier(2, vocab_size=4, vocabulary=vocabulary, classes=classes, hidden_size=4, seed=0)
    source = write(tmp_path / "in.csv", [{"word": word} for word in WORDS])
    found = [row["label"] for row in answer(source, tmp_path / f"out{out}", model=model)]
    expected = predict(model, WORDS)
    as_text = out == ".csv" or classes == ((1, 2), (3, 4))
    assert found == [str(label) if as_text else label for label in expected]


def test_what_the_model_skips_has_neither_label_nor_probability(tmp_path: Path) -> None:
    data = SequenceDataset.from_pairs([("ab", "x"), ("b", "y")])
    model = RNNClassifier.for_dataset(data, hidden_size=4, empty="skip", seed=0)
    source = write(tmp_path / "in.csv", [{"id": 1, "word": "ab"}, {"id": 2, "word": ""}])
    for top in (None, 2):
        rows = answer(source, tmp_path / "out.jsonl", model=model, top=top)
        assert (rows[0]["label"], rows[1]["label"], rows[1]["probability"]) == (*predict(model, ["ab"]), None, None)


def test_tokens_series_and_records_in_cells(tmp_path: Path) -> None:
    tokens = [["GET", "a"], ["PUT"]]
    model = RNNClassifier.for_dataset(SequenceDataset.from_sequences(tokens, ["x", "y"]), hidden_size=4, seed=0)
    text = [{"word": json.dumps(row).replace(",", ", ")} for row in tokens]
    for source in (write(tmp_path / "in.tsv", text), write(tmp_path / "in.jsonl", [{"word": row} for row in tokens])):
        assert [row["label"] for row in answer(source, tmp_path / "out.jsonl", model=model)] == predict(model, tokens)
    series = [[0.5, 1.0, 2.0], [3.0, 4.5]]
    arrays = [np.array(row) for row in series]
    model = RNNClassifier.for_dataset(SequenceDataset.from_sequences(arrays, ["x", "y"]), hidden_size=4, seed=0)
    for ending in (".jsonl", ".parquet"):
        source = write(tmp_path / f"in{ending}", [{"word": row} for row in series])
        assert [row["label"] for row in answer(source, tmp_path / "out.jsonl", model=model)] == predict(model, arrays)
    visits = [[{"page": "home", "seconds": 3.5}, {"page": "cart", "seconds": 9.0}], [{"page": "cart", "seconds": 1.0}]]
    model = RNNClassifier.for_dataset(SequenceDataset.from_sequences(visits, ["x", "y"]), hidden_size=4, seed=0)
    for ending in (".jsonl", ".parquet"):
        source = write(tmp_path / f"in{ending}", [{"word": row} for row in visits])
        assert [row["label"] for row in answer(source, tmp_path / "out.jsonl", model=model)] == predict(model, visits)
    with pytest.raises(InvalidDataError, match=r"must be lists in JSON for this model.*'ab' \(.*bad\.csv, line 2"):
        answer(write(tmp_path / "bad.csv", [{"word": "ab"}]), tmp_path / "out.csv", model=model)


def test_series_of_other_things_are_refused(tmp_path: Path) -> None:
    data = SequenceDataset.from_sequences([np.ones((2, 1)), np.zeros((3, 1))], ["x", "y"])
    model = RNNClassifier.for_dataset(data, hidden_size=4, seed=0)
    with pytest.raises(InvalidDataError, match=r"series must be lists of numbers.*in\.jsonl, line 2\)"):
        answer(write(tmp_path / "in.jsonl", [{"word": [1.0]}, {"word": ["a"]}]), tmp_path / "out.csv", model=model)


def test_facts_come_from_their_columns(tmp_path: Path) -> None:
    context = {"country": ["JP", "IT", "JP"], "code": [1, 2, 1], "age": [3.5, 7.0, 1.25]}
    data = SequenceDataset.from_sequences(
        ["ab", "b", "ba"],
        ["x", "y", "x"],
        context=context,
        context_fields={"country": None, "code": "category", "age": None},
    )
    model = RNNClassifier.for_dataset(data, hidden_size=4, seed=0)
    rows = [
        dict(zip(["word", *context], row, strict=True))
        for row in zip(["ab", "b", "ba"], *context.values(), strict=True)
    ]
    expected = predict_proba(model, ["ab", "b", "ba"], context=context).max(1)
    for ending in (".csv", ".jsonl", ".parquet"):
        found = answer(write(tmp_path / f"in{ending}", rows), tmp_path / "out.jsonl", model=model)
        assert [row["probability"] for row in found] == pytest.approx(expected, abs=1e-6)
    with pytest.raises(FileFormatError, match="table must have one column 'country'; got 0"):
        answer(write(tmp_path / "bare.csv", [{"word": "ab"}]), tmp_path / "out.csv", model=model)


def test_events_have_an_answer_for_each_sequence(tmp_path: Path) -> None:
    table = {"who": ["007", "8", "007", "8"], "at": [1, 1, 2, 0], "page": ["a", "b", "b", "a"], "left": list("nyny")}
    data = SequenceDataset.from_events(table, by="who", order="at", fields=["page"], label="left")
    model = RNNClassifier.for_dataset(data, hidden_size=4, seed=0)
    rows = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
    for ending in (".csv", ".jsonl", ".parquet"):
        source = write(tmp_path / f"in{ending}", rows)
        found = answer(source, tmp_path / "out.jsonl", model=model, sequence=None, by="who", order="at")
        assert [row["who"] for row in found] == ["007", "8"]
        assert [row["label"] for row in found] == predict(model, data)
    assert embed_table(model, source, tmp_path / "v.npy", by="who", order="at", progress=False) == (
        2,
        model.head.in_features,
    )
    assert (np.load(tmp_path / "v.npy") == embed(model, data)).all()
    (tmp_path / "in.csv").write_text("who,at,page\nann,1,\n", encoding="utf-8")
    with pytest.raises(InvalidDataError, match=r"'page' must be known; .*in\.csv, who 'ann', step 0\)"):
        answer(tmp_path / "in.csv", tmp_path / "out.csv", model=model, sequence=None, by="who", order="at")


def write_tables(folder: Path) -> None:
    rows = [{"word": word} for word in WORDS]
    write(folder / "in.csv", rows)
    write(folder / "labelled.csv", [{"word": "ab", "label": "x"}])
    write(folder / "empty.csv", [*({"id": 1, "word": word} for word in WORDS), {"id": 2, "word": ""}])
    write(folder / "mixed.jsonl", [*rows, {"word": "ab", "more": 1}])
    write(folder / "typed.jsonl", [{"word": "ab", "n": 1}, {"word": "b", "n": "x"}])
    write(folder / "tabs.jsonl", [{"word": "ab", "n": "x"}, {"word": "b", "n": "x\ty"}])
    write(folder / "single.jsonl", [{"word": "ab", "n": "\ud800"}])
    write(folder / "twice.csv", [{"word": "ab"}]).write_text("id,word,id\n1,ab,2\n", encoding="utf-8")
    pq.write_table(pa.table({"word": ["ab"], "raw": [b"x"]}), folder / "raw.parquet")
    far = pa.array([1 << 60], pa.timestamp("ms"))  # in a year that Python's calendar does not reach
    pq.write_table(pa.table({"word": ["ab"], "at": far}), folder / "far.parquet")


FAILING: dict[str, tuple[str, str, dict[str, Any], type[Exception], str]] = {
    "kind": ("in.csv", "out.txt", {}, InvalidArgumentError, "output must end in one of .csv"),
    "packed": ("in.csv", "out.parquet.gz", {}, InvalidArgumentError, "but .parquet and .gz"),
    "same": ("in.csv", "in.csv", {}, InvalidArgumentError, "output must be another file than the table"),
    "taken": ("labelled.csv", "o.csv", {}, InvalidDataError, "not have the columns that are added; got 'label'"),
    "taken, JSON": ("labelled.csv", "o.jsonl", {}, InvalidDataError, "columns that are added; got 'label'"),
    "taken, Parquet": ("labelled.csv", "o.parquet", {}, InvalidDataError, "columns that are added; got 'label'"),
    "empty": ("empty.csv", "o.csv", {}, InvalidDataError, r"got length 0 \(.*empty\.csv, line 9\)"),
    "in a later part": ("empty.csv", "o.csv", {"chunk_size": 2}, InvalidDataError, r"0 \(.*empty\.csv, line 9\)"),
    "column": ("in.csv", "o.csv", {"sequence": "wrd"}, FileFormatError, "must have one column 'wrd'"),
    "twice": ("twice.csv", "o.csv", {}, FileFormatError, "must have one column 'id'; got 2"),
    "more": ("mixed.jsonl", "o.csv", {}, FileFormatError, r"of the first, .*\['more'\] too \(.*line 8\)"),
    "more, Parquet": ("mixed.jsonl", "o.parquet", {}, FileFormatError, r"\['more'\] too \(.*line 8\)"),
    "types": ("typed.jsonl", "o.parquet", {}, FileFormatError, "columns must be of one type in Parquet"),
    "types of parts": ("typed.jsonl", "o.parquet", {"chunk_size": 1}, FileFormatError, "must be of one type in Parq"),
    "tabs": ("tabs.jsonl", "o.tsv", {}, FileFormatError, r"have a form in this .*tabs\.jsonl, line 2"),
    "half a letter": ("single.jsonl", "o.csv", {}, FileFormatError, r"form in this kind .*single\.jsonl, line 1\)"),
    "bytes": ("raw.parquet", "o.csv", {}, FileFormatError, r"have a form in CSV; got bytes \(.*raw\.parquet, row 1\)"),
    "bytes, JSON": ("raw.parquet", "o.jsonl", {}, FileFormatError, r"a form in JSON; got bytes \(.*parquet, row 1\)"),
    "both": ("in.csv", "o.csv", {"by": "who"}, InvalidArgumentError, "one of sequence and by must be given"),
    "order": ("in.csv", "o.csv", {"order": "at"}, InvalidArgumentError, "order must come with by"),
    "by": ("in.csv", "o.csv", {"sequence": None, "by": "w"}, InvalidArgumentError, "by must come with a model of"),
    "by with options": (
        "in.csv",
        "o.csv",
        {"sequence": None, "by": "w", "encoding": "utf-8"},
        InvalidArgumentError,
        "by must come with a model of records, and a table that is read in its usual form; got the option 'encoding'",
    ),
    "far": ("far.parquet", "o.csv", {}, FileFormatError, r"values must be ones that Python has too; .*far\.parquet"),
    "top": ("in.csv", "o.csv", {"top": 0}, InvalidArgumentError, "top must be an integer of at least 1"),
    "prefix": ("in.csv", "o.csv", {"prefix": 3}, InvalidArgumentError, "prefix must be a string; got 3"),
    "chunk": ("in.csv", "o.csv", {"chunk_size": 0}, InvalidArgumentError, "chunk_size must be an integer"),
    "folder": ("in.csv", "no/o.csv", {}, FileFormatError, "folder must exist"),
}


@pytest.mark.parametrize("case", FAILING)
def test_what_fails_says_where_and_leaves_nothing_behind(case: str, tmp_path: Path) -> None:
    source, output, options, kind, message = FAILING[case]
    write_tables(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(kind, match=message):
        answer(tmp_path / source, tmp_path / output, **options)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_vectors_are_those_of_embed_and_whole_or_not_there(tmp_path: Path) -> None:
    write_tables(tmp_path)
    for chunk_size in (1, 3, 100):
        shape = embed_table(
            MODEL, tmp_path / "in.csv", tmp_path / "v.npy", sequence="word", chunk_size=chunk_size, progress=False
        )
        found = np.load(tmp_path / "v.npy", mmap_mode="r")
        assert (found == embed(MODEL, WORDS)).all()
        assert (found.shape, found.dtype) == (shape, np.float32)
    options: dict[str, Any] = {"sequence": "word", "chunk_size": 2, "progress": False}
    with pytest.raises(InvalidDataError, match=r"got length 0 \(.*empty\.csv, line 9\)"):
        embed_table(MODEL, tmp_path / "empty.csv", tmp_path / "w.npy", **options)
    assert not (tmp_path / "w.npy").exists()
    with pytest.raises(InvalidArgumentError, match=r"output must end in \.npy; got 'v\.csv'"):
        embed_table(MODEL, tmp_path / "in.csv", tmp_path / "v.csv", sequence="word")
    double = RNNClassifier(2, vocab_size=4, vocabulary=Vocabulary("ab"), hidden_size=4, seed=0).double()
    embed_table(double, tmp_path / "in.csv", tmp_path / "v.npy", **options)
    assert (np.load(tmp_path / "v.npy") == embed(double, WORDS)).all()


@pytest.mark.parametrize("out", [".csv", ".jsonl", ".parquet"])
def test_a_table_without_rows_has_an_answer_without_rows(out: str, tmp_path: Path) -> None:
    pq.write_table(pa.table({"word": pa.array([], pa.string())}), tmp_path / "in.parquet")
    (tmp_path / "in.csv").write_text("word\n", encoding="utf-8")
    (tmp_path / "in.jsonl").write_text("", encoding="utf-8")
    for name in ("in.csv", "in.jsonl", "in.parquet"):
        assert answer(tmp_path / name, tmp_path / f"out{out}") == []
        assert embed_table(MODEL, tmp_path / name, tmp_path / "v.npy", sequence="word", progress=False)[0] == 0
        assert np.load(tmp_path / "v.npy").shape == (0, MODEL.head.in_features)
    assert (tmp_path / "out.csv").read_text("utf-8") == "word,label,probability\n" if out == ".csv" else True


def test_columns_keep_their_types(tmp_path: Path) -> None:
    day = datetime.date(2024, 5, 1)
    table = pa.table(
        {
            "word": ["ab", "b"],
            "day": [day, None],
            "price": pa.array([decimal.Decimal("1.50"), None]),
            "tags": [["a"], None],
            "at": pa.array([1, 2], pa.timestamp("ns")),
            "yes": [True, False],
        }
    )
    pq.write_table(table, tmp_path / "in.parquet")
    predict_table(MODEL, tmp_path / "in.parquet", tmp_path / "out.parquet", sequence="word", progress=False)
    found = pq.read_table(tmp_path / "out.parquet")
    assert found.select(table.column_names) == table
    assert [str(kind) for kind in found.schema.types[-2:]] == ["string", "double"]
    plain = table.drop(["at"])
    pq.write_table(plain, tmp_path / "in.parquet")
    (row, _) = answer(tmp_path / "in.parquet", tmp_path / "out.jsonl")
    assert (row["day"], row["price"], row["tags"], row["yes"]) == ("2024-05-01", "1.50", ["a"], True)
    (row, last) = answer(tmp_path / "in.parquet", tmp_path / "out.csv")
    assert (row["day"], row["price"], row["tags"], row["yes"]) == ("2024-05-01", "1.50", '["a"]', "true")
    assert (last["day"], last["price"], last["tags"], last["yes"]) == (None, None, None, "false")
    rows = [{"word": "ab", "n": 1}, {"word": "b"}, {"word": "ab", "n": 2.5}]
    answer(write(tmp_path / "in.jsonl", rows), tmp_path / "out.parquet", chunk_size=1)
    assert pq.read_table(tmp_path / "out.parquet")["n"].to_pylist() == [1.0, None, 2.5]


def test_a_table_is_written_as_it_was_read(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("word;note\nab;a, b\n", encoding="utf-8-sig")
    predict_table(MODEL, tmp_path / "in.csv", tmp_path / "out.csv", sequence="word", progress=False, prefix="our_")
    first, second = (tmp_path / "out.csv").read_text("utf-8").splitlines()
    assert (first, second.rpartition(";")[0]) == (
        "word;note;our_label;our_probability",
        f"ab;a, b;{predict(MODEL, ['ab'])[0]}",
    )
    (tmp_path / "bare.csv").write_text("1|ab\n2|b\n", encoding="utf-8")
    predict_table(MODEL, tmp_path / "bare.csv", tmp_path / "out.csv", sequence=1, header=False, progress=False)
    lines = (tmp_path / "out.csv").read_text("utf-8").splitlines()
    assert [line.rpartition("|")[0] for line in lines] == [
        f"1|ab|{predict(MODEL, ['ab'])[0]}",
        f"2|b|{predict(MODEL, ['b'])[0]}",
    ]
    (tmp_path / "in.tsv").write_text('word\tnote\nab\ta "b\n', encoding="utf-8")
    predict_table(MODEL, tmp_path / "in.tsv", tmp_path / "out.tsv", sequence="word", progress=False)
    assert (tmp_path / "out.tsv").read_text("utf-8").splitlines()[1].startswith('ab\ta "b\t')


def test_the_same_table_gives_the_same_bytes_packed_or_not(tmp_path: Path) -> None:
    source = write(tmp_path / "in.csv", [{"word": word} for word in WORDS])
    for name in ("a.csv.gz", "b.csv.gz", "c.csv"):
        predict_table(MODEL, source, tmp_path / name, sequence="word", progress=False)
    assert (tmp_path / "a.csv.gz").read_bytes() == (tmp_path / "b.csv.gz").read_bytes()
    assert gzip.decompress((tmp_path / "a.csv.gz").read_bytes()) == (tmp_path / "c.csv").read_bytes()


def test_broken_rows_are_left_out_where_that_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("word,n\nab,1\nb\nba,3\n", encoding="utf-8")
    with pytest.warns(SeqclfWarning, match=r"1 rows were left out, the first as rows must have 2 values.*line 3"):
        rows = answer(tmp_path / "in.csv", tmp_path / "out.csv", skip_broken=True)
    assert [row["n"] for row in rows] == ["1", "3"]


def test_rows_of_which_nothing_is_known_are_warned_of_once(tmp_path: Path) -> None:
    source = write(tmp_path / "in.csv", [{"word": word} for word in ["ab", "?", "b", "!!"]])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        answer(source, tmp_path / "out.csv", chunk_size=1)
    assert [str(one.message)[:75] for one in caught] == [
        f"no symbol is known of 2 of 4 sequences, such as {source}, line 3: they all look"[:75]
    ]


def test_read_pairs_of_answers(tmp_path: Path) -> None:
    source = write(tmp_path / "in.csv", [{"word": word} for word in WORDS])
    answer(source, tmp_path / "out.csv")
    pairs = list(read_table(tmp_path / "out.csv", sequence="word", label="label"))
    assert pairs == list(zip(WORDS, predict(MODEL, WORDS), strict=True))


@pytest.mark.processes
def test_a_run_that_is_killed_leaves_no_output(tmp_path: Path) -> None:
    save(MODEL, tmp_path / "model")
    source = write(tmp_path / "in.csv", [{"word": word} for word in WORDS])
    code = f"""
import os, signal
from seqclf import load
from seqclf.inference import tables
answer, calls = tables.answer_all, []
def killed(*arguments):
    calls.append(1)
    if len(calls) > 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return answer(*arguments)
tables.answer_all = killed
tables.predict_table(load({str(tmp_path / "model")!r}), {str(source)!r}, {str(tmp_path / "out.csv")!r}, sequence="word",
                     chunk_size=1, progress=False)
"""
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=600, check=False)
    assert finished.returncode == -9
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize("ending", ENDINGS)
def test_how_much_was_read_is_known(ending: str, tmp_path: Path) -> None:
    source = write(tmp_path / f"in{ending}", [{"word": f"ab{number}"} for number in range(20_000)])
    file = RowFile(source)
    shares = [file.share for _ in file.chunks(["word"], 5000)]
    assert shares == sorted(shares)
    assert 0 < shares[0] < 1
    assert file.share == 1.0


def test_a_bar_shows_how_much_was_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(tmp_path / "in.csv", [{"word": word} for word in WORDS])
    predict_table(MODEL, source, tmp_path / "out.csv", sequence="word")
    assert "in.csv: 100%" in capsys.readouterr().err


def test_a_column_whose_type_changes_far_down_is_no_parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seqclf.writing._AT_ONCE", 2)
    data = SequenceDataset.from_pairs([("ab", "x"), ("ba", "y")])
    rows = [{"word": "ab", "more": 1}, {"word": "ba", "more": 2}, {"word": "b", "more": "three"}]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    model = RNNClassifier.for_dataset(data, hidden_size=4, seed=0)
    with pytest.raises(FileFormatError, match=r"columns must be of one type in Parquet; got .* Write JSON lines"):
        predict_table(model, tmp_path / "in.jsonl", tmp_path / "out.parquet", sequence="word", progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]
    count = predict_table(model, tmp_path / "in.jsonl", tmp_path / "out.jsonl", sequence="word", progress=False)
    assert count == 3
