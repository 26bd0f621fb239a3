"""read_table: the pairs of a file, or one error that names file and line, whatever the file holds."""

import csv
import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqclf import SequenceDataset
from seqclf.errors import FileFormatError, InvalidArgumentError, MissingDependencyError, SeqclfWarning
from seqclf.reading import read_table, text

values = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=8)
pairs = st.lists(st.tuples(values, values.filter(bool)), max_size=8)


def read(path: Path, **options: Any) -> list[Any]:
    return list(read_table(path, sequence="name", label="label", **options))


def write_csv(path: Path, rows: list[Any]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writerows(
            [["id", "label", "name"], *([number, label, name] for number, (name, label) in enumerate(rows))]
        )


def write_json(path: Path, rows: list[Any]) -> None:
    path.write_text(
        "".join(json.dumps({"label": label, "name": name}) + "\n" for name, label in rows), encoding="utf-8"
    )


def write_parquet(path: Path, rows: list[Any]) -> None:
    table = pa.table({"name": pa.array([row[0] for row in rows]), "label": pa.array([row[1] for row in rows])})
    pq.write_table(table, path)


WRITERS: dict[str, Callable[[Path, list[Any]], None]] = {
    "a.csv": write_csv,
    "a.tsv": write_csv,
    "a.jsonl": write_json,
    "a.ndjson": write_json,
    "A.PARQUET": write_parquet,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables")


@pytest.mark.parametrize("name", WRITERS)
@given(rows=pairs)
def test_what_is_written_is_read(folder: Path, name: str, rows: list[Any]) -> None:
    WRITERS[name](folder / name, rows)
    if rows or name != "A.PARQUET":  # Arrow gives columns without a value no type
        options: dict[str, Any] = {"quoting": "minimal"} if name == "a.tsv" else {}
        assert read(folder / name, **options) == rows


@pytest.mark.parametrize("name", ["a.jsonl", "A.PARQUET"])
def test_lists_and_integers(folder: Path, name: str) -> None:
    rows = [(["to", "be"], 3), (["or"], 4)]
    WRITERS[name](folder / name, rows)
    assert read(folder / name) == rows
    WRITERS[name](folder / name, [([1, 2], "x")])
    assert read(folder / name) == [([1, 2], "x")]


def test_a_stream_into_a_store(folder: Path) -> None:
    write_csv(folder / "a.csv", [("ab", "x"), ("ba", "y")])
    stored = SequenceDataset.write(folder / "store", read_table(folder / "a.csv", sequence="name", label="label"))
    assert len(stored) == 2


def test_semicolons_of_a_spreadsheet(folder: Path) -> None:
    path = folder / "a.csv"
    path.write_text('id;name;label\n1;"a;b";x\n2;c,d;y\n', encoding="utf-8-sig")
    assert read(path) == [("a;b", "x"), ("c,d", "y")]
    path.write_text("name,a;b,label\nab,1,x\n", encoding="utf-8")  # a comma among the names decides
    assert read(path) == [("ab", "x")]


CSV_ERRORS = {
    "": "must begin with the names of its columns; got nothing",
    "name,other\n": r"must have one column 'label'; got 0 among \['name', 'other'\]",
    "name,Label\n": r"must have one column 'label'; .* Did you mean 'Label'\?",
    "name,name,label\n": "must have one column 'name'; got 2",
    "name,label\na,b\n\nc\n": r"rows must have 2 values, as the first; got \['c'\] in .*a\.csv, line 4",
    'name,label\n"a" b,c\n': r"table must be CSV; got .* line 2\. Correct or remove it",
    'name,label\n"a,b\n': "table must be CSV; got unexpected end of data",
    b"name,label\na,\xff\n": r"must be UTF-8; got the byte 0xff in .*a.csv, line 2\. Pass encoding= as it was",
    "name,label\né,b\n".encode() + b"a,\xff\n": r"got the byte 0xff in .*a.csv, line 3\. .* UTF-8: correct this one",
    "label,name\nx,\n,a\nx,b\n,c\n": r"'label' must not be missing; got ''; 2 in all are missing in .*line 3",
    "spam,win a prize\n": "if there is no header, pass header=False",
}


@pytest.mark.parametrize(("content", "message"), CSV_ERRORS.items())
def test_csv_that_is_none(folder: Path, content: Any, message: str) -> None:
    (folder / "a.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(FileFormatError, match=message):
        read(folder / "a.csv")


JSON_ERRORS = {
    "{": "each line must be an object in JSON; got .* line 1",
    '\n{"name": "a", "label": "b"}\n[1]\n': r"must be an object in JSON with 'name'; got \[1\] in .*a\.jsonl, line 3",
    '{"name": "a"}': r"each line must be an object in JSON with 'label'; got \['name'\]",
    '{"name": 1, "label": "b"}': "'name' must be a string, or a list of strings or integers; got 1 in .* line 1",
    '{"name": ["a", null], "label": "b"}': "'name' must be a string, or a list",
    '{"name": "a", "label": ""}': "'label' must not be missing; got ''",
    '{"name": "a", "label": null}': "'label' must not be missing; got None",
    '{"name": "a", "label": true}': "'label' must be a string or an integer; got True",
    "[" * 100_000: "each line must be an object in JSON; got ",
    "1" * 5000: "each line must be an object in JSON; got ",
}


@pytest.mark.parametrize(("content", "message"), JSON_ERRORS.items(), ids=[text[:20] for text in JSON_ERRORS])
def test_json_lines_that_are_none(folder: Path, content: str, message: str) -> None:
    (folder / "a.jsonl").write_text(content, encoding="utf-8")
    with pytest.raises(FileFormatError, match=message):
        read(folder / "a.jsonl")


def test_parquet_that_is_none(folder: Path) -> None:
    path = folder / "a.parquet"
    for content in (b"", b"PAR1", b"PAR1" * 9):
        path.write_bytes(content)
        with pytest.raises(FileFormatError, match="must be a whole Parquet file; got "):
            read(path)
    pq.write_table(pa.table({"name": ["a"], "other": ["b"]}), path)
    with pytest.raises(FileFormatError, match="must have one column 'label'; got 0"):
        read(path)
    pq.write_table(pa.table({"name": ["a", None], "label": ["b", "c"]}), path)
    with pytest.raises(FileFormatError, match=r"'name' must be a string.*got None in .*a\.parquet, row 2"):
        read(path)


def test_parquet_with_names_that_are_no_text(folder: Path) -> None:
    write_parquet(folder / "a.parquet", [("a", "b")])
    (folder / "a.parquet").write_bytes((folder / "a.parquet").read_bytes().replace(b"name", b"n\x9bme"))
    with pytest.raises(FileFormatError, match=r"table must be a whole Parquet file; got .*utf-8"):
        read(folder / "a.parquet")


def test_a_line_without_an_end(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "LONGEST_LINE", 1000)
    (folder / "a.jsonl").write_text("x" * 1001, encoding="utf-8")
    with pytest.raises(FileFormatError, match="lines must be shorter than 1000 characters; got 'xxx"):
        read(folder / "a.jsonl")


def test_lines_are_counted_and_only_so_long(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "LONGEST_LINE", 40)
    short = '{"name": "a", "label": "b"}'
    (folder / "a.jsonl").write_text(f"{short}\n{short:<39}\n", encoding="utf-8")
    assert read(folder / "a.jsonl") == [("a", "b")] * 2
    (folder / "a.jsonl").write_text(f"{short}\n{short:<40}\n", encoding="utf-8")
    with pytest.raises(FileFormatError, match=r"shorter than 40 characters; got .*label'\.\.\. in .*line 2"):
        read(folder / "a.jsonl")
    monkeypatch.setattr(text, "LONGEST_LINE", 1 << 24)
    (folder / "a.jsonl").write_bytes(f"{short}\n{short}\n".encode() + b"\xff")
    with pytest.raises(FileFormatError, match=r"got the byte 0xff in .*line 3"):
        read(folder / "a.jsonl")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f'{{"name": "a", "label": "b"}}\n{{"name": "a", "label": {value}}}', rf"got {shown}.* in .*a\.jsonl, line 2")
        for value, shown in [("null", "None"), ("[1]", r"\[1\]")]
    ]
    + [
        ('{"name": "a"}', r"got \['name'\] in .*a\.jsonl, line 1"),
        ("\n{", r"got Expecting .* in .*a\.jsonl, line 2"),
    ],
)
def test_errors_name_value_file_and_line(folder: Path, content: str, message: str) -> None:
    (folder / "a.jsonl").write_text(content, encoding="utf-8")
    with pytest.raises(FileFormatError, match=message):
        read(folder / "a.jsonl")


