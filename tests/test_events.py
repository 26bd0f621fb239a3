"""Events from one long table: gathered by what they belong to and sorted by time, from whatever holds the table."""

import datetime
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqclf import RNNClassifier, SequenceDataset, load, predict
from seqclf.cli import main
from seqclf.errors import FileFormatError, InvalidArgumentError, InvalidDataError
from seqclf.reading import read_events

TABLE: dict[str, list[Any]] = {
    "who": ["b", "a", "b", "a", "c"],
    "at": ["2024-05-02", "2024-05-01", "2024-05-01", "2024-05-01", "2024-05-09"],
    "kind": ["x", "y", "z", "x", "x"],
    "amount": [2.0, 1.0, 0.5, 4.0, 3.0],
    "land": ["no", "se", "no", "se", "no"],
    "left": ["yes", "no", "yes", "no", "no"],
}
OPTIONS: dict[str, Any] = {"by": "who", "order": "at", "label": "left", "context": ["land"]}
EXPECTED = SequenceDataset.from_events(TABLE, **OPTIONS)


def test_events_are_gathered_and_sorted() -> None:
    events = read_events(TABLE, by="who", order="at", fields=["kind", "amount"], context=["land"], label="left")
    assert (events.keys, events.labels, events.context) == (
        ["b", "a", "c"],
        ["yes", "no", "no"],
        {"land": ["no", "se", "no"]},
    )
    assert [(one.columns["kind"], list(one.columns["amount"])) for one in events.sequences] == [
        (["z", "x"], [0.5, 2.0]),
        (["y", "x"], [1.0, 4.0]),
        (["x"], [3.0]),
    ]
    assert "gap" not in events.sequences[0].columns
    assert str(EXPECTED.fields) == "Fields(kind (3 categories), amount (number), gap (number))"
    assert EXPECTED[0][0][:, 2].tolist() == pytest.approx([0.0, np.log1p(86400)])


def write(folder: Path, ending: str) -> Path:
    path = folder / f"events{ending}"
    frame = pd.DataFrame(TABLE)
    if ending == ".parquet":
        pq.write_table(pa.table(TABLE), path)
    elif ending == ".jsonl":
        rows = frame.to_dict("records")
        path.write_text("\n".join(map(json.dumps, rows)) + "\n\n", encoding="utf-8")
    else:
        frame.to_csv(path, index=False, sep="\t" if ending == ".tsv" else ";")
    return path


@pytest.mark.parametrize(
    "make",
    [
        pd.DataFrame,
        pl.DataFrame,
        pa.table,
        lambda table: pd.DataFrame(table).assign(at=lambda frame: pd.to_datetime(frame["at"])),
        lambda table: pd.DataFrame(table).assign(at=lambda frame: pd.to_datetime(frame["at"], utc=True)),
        lambda table: table | {"at": [datetime.date.fromisoformat(day) for day in table["at"]]},
        lambda table: pl.DataFrame(table).with_columns(pl.col("at").str.to_datetime()),
    ],
)
def test_frames_of_all_kinds_give_the_same(make: Any) -> None:
    found = SequenceDataset.from_events(make(TABLE), **OPTIONS)
    assert found.fingerprint == EXPECTED.fingerprint


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_files_of_all_kinds_give_the_same(ending: str, tmp_path: Path) -> None:
    path = write(tmp_path, ending)
    assert SequenceDataset.from_events(path, **OPTIONS).fingerprint == EXPECTED.fingerprint
    fields = {"kind": "category", "amount": "number", "gap": "number"}
    assert SequenceDataset.from_events(str(path), fields=fields, **OPTIONS).fingerprint == EXPECTED.fingerprint


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(-5, 5), st.floats(-1, 1)), min_size=1, max_size=40))
def test_each_sequence_has_its_events_in_order(rows: list[tuple[int, int, float]]) -> None:
    who, at, value = (list(column) for column in zip(*rows, strict=True))
    events = read_events({"who": who, "at": at, "value": value}, by="who", order="at")
    expected: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for owner, time, number in rows:
        expected[owner].append((time, number))
    assert events.keys == list(expected)
    for key, sequence in zip(events.keys, events.sequences, strict=True):
        assert list(sequence.columns["value"]) == [
            number for _, number in sorted(expected[key], key=lambda row: row[0])
        ]


def test_without_order_the_table_has_it() -> None:
    events = read_events({"who": [1, 2, 1], "x": ["c", "b", "a"]}, by="who")
    assert [one.columns["x"] for one in events.sequences] == [["c", "a"], ["b"]]
    assert len(events) == 2


