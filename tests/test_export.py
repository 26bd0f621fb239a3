"""export: the file gives what the model gives, for shapes it was not made for, with nothing but its own metadata."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from seqclf import RNNClassifier, SeqclfError, SequenceDataset, Vocabulary, export, predict, predict_proba, save
from seqclf.errors import InvalidArgumentError, InvalidDataError, MissingDependencyError
from seqclf.onnx import graph
from tests import strategies

SHAPES = int(os.environ.get("SEQCLF_EXPORT_SHAPES", "10"))  # of random batches that each export is compared on


def tiny(**options: Any) -> RNNClassifier:
    defaults: dict[str, Any] = {"vocabulary": Vocabulary("abc"), "vocab_size": 5} if "input_size" not in options else {}
    return RNNClassifier(3, **(defaults | {"hidden_size": 6, "embedding_dim": 4, "seed": 0} | options))


@pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both"])
@pytest.mark.parametrize("num_layers", [1, 2, 3])
@pytest.mark.parametrize("cell", strategies.BUILT_IN_CELLS)
def test_it_agrees_with_the_model(cell: Any, num_layers: int, bidirectional: bool, tmp_path: Path) -> None:
    options: dict[str, Any] = {"cell": cell, "num_layers": num_layers, "bidirectional": bidirectional}
    differences = [
        export(tiny(**options, pooling=pooling, empty=empty), tmp_path / "model.onnx", check_shapes=SHAPES)
        for pooling, empty in [("last", "error"), (("last", "mean", "max", "attention"), "zero")]
    ]
    print(f"{cell}, {num_layers} layers, both ways: {bidirectional}: {2 * SHAPES} shapes, {max(differences):.1e}")
    assert 0 < max(differences) < 1e-5


@pytest.mark.parametrize("options", [{"positions": "both"}, {"positions": "start", "ngrams": 2}, {"ngrams": (2, 3)}])
def test_positions_and_ngrams(options: Any, tmp_path: Path) -> None:
    model = tiny(**options, num_ngrams=9 if "ngrams" in options else 0)
    strategies.know_ngrams(model, 0)
    assert 0 < export(model, tmp_path / "model.onnx", check_shapes=SHAPES) < 1e-5


@pytest.mark.parametrize("pooling", ["mean", "max", "attention"])
def test_each_pooling_alone(pooling: Any, tmp_path: Path) -> None:
    assert 0 < export(tiny(pooling=pooling), tmp_path / "model.onnx", check_shapes=SHAPES) < 1e-5


@pytest.mark.parametrize("missing", ["error", "mean", "forward", "indicator"])
@pytest.mark.parametrize("standardize", [False, True])
def test_features(missing: Any, standardize: bool, tmp_path: Path) -> None:
    model = tiny(input_size=2, missing=missing, standardize=standardize, pooling=("max", "last"))
    if model.features is not None and (standardize or missing != "error"):
        model.features.fit(torch.randn(99, 2, generator=torch.Generator().manual_seed(0)) * 3 + 1)
    assert 0 < export(model, tmp_path / "model.onnx", check_shapes=SHAPES) < 1e-5


def test_features_are_compared_at_the_scale_that_they_have(tmp_path: Path) -> None:
    model = tiny(input_size=2, standardize=True, cell="rnn_relu", num_layers=2)
    assert model.features is not None
    model.features.fit(torch.randn(99, 2, generator=torch.Generator().manual_seed(0)) + 1e4)
    assert (
        export(model, tmp_path / "model.onnx", check_shapes=SHAPES) < 1e-2
    )  # inputs near 1e4 have 1e-3 for a last digit


def test_its_metadata_are_all_that_serving_needs(tmp_path: Path) -> None:
    train = SequenceDataset.from_pairs([("Satoshi", "Japanese"), ("Rossi", "Italian"), ("Novák", "Czech")])
    model = RNNClassifier.for_dataset(train, hidden_size=8, bidirectional=True, seed=0)
    export(model, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    about = json.loads(session.get_modelmeta().custom_metadata_map["seqclf"])
    ids = {symbol: index for index, symbol in enumerate(about["symbols"], start=2)}
    names = ["Sato", "Šimek", "o"]
    inputs = np.zeros((3, 9), np.int64)
    for row, name in enumerate(names):
        inputs[row, : len(name)] = [ids.get(symbol, 1) for symbol in name]
    lengths = np.array([len(name) for name in names])
    (probabilities,) = session.run(["probabilities"], {"inputs": inputs, "lengths": lengths})
    assert np.allclose(probabilities, predict_proba(model, names), atol=1e-6)
    assert [about["classes"][best] for best in probabilities.argmax(1)] == predict(model, names)
    assert about["is_text"]


def test_symbols_that_json_has_none_of_are_written_with_their_kind(tmp_path: Path) -> None:
    export(tiny(vocabulary=Vocabulary([b"a", ("x", 1), True])), tmp_path / "model.onnx", check_shapes=1)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    about = json.loads(session.get_modelmeta().custom_metadata_map["seqclf"])
    assert about["symbols"] == [{"bytes": "61"}, {"tuple": ["x", 1]}, {"bool": True}]


def test_the_model_stays_as_it_was(tmp_path: Path) -> None:
    model = tiny(dropout=0.5).double().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    export(model, tmp_path / "model.onnx")
    assert model.training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


BUGS: dict[str, tuple[str, Any, Any]] = {
    "gates in another order": ("lstm", "_GATES", {"LSTM": [0, 1, 2, 3]}),
    "reset after another product": ("gru", "_GATES", {"GRU": [0, 1, 2]}),
    "another activation": ("rnn", "_ACTIVATIONS", {"RNN_TANH": "Relu"}),
}


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_not_written(bug: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell, name, value = BUGS[bug]
    monkeypatch.setattr(graph, name, value)
    with pytest.raises(SeqclfError, match=r"must agree with the model; got logits that differ by up to .* Nothing was"):
        export(tiny(cell=cell), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_padding_that_is_read_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted bug: every sequence is taken to be as long as the longest."""
    add = graph.Nodes.add

    def without_lengths(self: graph.Nodes, operator: str, *inputs: str, **options: Any) -> str:
        return add(self, operator, *(inputs[:4] if operator == "LSTM" else inputs), **options)

    monkeypatch.setattr(graph.Nodes, "add", without_lengths)
    with pytest.raises(SeqclfError, match="must agree with the model"):
        export(tiny(), tmp_path / "model.onnx")