def test_columns_that_are_missing_are_told_with_their_file(folder: Path) -> None:
    (folder / "a.csv").write_text("name,other\n", encoding="utf-8")
    pq.write_table(pa.table({"name": ["a"]}), folder / "a.parquet")
    for name in ("a.csv", "a.parquet"):
        with pytest.raises(FileFormatError, match=rf"got 0 among .* in .*{name}"):
            read(folder / name)


@pytest.mark.processes
def test_files_are_utf_8_whatever_the_locale_and_line_ends_stay_in_values(folder: Path) -> None:
    (folder / "a.csv").write_bytes('name,label\r\n"é\r\nb",x\r\n'.encode())
    (folder / "a.jsonl").write_bytes('{"name": "é", "label": "x"}\n'.encode())
    code = (
        "import sys; from seqclf import read_table; "
        "print([ascii(list(read_table(path, sequence='name', label='label'))) for path in sys.argv[1:]])"
    )
    command = [sys.executable, "-X", "utf8=0", "-c", code, str(folder / "a.csv"), str(folder / "a.jsonl")]
    environment = os.environ | {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}
    printed = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    assert eval(printed) == [ascii([("é\r\nb", "x")]), ascii([("é", "x")])]


def test_files_of_other_kinds(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidArgumentError, match=r"must end in one of \.csv, .*; got 'a\.txt'"):
        read_table(folder / "a.txt", sequence="name", label="label")
    with pytest.raises(FileFormatError, match="table must be a file; got no file at"):
        read_table(folder / "none.csv", sequence="name", label="label")
    (folder / "b.csv").mkdir()
    with pytest.raises(FileFormatError, match="table must be a file; got something else at"):
        read_table(folder / "b.csv", sequence="name", label="label")
    os.mkfifo(folder / "c.csv")
    with pytest.raises(FileFormatError, match="table must be a file; got something else at"):
        read_table(folder / "c.csv", sequence="name", label="label")
    write_csv(folder / "a.csv", [("a", "b")])
    rows = read_table(folder / "a.csv", sequence="name", label="label")
    (folder / "a.csv").unlink()
    with pytest.raises(FileFormatError, match="file must be readable; got No such file"):
        list(rows)
    write_parquet(folder / "a.parquet", [("a", "b")])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingDependencyError, match="pyarrow must be installed"):
        read(folder / "a.parquet")


