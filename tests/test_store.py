"""Stores in folders: the same data as in memory, whole or not there, and training reads them where they lie."""

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqclf import RNNClassifier, SequenceDataset, Vocabulary, evaluate, fit, predict
from seqclf.data import dataset as dataset_module
from seqclf.data import packing, store
from seqclf.data.ragged import Ragged
from seqclf.errors import FileFormatError, InvalidArgumentError, InvalidDataError
from tests import strategies

PAIRS = [("abc", "x"), ("b", "y"), ("cabba", "x"), ("dd", "z"), ("ab", "y"), ("e", "x"), ("abcde", "z")]


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset_module, "_CHUNK", 2)
    monkeypatch.setattr(store, "_BLOCK", 4)


def assert_same(one: SequenceDataset, other: SequenceDataset) -> None:
    assert (one.classes, one.vocabulary, one.input_size) == (other.classes, other.vocabulary, other.input_size)
    found, expected = one.sequences.values.to(other.sequences.values), other.sequences.values
    assert (
        torch.equal(found.nan_to_num(9e9), expected.nan_to_num(9e9))
        if found.is_floating_point()
        else torch.equal(found, expected)
    )
    assert torch.equal(one.sequences.offsets, other.sequences.offsets)
    assert torch.equal(one.lengths, other.lengths)
    assert torch.equal(one.labels, other.labels)
    assert one.labels.dtype == one.lengths.dtype == torch.int64
    assert one.fingerprint == other.fingerprint


texts = st.text("abcdé", min_size=1, max_size=6)
tokens = st.lists(st.one_of(st.integers(0, 4), st.sampled_from(["to", "be"])), min_size=1, max_size=5)
features = st.integers(1, 4).map(lambda length: np.arange(2.0 * length).reshape(length, 2))


@given(st.sampled_from([texts, tokens, features]), st.data(), st.booleans(), st.booleans())
def test_a_store_holds_what_memory_would(kind: Any, data: st.DataObject, own: bool, settled: bool) -> None:
    pairs = data.draw(st.lists(st.tuples(kind, st.sampled_from(["x", "y", 3])), min_size=1, max_size=9))
    options: dict[str, Any] = {"classes": [3, "y", "x"]} if settled else {}
    if own and kind is not features:
        options["vocabulary"] = Vocabulary("cax") if kind is texts else Vocabulary(["be", 2])
    expected = SequenceDataset.from_pairs(pairs, **options)
    with tempfile.TemporaryDirectory() as folder:
        assert_same(SequenceDataset.write(folder, iter(pairs), **options), expected)
        again = SequenceDataset.open(folder)
        assert_same(again, expected)
        assert sorted(path.name for path in Path(folder).iterdir()) == [
            "labels.bin",
            "lengths.bin",
            "manifest.json",
            "offsets.bin",
            "values.bin",
        ]


def test_every_option_is_kept(tmp_path: Path) -> None:
    pairs = [(np.array([[1.0, 2.0, np.nan], [3.0, 4.0, 5.0]]), "x"), (np.ones((2, 1)), "y"), (np.empty((2, 0)), "x")]
    options: dict[str, Any] = {"channels_first": True, "allow_empty": True, "allow_missing": True}
    expected = SequenceDataset.from_pairs(pairs, classes=["y", "x"], **options)
    written = SequenceDataset.write(tmp_path / "deep" / "er", pairs, classes=["y", "x"], **options)
    for one in (written, SequenceDataset.open(tmp_path / "deep" / "er")):
        assert_same(one, expected)
        assert one.channels_first
    for sequence, message in [(np.empty((0, 2)), "must not be empty"), (np.full((1, 2), np.nan), "must be finite")]:
        with pytest.raises(InvalidDataError, match=message):
            SequenceDataset.write(tmp_path / message, [(sequence, "x")])
    with pytest.raises(InvalidDataError, match=r"labels must be among the 1 classes; got 'y'"):
        SequenceDataset.write(tmp_path / "classes", [("a", "y")], classes=["x"])


def cut_off(count: int) -> Iterator[tuple[str, str]]:
    """Yield some pairs, and fail."""
    yield from PAIRS[:count]
    raise ConnectionError("the source is gone")


