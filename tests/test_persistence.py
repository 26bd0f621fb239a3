"""save and load: the same model in a new process, and one clear error for every bad file."""

import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given
from torch import nn

import seqclf.tensor_file
from seqclf import RNNClassifier, SequenceDataset, evaluate, fit, load, predict_proba, save
from seqclf.errors import FileFormatError, InvalidArgumentError, InvalidDataError
from seqclf.persistence import describe_model
from seqclf.tensor_file import write_tensor_file
from tests import strategies

DATA = strategies.letters_dataset(count=20)


@given(strategies.models(cells=(*strategies.BUILT_IN_CELLS, nn.LSTMCell, nn.GRUCell, *strategies.LIBRARY_CELLS)))
def test_a_model_survives(model: RNNClassifier) -> None:
    path = Path(folder_of_this_test) / "model.safetensors"
    own = isinstance(model.pooling, strategies.SumAndCount)
    pooling = strategies.SumAndCount(model.head.in_features - 1) if own else None
    save(model, path)
    again = load(path, pooling=pooling)
    assert not again.training
    assert again.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(again.state_dict()[name], tensor) for name, tensor in model.state_dict().items())
    steps = torch.ones(1, 3, dtype=torch.int64) if model.input_size is None else torch.ones(1, 3, 3)
    assert torch.equal(again(steps, [3]), model(steps, [3]))
    assert again.execution == model.execution