ENCODINGS = [None, "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "latin-1"]
DELIMITERS = [",", ";", "\t", "|"]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("delimiter", DELIMITERS)
def test_tables_as_people_have_them(
    tmp_path: Path, delimiter: str, ending: str, encoding: str | None, packed: bool
) -> None:
    """Delimiters and byte order marks are recognised; other encodings are named."""
    rows = [("Müller", "de"), ("Pérez", "es")]
    lines = [delimiter.join(row) for row in [("name", "label"), *rows]]
    content = (ending.join(lines) + ending).encode(encoding or "utf-8")
    path = tmp_path / ("a.CSV.gz" if packed else "a.csv")
    path.write_bytes(gzip.compress(content) if packed else content)
    needs_name = encoding in {"utf-16-le", "latin-1"}
    assert read(path, encoding=encoding if needs_name else None) == rows
    assert read(path, encoding=encoding, delimiter=delimiter) == rows
    headless = path.with_name(f"headless-{path.name}")
    content = (ending.join(lines[1:]) + ending).encode(encoding or "utf-8")
    headless.write_bytes(gzip.compress(content) if packed else content)
    found = read_table(headless, sequence=0, label=1, header=False, encoding=encoding, delimiter=delimiter)
    assert list(found) == rows


def test_a_quote_in_a_tsv_is_a_character(folder: Path) -> None:
    (folder / "a.tsv").write_text('name\tlabel\n"Go on\tx\nthey said"\ty\n', encoding="utf-8")
    assert read(folder / "a.tsv") == [('"Go on', "x"), ('they said"', "y")]


def test_a_long_field_is_read(folder: Path) -> None:
    (folder / "a.csv").write_text("name,label\n" + "a" * 300_000 + ",b\n", encoding="utf-8")
    assert len(read(folder / "a.csv")[0][0]) == 300_000


def test_broken_rows_are_left_out_where_one_says_so(folder: Path) -> None:
    (folder / "a.csv").write_text("name,label\na,x\nb\nc,\nd,y\n", encoding="utf-8")
    with pytest.warns(SeqclfWarning, match=r"2 rows were left out, the first as rows must have 2 values.*line 3"):
        assert read(folder / "a.csv", skip_broken=True) == [("a", "x"), ("d", "y")]
    (folder / "a.jsonl").write_text('{"name": "a", "label": "x"}\n{\n{"name": 5, "label": "x"}\n', encoding="utf-8")
    with pytest.warns(SeqclfWarning, match="2 rows were left out"):
        assert read(folder / "a.jsonl", skip_broken=True) == [("a", "x")]


def test_a_file_that_is_cut_off_cannot_be_unpacked(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"name,label\n" + b"a,b\n" * 1000)[:-20])
    with pytest.raises(FileFormatError, match="file must be whole to be unpacked; got"):
        read(tmp_path / "a.csv.gz")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoding": "utf-99"}, "encoding must be one that Python knows; got 'utf-99'"),
        ({"delimiter": "::"}, "delimiter must be one character; got '::'"),
        ({"quoting": "all"}, "quoting must be 'minimal' or 'none'; got 'all'"),
        ({"header": False}, "sequence must be a number from 0, as there is no line of names"),
        ({"sequence": 0}, "sequence must be a name; got 0"),
    ],
)
def test_options_that_are_none(folder: Path, options: dict[str, Any], message: str) -> None:
    write_csv(folder / "a.csv", [("a", "b")])
    with pytest.raises(InvalidArgumentError, match=message):
        list(read_table(folder / "a.csv", **{"sequence": "name", "label": "label", **options}))


def test_columns_by_number_are_there(folder: Path) -> None:
    (folder / "a.csv").write_text("a,b\n", encoding="utf-8")
    with pytest.raises(FileFormatError, match=r"columns must be from 0 to 1; got 2 for .*Check the delimiter, ','"):
        list(read_table(folder / "a.csv", sequence=0, label=2, header=False))


def test_text_that_is_not_in_its_encoding(folder: Path) -> None:
    (folder / "a.csv").write_bytes("name,label\na,b\n".encode("utf-16") + b"\x00")
    with pytest.raises(FileFormatError, match=r"text must be in its encoding, utf-16; got .* not far behind line"):
        read(folder / "a.csv")