@pytest.mark.parametrize("count", range(len(PAIRS) + 1))
@pytest.mark.parametrize("garbage", [b"", b"what was written when the power went"])
def test_a_writer_that_was_cut_off_goes_on(tmp_path: Path, count: int, garbage: bytes) -> None:
    with pytest.raises(ConnectionError):
        SequenceDataset.write(tmp_path, cut_off(count))
    for part in tmp_path.glob("*.part"):
        part.write_bytes(part.read_bytes() + garbage)
    with pytest.raises(FileFormatError, match=r"cut off at .*resume=True|manifest of a store must exist"):
        SequenceDataset.open(tmp_path)
    if count >= 2:
        with pytest.raises(
            InvalidArgumentError, match=r"got one that was begun at .*Pass resume=True to go on with it"
        ):
            SequenceDataset.write(tmp_path, PAIRS)
    assert_same(SequenceDataset.write(tmp_path, PAIRS, resume=True), SequenceDataset.from_pairs(PAIRS))


@pytest.mark.parametrize("last", [*range(1, 14), 17, 19, 22])
def test_a_full_disk_leaves_no_store_and_no_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: int) -> None:
    real, calls = os.fsync, []

    def full_at_last(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == last:
            raise OSError(28, "No space left on device")
        real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full_at_last)
        with pytest.raises(FileFormatError, match=r"No space left on device at .*ake room"):
            SequenceDataset.write(tmp_path, PAIRS)
    with pytest.raises(FileFormatError, match=r"one whose writing was cut off|manifest of a store must exist"):
        SequenceDataset.open(tmp_path)
    assert_same(SequenceDataset.write(tmp_path, PAIRS, resume=True), SequenceDataset.from_pairs(PAIRS))


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_training_reads_it_where_it_lies(tmp_path: Path, cell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    data = strategies.letters_dataset(count=80)
    monkeypatch.setattr(packing, "_CHUNK_STEPS", 100)
    pairs = [
        ("".join(data.vocabulary.decode(ids)), data.classes[label]) for ids, label in map(data.__getitem__, range(80))
    ]
    stored = SequenceDataset.write(tmp_path, pairs, vocabulary=data.vocabulary)
    found = []
    for one in (data, stored):
        model = RNNClassifier.for_dataset(one, cell=cell, hidden_size=6, seed=0)
        history = fit(model, one, validation_data=one, epochs=2, batch_size=9, class_weight="balanced", progress=False)
        found.append((history["loss"], history["val_loss"], evaluate(model, one).loss, predict(model, one)))
    assert found[0] == found[1]
    assert len(stored.split(0.2)[0]) + len(stored.split(0.2)[1]) == 80
    assert stored.report().n == 80


def test_features_of_another_default_type(tmp_path: Path) -> None:
    torch.set_default_dtype(torch.float64)
    try:
        stored = SequenceDataset.write(tmp_path, [(np.array([[0.5, 2.0]]), "x"), (np.array([[1.0, 3.0]] * 2), "y")])
    finally:
        torch.set_default_dtype(torch.float32)
    assert stored.sequences.values.tolist() == [[0.5, 2.0], [1.0, 3.0], [1.0, 3.0]]


def test_empty_sequences(tmp_path: Path) -> None:
    pairs = [("", "x"), ("ab", "y"), ("", "y")]
    stored = SequenceDataset.write(tmp_path, pairs, allow_empty=True)
    assert_same(stored, SequenceDataset.from_pairs(pairs, allow_empty=True))
    assert len(stored.drop_empty()) == 1
    nothing = SequenceDataset.write(tmp_path / "nothing", [("", "x")], allow_empty=True, vocabulary=Vocabulary("a"))
    assert nothing.lengths.tolist() == [0]


def test_what_the_folder_must_not_hold(tmp_path: Path) -> None:
    SequenceDataset.write(tmp_path, PAIRS)
    with pytest.raises(InvalidArgumentError, match="folder must be free for a new store; got one at"):
        SequenceDataset.write(tmp_path, PAIRS, resume=True)
    (tmp_path / "file").touch()
    with pytest.raises(FileFormatError, match=r"folder of a store must be writable; got (File exists|Not a directory)"):
        SequenceDataset.write(tmp_path / "file", PAIRS)


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([], "a dataset must hold at least one sequence; got none"),
        ([*PAIRS, ("", "x")], r"must not be empty; got length 0 \(sequence 1\)\. .*Counted from item 6\."),
        ([*PAIRS[:4], ([1, 2], "x")], "of one kind; got text at first, and tokens from item 4 on"),
        ([([1], "x"), ([2], "y"), (np.ones((1, 2)), "x")], "got tokens at first, and 2 features from item 2 on"),
        ([(np.ones((1, 2)), "x")] * 2 + [(np.ones((1, 3)), "x")], "got 2 features at first, and 3 features from"),
        ([([(1, object)], "x")], r"symbols must be strings, .* files can hold; got \(1, <class"),
    ],
)
def test_bad_pairs(tmp_path: Path, pairs: Any, message: str) -> None:
    with pytest.raises(InvalidDataError, match=message):
        SequenceDataset.write(tmp_path, pairs)
    with pytest.raises(FileFormatError):
        SequenceDataset.open(tmp_path)


