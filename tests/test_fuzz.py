"""Whatever a file holds, what comes of it is a value or a SeqclfError: no other error, and no hang."""

import contextlib
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqclf import RNNClassifier, SeqclfError, SequenceDataset, Vocabulary, fit, load, save
from seqclf.callbacks import Checkpoint
from seqclf.reading import read_folder, read_table
from tests import strategies

DATA = strategies.letters_dataset(count=12)


def _resume(folder: Path) -> Any:
    model = RNNClassifier.for_dataset(DATA, hidden_size=3, seed=0)
    return fit(model, DATA, epochs=1, checkpoint=Checkpoint(folder), resume=True, device="cpu", progress=False)


def _make_table(path: Path) -> None:
    if path.suffix == ".parquet":
        pq.write_table(pa.table({"name": ["ab", "c"], "label": ["x", "y"]}), path)
    elif path.suffix == ".jsonl":
        path.write_text('{"name": "ab", "label": "x"}\n{"name": ["c"], "label": 3}\n')
    else:
        path.write_text('name,label\nab,x\n"c ""d""",y\n'.replace(",", "\t" if path.suffix == ".tsv" else ","))


def _read_table(path: Path) -> Any:
    return list(read_table(path, sequence="name", label="label"))


def _read_store(path: Path) -> Any:
    dataset = SequenceDataset.open(path.parent)
    return [dataset[index] for index in range(min(len(dataset), 50))]


def _write_store(path: Path) -> None:
    SequenceDataset.write(path.parent, [("ab", "x"), ("b", "y")])


def _resume_store(path: Path) -> Any:
    return SequenceDataset.write(path.parent, [("ab", "x"), ("b", "y")], resume=True)


def _begin_store(path: Path) -> None:
    def pairs() -> Any:
        yield "ab", "x"
        raise KeyError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("seqclf.data.dataset._CHUNK", 1)
        with pytest.raises(KeyError):
            SequenceDataset.write(path.parent, pairs())


# For each kind of file: its name, what writes a good one, and what reads it.
KINDS: dict[str, tuple[str, Callable[[Path], Any], Callable[[Path], Any]]] = {
    "csv": ("a.csv", _make_table, _read_table),
    "tsv": ("a.tsv", _make_table, _read_table),
    "jsonl": ("a.jsonl", _make_table, _read_table),
    "parquet": ("a.parquet", _make_table, _read_table),
    "folder": ("a.txt", lambda path: path.write_text("ab\nc\n"), lambda path: read_folder(path.parent)),
    "vocabulary": ("a.json", lambda path: Vocabulary("abc").save(path), Vocabulary.load),
    "model": ("a.safetensors", lambda path: save(RNNClassifier.for_dataset(DATA, hidden_size=3), path), load),
    "checkpoint": (
        "step-000000000001.safetensors",
        lambda path: _resume(path.parent),
        lambda path: _resume(path.parent),
    ),
    "manifest": ("manifest.json", _write_store, _read_store),
    "values": ("values.bin", _write_store, _read_store),
    "progress": ("progress.json", _begin_store, _resume_store),
}


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    """A good example of each kind: the files of its folder."""
    found = {}
    for kind, (name, write, _) in KINDS.items():
        folder = tmp_path_factory.mktemp(kind)
        write(folder / name)
        found[kind] = {path.name: path.read_bytes() for path in folder.iterdir()}
    return found


def mutate(data: st.DataObject, content: bytes) -> bytes:
    """Change a file in one of the ways in which files go bad, or are made to."""
    place = data.draw(st.integers(0, len(content) - 1))
    before, byte, after = content[:place], content[place], content[place + 1 :]
    digits = [number for number, one in enumerate(content) if chr(one).isdigit()] or [0]
    digit = data.draw(st.sampled_from(digits))
    wild = st.sampled_from([b"-1", b"0", b"99999999999", b"1e400", b"null"])
    ways: list[Callable[[], bytes]] = [
        lambda: data.draw(st.binary(max_size=200)),
        lambda: before,
        lambda: before + bytes([byte ^ (1 << data.draw(st.integers(0, 7)))]) + after,
        lambda: before + data.draw(st.binary(min_size=1, max_size=20)) + content[place:],
        lambda: content * data.draw(st.integers(2, 4)),
        lambda: json.dumps(data.draw(_json_like)).encode(),
        lambda: content[:digit] + data.draw(wild) + content[digit + 1 :],
    ]
    return data.draw(st.sampled_from(ways))()


_json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["format", "version", "name", "label"]), inner)
    ),
    max_leaves=6,
)


@pytest.mark.filterwarnings("ignore:going on from an older checkpoint", "ignore:the run that goes on was begun with")
@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_any_file_gives_a_value_or_our_error(
    originals: dict[str, dict[str, bytes]], kind: str, data: st.DataObject
) -> None:
    name, _, read = KINDS[kind]
    with tempfile.TemporaryDirectory() as folder:
        for one, content in originals[kind].items():
            is_meant = one == name or kind == "checkpoint"
            Path(folder, one).write_bytes(mutate(data, content) if is_meant else content)
        with contextlib.suppress(SeqclfError):
            read(Path(folder, name))


def test_an_error_of_another_kind_would_be_noticed(tmp_path: Path) -> None:
    """A planted bug: a reader that trusts its file."""
    (tmp_path / "a").write_bytes(b"1,2,x")
    with pytest.raises(ValueError, match="could not convert"):
        np.loadtxt(tmp_path / "a", delimiter=",")
