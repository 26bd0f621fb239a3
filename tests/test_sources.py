"""Reading a folder with one file for each class."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqclf.datasets import load_names
from seqclf.errors import FileFormatError
from seqclf.reading import fold_ascii, read_folder


def write(folder: Path, **contents: bytes | str) -> Path:
    for name, content in contents.items():
        (folder / f"{name}.txt").write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def test_files_and_lines_come_in_order(tmp_path: Path) -> None:
    write(tmp_path, b="Zoe\nAda\n", a="Ärger\r\n\r\n  two words \n", c="\ufeffBOM\u2028still the same line")
    (tmp_path / "notes.md").write_text("not data")
    (tmp_path / "folder.txt").mkdir()
    assert read_folder(tmp_path) == [
        ("Ärger", "a"),
        ("two words", "a"),
        ("Zoe", "b"),
        ("Ada", "b"),
        ("BOM\u2028still the same line", "c"),
    ]
    assert read_folder(str(tmp_path), transform=str.upper)[0] == ("ÄRGER", "a")


@given(st.text())
def test_folding_keeps_to_the_letters_of_the_tutorial(text: str) -> None:
    folded = fold_ascii(text)
    assert set(folded) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz .,;'")
    assert fold_ascii(folded) == folded


def test_folding() -> None:
    assert fold_ascii("Ślusàrski") == "Slusarski"
    assert fold_ascii("Nguyễn") == "Nguyen"
    assert fold_ascii("Strauß-Ødegård 7") == "Straudegard "


@pytest.mark.parametrize(
    ("contents", "options", "message"),
    [
        ({}, {}, r"must hold \.txt files, one for each class; got none in "),
        ({"a": "x", "b": b"ok\nsecond\n\xff\xfe\nmore\n"}, {}, r"must be UTF-8; got the byte 0xff in .*b\.txt, line 3"),
        ({"a": " \n\n"}, {}, r"must hold at least one sequence; got none in .*a\.txt"),
        ({"a": "x\n\n李\n"}, {"transform": fold_ascii}, r"become empty by the transform; got '李' in .*a\.txt, line 3"),
    ],
)
def test_bad_folders(tmp_path: Path, contents: Any, options: Any, message: str) -> None:
    with pytest.raises(FileFormatError, match=message):
        read_folder(write(tmp_path, **contents), **options)


def test_missing_and_wrong_folders(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=r"folder must exist; got no folder at .*nowhere"):
        read_folder(tmp_path / "nowhere")
    with pytest.raises(FileFormatError, match=r"folder must exist; got no folder at .*a\.txt"):
        load_names(write(tmp_path, a="x") / "a.txt")