def with_parts(**parts: Any) -> RNNClassifier:
    model = tiny()
    for name, part in parts.items():
        setattr(model, name, part)
    return model


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (tiny(cell=nn.LSTMCell), InvalidArgumentError, r"cell must be a built-in one to be exported; got <class"),
        (with_parts(embedding=nn.Embedding(5, 4, max_norm=1)), InvalidArgumentError, r"embedding must be a plain"),
        (with_parts(head=nn.Linear(6, 3, bias=False)), InvalidArgumentError, r"head must be an nn\.Linear with a bias"),
        (tiny(pooling=strategies.SumAndCount(6)), InvalidArgumentError, r"pooling must be a built-in one; got SumAnd"),
        (tiny(classes=[object, 2, 3]), InvalidDataError, r"classes must be strings, .* to be saved; got <class 'obj"),
        (tiny(vocabulary=Vocabulary([1j, 2, 3])), InvalidDataError, r"symbols must be strings, .* to be saved; got 1j"),
    ],
)
def test_what_cannot_be_exported(model: RNNClassifier, error: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=message.replace("one; got", "one to be exported; got")):
        export(model, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_bad_arguments(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match=r"path must end in \.onnx, .*; got 'model\.pt'"):
        export(tiny(), tmp_path / "model.pt")
    with pytest.raises(InvalidArgumentError, match="check_shapes must be an integer of at least 1"):
        export(tiny(), tmp_path / "model.onnx", check_shapes=0)


def test_without_onnx_the_error_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "seqclf\[onnx\]"'):
        export(tiny(), tmp_path / "model.onnx")


def test_a_loaded_model_is_exported_as_the_one_that_was_saved(tmp_path: Path) -> None:
    from seqclf import load

    model = tiny(classes=["x", "y", "z"])
    save(model, tmp_path / "model.safetensors")
    for name, one in [("one", model), ("other", load(tmp_path / "model.safetensors"))]:
        export(one, tmp_path / f"{name}.onnx", check_shapes=1)
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "other.onnx").read_bytes()