def test_test_data_take_the_fields_of_training() -> None:
    table = TABLE | {"kind": ["new"] * 5}
    test = SequenceDataset.from_events(
        table, fields=EXPECTED.fields, classes=EXPECTED.classes, context_fields=EXPECTED.context_fields, **OPTIONS
    )
    assert test.fields == EXPECTED.fields
    assert set(test.sequences.values[:, 0].tolist()) == {1.0}
    model = RNNClassifier.for_dataset(EXPECTED, hidden_size=4, seed=0)
    events = read_events(TABLE, by="who", order="at", context=["land"])
    named = read_events(
        {name: TABLE[name] for name in ("who", "at", "kind", "amount", "land")}, by="who", order="at", context=["land"]
    )
    assert predict(model, named.sequences, context=named.context) == predict(model, EXPECTED)
    assert set(events.sequences[0].columns) == {"kind", "amount", "left", "gap"}


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({}, {"by": "whom"}, "table must have the column 'whom'; got .*Did you mean 'who'"),
        (
            {"left": ["yes", "no", "no", "no", "no"]},
            {},
            "'left' must be the same for all events of one sequence; got 'yes' and 'no' for 'b'",
        ),
        ({"who": ["b", None, "b", "a", "c"]}, {}, r"'who' must be known for each event; got a missing one \(row 1\)"),
        ({"at": ["2024-05-02", "soon", "", "", ""]}, {}, "'at' must hold numbers or times"),
        ({"at": [1.0, np.nan, 2.0, 3.0, 4.0]}, {}, r"'at' must be known for each event; got nan \(row 1\)"),
        ({"amount": [1.0]}, {}, "columns of one length, and a row at least"),
        ({}, {"fields": ["kind", "gap"], "order": None}, r"and 'gap' times in order; got \['gap'\]"),
        (
            {"amount": [1.0, None, 2.0, 3.0, 4.0]},
            {},
            r"must be finite numbers; got nan \(sequence 1, step 0, field 'amount'\)",
        ),
    ],
)
def test_tables_that_cannot_be_read_are_refused(change: Any, options: Any, message: str) -> None:
    with pytest.raises(InvalidDataError, match=message):
        SequenceDataset.from_events(TABLE | change, **(OPTIONS | options))


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="table must be a frame, a mapping of columns, or a path; got list"):
        read_events([1, 2], by="who")
    for ending, content, message in (
        (".csv", "who,at\n1\n", r"rows must have 2 values, as the first; got \['1'\].*line 2"),
        (".csv", "who,at\n", "table must have a row at least; got none"),
        (".csv", 'who,at\n"a', "table must be CSV"),
        (".jsonl", "{}\n[\n", "each line must be an object in JSON"),
        (".jsonl", '{"who": 1}\n', "each line must be an object in JSON with"),
        (".parquet", "nothing", "table must be a whole Parquet file"),
    ):
        path = tmp_path / f"broken{ending}"
        path.write_text(content, encoding="utf-8")
        with pytest.raises(FileFormatError, match=message):
            read_events(path, by="who", order="at", fields=["what"] if ending == ".jsonl" else None)


def test_the_command_trains_on_events_and_on_several_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    who = np.repeat(np.arange(60), 3)
    frame = pd.DataFrame({"who": who, "at": rng.integers(0, 99, 180), "kind": rng.choice(list("xyz"), 180)})
    frame = frame.assign(land=who % 2, left=np.where(who % 3 == 0, "yes", "no"), code=who % 5)
    frame.to_csv(tmp_path / "events.csv", index=False)
    table, model = str(tmp_path / "events.csv"), str(tmp_path / "model.safetensors")
    about = [table, "--by", "who", "--order", "at", "--fields", "kind", "code", "--context", "land", "--label", "left"]
    train = ["train", *about, "--categories", "code", "--output", model, "--epochs", "1", "--quiet"]
    assert main(train) == 0
    assert str(load(model).fields) == "Fields(kind (3 categories), code (5 categories))"
    assert main(["evaluate", model, *about, "--train", table]) == 0
    assert main(["report", *about]) == 0
    assert "fields       kind (3 categories), code (number); context: land (number)" in capsys.readouterr().out

    texts = ["".join(rng.choice(list("abc"), 4)) for _ in range(40)]
    tags = [";".join(sorted(set(text) & {"a", "b"})) for text in texts]
    tags[0] = ""
    pd.DataFrame({"text": texts, "tags": tags}).to_csv(tmp_path / "tags.csv", index=False)
    about = [str(tmp_path / "tags.csv"), "--sequence", "text", "--label", "tags", "--label-separator", ";"]
    assert main(["train", *about, "--output", model, "--epochs", "2", "--quiet"]) == 0
    assert "micro F1" in capsys.readouterr().out
    assert load(model).multi_label
    assert main(["evaluate", model, *about, "--json"]) == 0
    assert "micro_f1" in json.loads(capsys.readouterr().out)
    assert main(["predict", model, "abca"]) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "one of --sequence, --by and --series must be given"),
        (["--sequence", "kind", "--by", "who"], "one of --sequence, --by and --series must be given"),
        (["--sequence", "kind", "--order", "at"], "--order must come with --by"),
        (["--by", "who", "--label-separator", ";"], "--tokenizer and --label-separator must not come with --by"),
        (["--by", "who", "--categories", "kind"], "--categories must come with --fields"),
    ],
)
def test_options_at_odds_are_refused(options: list[str], message: str, tmp_path: Path, capsys: Any) -> None:
    table = str(write(tmp_path, ".csv"))
    assert main(["report", table, "--label", "left", *options]) == 2
    assert message in capsys.readouterr().err