folder_of_this_test = ""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path) -> None:
    global folder_of_this_test  # noqa: PLW0603  # hypothesis and function-scoped fixtures do not mix
    folder_of_this_test = str(tmp_path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A small saved model."""
    target = tmp_path / "model.safetensors"
    save(RNNClassifier.for_dataset(DATA, hidden_size=4, seed=0), target)
    return target


def test_vocabulary_and_classes_travel_with_the_model(path: Path) -> None:
    model = load(path)
    assert (model.vocabulary, model.classes) == (DATA.vocabulary, DATA.classes)
    assert evaluate(model, DATA).n == 20
    fit(model, DATA, epochs=1, progress=False)  # a loaded model can be trained on


@pytest.mark.processes
def test_a_new_process_gives_the_same_answers(path: Path) -> None:
    code = f"import seqclf; print(seqclf.predict_proba(seqclf.load({str(path)!r}), ['abc', 'b']).tolist())"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert np.allclose(json.loads(printed), predict_proba(load(path), ["abc", "b"]), atol=1e-7)


def test_features_and_numbered_classes(tmp_path: Path) -> None:
    data = SequenceDataset.from_pairs([(np.ones((2, 3)), 4), (np.zeros((1, 3)), 7)])
    save(RNNClassifier.for_dataset(data, hidden_size=2), tmp_path / "m")
    model = load(tmp_path / "m")
    assert (model.classes, model.vocabulary, model.input_size) == ((4, 7), None, 3)


def test_an_own_cell_is_given_to_load(tmp_path: Path) -> None:
    model = RNNClassifier.for_dataset(DATA, cell=strategies.TutorialCell, hidden_size=4, seed=0).eval()
    save(model, tmp_path / "m")
    with pytest.raises(InvalidArgumentError, match=r"cell must be given to load a model of your own cell; got None"):
        load(tmp_path / "m")
    again = load(tmp_path / "m", cell=strategies.TutorialCell)
    assert (predict_proba(again, ["abc"]) == predict_proba(model, ["abc"])).all()
    with pytest.raises(FileFormatError, match=r"must describe a model that fits its weights; got"):
        load(tmp_path / "m", cell=nn.LSTMCell)


def test_an_own_pooling_is_given_to_load(tmp_path: Path) -> None:
    model = RNNClassifier.for_dataset(DATA, pooling=strategies.SumAndCount(128))
    save(model, tmp_path / "m")
    with pytest.raises(InvalidArgumentError, match=r"pooling must be given to load"):
        load(tmp_path / "m")
    assert load(tmp_path / "m", pooling=strategies.SumAndCount(128)).head.in_features == 129


def test_labels_that_json_cannot_hold(tmp_path: Path) -> None:
    model = RNNClassifier(2, vocab_size=4, classes=[("a", object), ("b", 2)])
    with pytest.raises(
        InvalidDataError, match=r"classes must be strings, .* to be saved; got <class 'object'> \(type\)"
    ):
        save(model, tmp_path / "m")
    assert not list(tmp_path.iterdir())


def test_truncated_anywhere(path: Path) -> None:
    content = path.read_bytes()
    for size in (0, 4, 8, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(FileFormatError, match=r"one that seqclf wrote, and whole; got .*model\.safetensors"):
            load(path)


def test_a_truncated_file_is_not_taken_for_another_kind(tmp_path: Path) -> None:
    for size in (
        0x0280,
        0x04034B50,
    ):  # lengths of a header whose bytes are those that a pickle or an archive begins with
        (tmp_path / "m").write_bytes(struct.pack("<Q", size) + b'{"w"')
        with pytest.raises(FileFormatError, match="one that seqclf wrote, and whole; got ") as caught:
            load(tmp_path / "m")
        assert "pickle" not in str(caught.value)
        assert "archive" not in str(caught.value)


def test_any_altered_byte_is_noticed(path: Path) -> None:
    content = bytearray(path.read_bytes())
    for position in range(0, len(content), 97):
        altered = bytearray(content)
        altered[position] ^= 0x01
        path.write_bytes(altered)
        with pytest.raises(FileFormatError, match=r"model\.safetensors"):
            load(path)


def rewrite(path: Path, change: Any) -> None:
    """Change the description of a model file, with a checksum that fits: what a newer or hostile writer could do."""
    content = path.read_bytes()
    metadata = seqclf.tensor_file._metadata(content)
    tensors = {name: tensor.contiguous() for name, tensor in load(path).state_dict().items()}
    description = json.dumps(change(json.loads(metadata["seqclf"])))
    digest = seqclf.tensor_file._digest(description, tensors)
    path.write_bytes(safetensors.torch.save(tensors, {"seqclf": description, "seqclf_sha256": digest}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d | {"version": 5}, r"version 4 or older; got version 5, written by seqclf '0\..*Upgrade seqclf"),
        (lambda d: d | {"version": None}, r"version 4 or older; got version None"),
        (lambda d: [d], r"model file must hold a description; got list"),
        (lambda d: {"version": 1}, r"must describe a model that fits its weights; got 'model'"),
        (lambda d: d | {"model": d["model"] | {"hidden_size": 10**12}}, r"fits its weights; got"),
        (lambda d: d | {"model": d["model"] | {"num_layers": 10**12}}, r"1000000000000 layers in"),
        (lambda d: d | {"model": d["model"] | {"hidden_size": "x"}}, r"hidden_size must be an integer"),
        (lambda d: d | {"model": d["model"] | {"surprise": 1}}, r"unexpected keyword argument 'surprise'"),
        (lambda d: d | {"cell": "evil"}, r"cell must be one of"),
        (lambda d: d | {"classes": 5}, r"fits its weights; got"),
        (lambda d: d | {"vocabulary": {}}, r"vocabulary must have the format"),
    ],
)
def test_descriptions_that_do_not_fit(path: Path, change: Any, message: str) -> None:
    rewrite(path, change)
    with pytest.raises(FileFormatError, match=message):
        load(path)


def test_files_of_other_kinds(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=r"model file must exist; got no file at .*none"):
        load(tmp_path / "none")
    with pytest.raises(FileFormatError, match=r"model file must be a file; got something else at "):
        load(tmp_path)
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    (tmp_path / "other").write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    with pytest.raises(FileFormatError, match=r"must be one that seqclf wrote as such; got another"):
        load(tmp_path / "other")
    for is_zip, kind in ((True, "a zip archive, such as torch.save writes"), (False, "a pickle")):
        torch.save({"a": 1}, tmp_path / "pickle", _use_new_zipfile_serialization=is_zip)
        with pytest.raises(
            FileFormatError, match=rf"model file must be one that seqclf wrote, and whole; got {kind} in "
        ):
            load(tmp_path / "pickle")
    with pytest.raises(FileFormatError, match=r"folder must exist to write m"):
        save(RNNClassifier(2, vocab_size=4), tmp_path / "missing" / "m")


def test_a_file_of_the_first_release_still_loads() -> None:
    """Written by version 0.1.0 and kept, so that files of today can be read by every later version."""
    model = load(Path(__file__).parent / "data" / "model-0.1.0.safetensors")
    assert model.classes == ("a", "b", "c")
    expected = json.loads((Path(__file__).parent / "data" / "model-0.1.0.json").read_text())
    assert np.allclose(predict_proba(model, ["abc", "b", "ca"]), expected, atol=1e-6)


def test_files_of_version_0_1_may_name_recurrences_that_are_gone(tmp_path: Path) -> None:
    model = RNNClassifier(2, vocab_size=4, hidden_size=3, seed=0)
    content = describe_model(model)
    content["model"]["execution"] = "fused"
    write_tensor_file(tmp_path / "model.safetensors", "seqclf", content, model.state_dict())
    assert load(tmp_path / "model.safetensors").execution == "auto"