@pytest.mark.parametrize("name", ["values", "offsets", "lengths", "labels"])
def test_damage_is_noticed(tmp_path: Path, name: str) -> None:
    SequenceDataset.write(tmp_path, PAIRS)
    path = tmp_path / f"{name}.bin"
    content = path.read_bytes()
    for size in range(len(content)):
        path.write_bytes(content[:size])
        with pytest.raises(
            FileFormatError, match=rf"{name}\.bin of a store must have {len(content)} bytes; got {size}"
        ):
            SequenceDataset.open(tmp_path)
        path.write_bytes(content[:size] + bytes([content[size] ^ 1]) + content[size + 1 :])
        with pytest.raises(FileFormatError, match=rf"{name}\.bin of a store must have the checksum"):
            SequenceDataset.open(tmp_path)
        assert len(SequenceDataset.open(tmp_path, check=False)) == len(PAIRS)
    path.unlink()
    with pytest.raises(FileFormatError, match=r"bytes; got 0 at"):
        SequenceDataset.open(tmp_path)


def test_a_manifest_that_is_none(tmp_path: Path) -> None:
    SequenceDataset.write(tmp_path, PAIRS)
    path = tmp_path / "manifest.json"
    content = json.loads(path.read_text())
    changes: list[Any] = [
        [],
        {},
        content | {"format": "other"},
        content | {"version": 2},
        content | {"files": {}},
        content | {"sequences": "7"},
        content | {"files": content["files"] | {"values": {"dtype": "object", "bytes": 19, "crc32": 0}}},
    ]
    for change in changes:
        path.write_text(json.dumps(change))
        with pytest.raises(FileFormatError, match=r"manifest of a store must be one|values\.bin of a store"):
            SequenceDataset.open(tmp_path)
    with pytest.raises(FileFormatError, match="manifest of a store must exist; got no file at"):
        SequenceDataset.open(tmp_path / "none")


def test_progress_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConnectionError):
        SequenceDataset.write(tmp_path, cut_off(4))
    path = tmp_path / "progress.json"
    content: Any = json.loads(path.read_text())
    changes: list[Any] = [
        {},
        [],
        content | {"version": 2},
        content | {"done": -1},
        content | {"done": 3},
        content | {"kind": "other"},
        content | {"longest": 1 << 31},
        content | {"sizes": content["sizes"] | {"values": 7}},
        content | {"symbols": [["ab", 1]]},
        content | {"symbols": [["a", 1], ["a", 1]]},
        content | {"classes": [None]},
    ]
    for change in changes:
        path.write_text(json.dumps(change))
        with pytest.raises(FileFormatError, match=r"progress of a store must be what seqclf wrote; got .*begin anew"):
            SequenceDataset.write(tmp_path, PAIRS, resume=True)
    path.write_text(json.dumps(content))
    (tmp_path / "labels.part").write_bytes(b"")
    with pytest.raises(FileFormatError, match=r"labels\.part is too short"):
        SequenceDataset.write(tmp_path, PAIRS, resume=True)


@pytest.mark.parametrize("name", ["values", "labels"])
def test_parts_that_are_damaged(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConnectionError):
        SequenceDataset.write(tmp_path, cut_off(4))
    part = tmp_path / f"{name}.part"
    part.write_bytes(b"\xff\xff\xff\x7f" + part.read_bytes()[4:])
    with pytest.raises(FileFormatError, match="parts of a store must be what seqclf wrote; got IndexError"):
        SequenceDataset.write(tmp_path, PAIRS, resume=True)


def test_lengths_need_not_be_given() -> None:
    assert Ragged(torch.arange(3), torch.tensor([0, 1, 3])).sizes.tolist() == [1, 2]
