"""Records of fields, context and several labels: the laws hold for them as for all others."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from seqclf import (
    Predictor,
    RNNClassifier,
    SequenceDataset,
    Vocabulary,
    adjust_priors,
    calibrate,
    evaluate,
    explain,
    export,
    fit,
    linear_baseline,
    load,
    predict,
    predict_prefixes,
    predict_proba,
    run_study,
    save,
    verify_batching,
)
from seqclf.errors import InvalidArgumentError, InvalidDataError, SeqclfWarning
from seqclf.fields import Fields
from seqclf.training.objective import Objective
from seqclf.training.steps import AutogradSteps, NativeSteps
from tests import strategies

VISITS = [
    [{"page": "home", "seconds": 3.5}, {"page": "cart", "seconds": 9.0}],
    [{"page": "cart", "seconds": 1.0}],
    [{"page": "home", "seconds": 2.0}, {"page": "home", "seconds": 4.0}, {"page": "cart", "seconds": 8.0}],
]
LABELS = ["buys", "leaves", "buys"]
DATA = SequenceDataset.from_sequences(VISITS, LABELS)


def facts(context: Any, index: int) -> Any:
    return None if context is None else context[index]


@given(st.data())
def test_an_answer_is_the_same_bits_by_every_way(data: st.DataObject) -> None:
    dataset, records, context = data.draw(strategies.record_datasets())
    model = data.draw(strategies.record_models(dataset)).eval()
    whole = predict_proba(model, records, context=context)
    assert np.array_equal(predict_proba(model, dataset), whole)
    order = list(reversed(range(len(records))))
    turned = None if context is None else [context[index] for index in order]
    assert np.array_equal(predict_proba(model, [records[index] for index in order], context=turned), whole[order])
    predictor = Predictor(model)
    for index, sequence in enumerate(records):
        own = facts(context, index)
        alone = None if own is None else [own]
        assert np.array_equal(predict_proba(model, [sequence], context=alone)[0], whole[index])
        assert np.array_equal(predictor.predict_proba(sequence, context=own), whole[index])
        assert predictor.predict(sequence, context=own) == predict(model, [sequence], context=alone)[0]
        if not model.bidirectional:
            stream = model.stream(own)
            for record in sequence:
                answer = stream.push(record)
            assert np.array_equal(answer, whole[index])
            assert np.array_equal(predict_prefixes(model, [sequence], context=alone)[0][-1], whole[index])


@given(st.data())
def test_kernels_and_torch_agree(data: st.DataObject) -> None:
    dataset, _, _ = data.draw(strategies.record_datasets())
    model = data.draw(strategies.record_models(dataset)).double().eval()
    batch = dataset.batch(range(len(dataset)))
    found = []
    for execution in ("native", "padded", "packed"):
        again = copy.deepcopy(model)
        again.execution = execution
        logits = again(batch.inputs, batch.lengths, context=batch.context)
        probe = torch.randn(logits.shape, dtype=logits.dtype, generator=torch.Generator().manual_seed(0))
        (logits * probe).sum().backward()
        found.append([logits.detach(), *(weight.grad for weight in again.parameters() if weight.grad is not None)])
    for one in found[1:]:
        assert len(one) == len(found[0])
        assert all(
            bool((a - b).abs().max() <= 1e-12 * max(1.0, float(a.abs().max())))
            for a, b in zip(found[0], one, strict=True)
        )


@given(st.data())
def test_one_call_of_the_kernels_gives_the_gradients_of_autograd(data: st.DataObject) -> None:
    dataset, _, _ = data.draw(strategies.record_datasets())
    model = data.draw(strategies.record_models(dataset)).double().train()
    weights = torch.rand(3, dtype=torch.float64) + 0.5 if data.draw(st.booleans()) else None
    shares = torch.rand(len(dataset), dtype=torch.float64) + 0.1 if data.draw(st.booleans()) else None
    objective = Objective(weights, data.draw(st.sampled_from((0.0, 0.1))), shares)
    assert model.plan_training(dataset.lengths).scope == "training step"
    found: list[list[Tensor]] = []
    for kind in (NativeSteps, AutogradSteps):
        steps: Any = kind(model, objective, dataset)
        logits = steps.compute_gradients(next(steps.batches([np.arange(len(dataset))])), 3, 1)
        order = next(steps.batches([np.arange(len(dataset))])).indices.argsort()
        found.append(
            [logits[order], *(weight.grad.clone() for weight in model.parameters() if weight.grad is not None)]
        )
    assert len(found[0]) == len(found[1])
    for one, other in zip(*found, strict=True):
        assert float((one - other).abs().max()) <= 1e-12 * max(1.0, float(other.abs().max()))


@settings(max_examples=20)
@given(data=st.data())
def test_files_keep_all_of_it(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    dataset, records, context = data.draw(strategies.record_datasets())
    model = data.draw(strategies.record_models(dataset)).eval()
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save(model, path)
    again = load(path)
    assert again.fields == dataset.fields
    assert again.context_fields == dataset.context_fields
    assert predict(again, records, context=context) == predict(model, records, context=context)
    assert np.array_equal(
        predict_proba(again, records, context=context), predict_proba(model, records, context=context)
    )


@settings(max_examples=15)
@given(data=st.data())
def test_an_exported_model_gives_the_same(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    dataset, _, _ = data.draw(strategies.record_datasets())
    model = data.draw(strategies.record_models(dataset)).eval()
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    assert export(model, path) < 1e-3
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    batch = dataset.batch(range(len(dataset)))
    given_ = {"inputs": batch.inputs.float().numpy(), "lengths": batch.lengths.numpy()}
    if batch.context is not None:
        given_["context"] = batch.context.float().numpy()
    (found,) = session.run(["probabilities"], given_)
    assert np.abs(found - predict_proba(model, dataset)).max() < 1e-4


def test_verify_batching_passes_and_explain_sums_up() -> None:
    context = [{"country": "x", "age": 1.0}, {"country": None, "age": 2.0}, {"country": "x", "age": None}]
    dataset = SequenceDataset.from_sequences(VISITS, LABELS, context=context)
    model = RNNClassifier.for_dataset(dataset, hidden_size=4, bidirectional=False, seed=0)
    assert verify_batching(model, dataset).passed
    assert verify_batching(model, VISITS, context=context).passed
    explanation = explain(model, VISITS[0], context=context[0])
    assert explanation.feature_scores is not None
    assert explanation.feature_scores.shape == (2, 2)
    assert abs(explanation.feature_scores.sum() - (explanation.logit - explanation.baseline_logit)) < 1e-3
    assert explanation.probability == pytest.approx(predict_proba(model, VISITS, context=context)[0].max(), abs=1e-6)


# ---- What records are read from ----


@pytest.mark.parametrize(
    "make",
    [
        lambda rows: {"page": [row["page"] for row in rows], "seconds": np.array([row["seconds"] for row in rows])},
        pd.DataFrame,
        pl.DataFrame,
        pa.Table.from_pylist,
        lambda rows: pd.DataFrame(rows).itertuples(index=False),
        lambda rows: np.array([(row["page"], row["seconds"]) for row in rows], [("page", "U9"), ("seconds", "f8")]),
        lambda rows: {"seconds": torch.tensor([row["seconds"] for row in rows]), "page": [row["page"] for row in rows]},
        lambda rows: pd.DataFrame(rows).astype({"page": "category"}),
    ],
)
def test_records_come_in_many_forms(make: Any) -> None:
    sequences = [make(rows) for rows in VISITS]
    sequences = [list(one) if hasattr(one, "__next__") else one for one in sequences]
    found = SequenceDataset.from_sequences(sequences, LABELS, fields=["page", "seconds"])
    assert found.fields == DATA.fields
    assert torch.equal(found.sequences.values, DATA.sequences.values)
    model = RNNClassifier.for_dataset(DATA, hidden_size=4, seed=0)
    assert np.array_equal(predict_proba(model, sequences), predict_proba(model, VISITS))


def test_plain_tuples_are_records_where_fields_are_named() -> None:
    rows = [[(row["page"], row["seconds"]) for row in sequence] for sequence in VISITS]
    found = SequenceDataset.from_sequences(rows, LABELS, fields={"page": "category", "seconds": "number"})
    assert found.fingerprint == DATA.fingerprint


def test_kinds_follow_from_types_or_from_what_is_said() -> None:
    rows = [[{"day": pd.Timestamp("2024-05-01"), "code": 7, "is_new": True, "gap": pd.Timedelta("2s")}]]
    found = SequenceDataset.from_sequences(rows, ["x"]).fields
    assert str(found) == "Fields(day (number), code (number), is_new (1 categories), gap (number))"
    said = SequenceDataset.from_sequences(rows, ["x"], fields={"code": "category"}).fields
    assert str(said) == "Fields(code (1 categories))"


def test_integers_that_are_called_codes_are_warned_of() -> None:
    rows = [[{"mcc": number % 5} for number in range(50)]] * 4
    with pytest.warns(SeqclfWarning, match="'mcc' holds 5 different integers, and is read as numbers"):
        SequenceDataset.from_sequences(rows, ["x", "y"] * 2)
    SequenceDataset.from_sequences(rows, ["x", "y"] * 2, fields={"mcc": "category"})


@pytest.mark.parametrize(
    ("sequences", "options", "message"),
    [
        ([[{"a": 1.0}], [{"b": 1.0}]], {}, r"must all have the fields \['a'\]; got \['b'\] \(sequence 1\)"),
        ([[{"a": 1.0}, {"b": 1.0}]], {}, r"got none of the name 'a' \(sequence 0, step 1\)"),
        ([[{"a": 1.0}, 3]], {}, r"must all have the fields \['a'\]; got int \(sequence 0, step 1\)"),
        ([{"a": [1.0, 2.0], "b": [1.0]}], {}, r"a value for each step; got {'a': 2, 'b': 1} values \(sequence 0\)"),
        ([{"a": [1.0, "x"]}], {}, "must hold numbers, or categories; got float, str for 'a'"),
        ([{"a": ["x", "y"]}], {"fields": {"a": "number"}}, r"'a' must hold numbers; got 'x' \(sequence 0, step 0\)"),
        ([{"a": [[1]]}], {}, r"got list for 'a' \(sequence 0, step 0\)"),
        ([{"a": ["x", None]}], {}, r"'a' must be known; got a missing one \(sequence 0, step 1\)"),
        ([{"a": [1.0, None]}], {}, r"must be finite numbers; got nan \(sequence 0, step 1, field 'a'\)"),
        ([{"a": [1.0, float("inf")]}], {"allow_missing": True}, r"got inf \(sequence 0, step 1, field 'a'\)"),
        ([{"a": [object()]}], {}, "categories must be strings, integers, bytes or dates"),
        ([{}], {}, "must have one field at least"),
        ([{"a": "xyz"}], {}, r"lists or arrays with a value for each step; got str for 'a' \(sequence 0\)"),
        ([{"a": 1}], {}, r"lists or arrays with a value for each step; got int for 'a' \(sequence 0\)"),
        ([{"a": np.zeros((2, 2))}], {}, r"got an array of shape \(2, 2\) for 'a' \(sequence 0\)"),
        ([[(1.0, 2.0)]], {"fields": ["a"]}, r"for each of the fields \['a'\]; got \(1.0, 2.0\) \(sequence 0, step 0\)"),
        ([{"a": [1.0]}], {"fields": ["b"]}, r"must have the field 'b'; got \['a'\] \(sequence 0\)"),
        ([[{"a": 1.0}], "text"], {}, "must be all of one kind"),
    ],
)
def test_records_that_cannot_be_read_are_refused(sequences: Any, options: Any, message: str) -> None:
    with pytest.raises(InvalidDataError, match=message):
        SequenceDataset.from_sequences(sequences, ["x"] * len(sequences), **options)


@pytest.mark.parametrize("wrong", ["a", [], ["a", "a"], [3], 3])
def test_fields_must_be_names(wrong: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="fields must be distinct names, or a mapping"):
        SequenceDataset.from_sequences(VISITS, LABELS, fields=wrong)


def test_fields_are_for_records(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="fields must be left alone for text; it is for records"):
        SequenceDataset.from_sequences(["ab"], ["x"], fields={"a": "number"})
    with pytest.raises(InvalidArgumentError, match="vocabulary must be None for records"):
        SequenceDataset.from_sequences(VISITS, LABELS, vocabulary=strategies.letters_dataset().vocabulary)
    model = RNNClassifier.for_dataset(DATA, hidden_size=4)
    with pytest.raises(InvalidDataError, match=r"must be records of \['page', 'seconds'\]; got text"):
        predict(model, ["ab"])
    letters = RNNClassifier.for_dataset(strategies.letters_dataset(), hidden_size=4)
    with pytest.raises(InvalidDataError, match="must be strings for a vocabulary of text; got Records"):
        predict(letters, VISITS)
    other = SequenceDataset.from_sequences(VISITS[:1], ["buys"], classes=DATA.classes)
    other = SequenceDataset.from_sequences([{"page": ["x"], "seconds": [1.0]}], ["buys"], classes=DATA.classes)
    with pytest.raises(InvalidDataError, match="dataset must have the model's fields"):
        evaluate(model, other)
    with pytest.raises(InvalidArgumentError, match="input_size must be the number of fields, 2; got 3"):
        RNNClassifier(2, input_size=3, fields=DATA.fields)
    with pytest.raises(InvalidArgumentError, match="fields must be those of a dataset; got list"):
        RNNClassifier(2, input_size=2, fields=["page"])
    with pytest.raises(InvalidArgumentError, match="fields must be settled to write records"):
        SequenceDataset.write(tmp_path / "store", zip(VISITS, LABELS, strict=True))
    with pytest.raises(InvalidDataError, match="fields must be those that seqclf wrote"):
        Fields.from_dict([{"name": "a"}])


def test_new_categories_are_unknown_and_say_nothing() -> None:
    model = RNNClassifier.for_dataset(DATA, hidden_size=4, seed=0)
    first, second = ([{"page": page, "seconds": 1.0}] for page in ("new", "newer"))
    assert np.array_equal(predict_proba(model, [first]), predict_proba(model, [second]))


def test_folders_keep_fields(tmp_path: Path) -> None:
    written = SequenceDataset.write(tmp_path / "store", zip(VISITS, LABELS, strict=True), fields=DATA.fields)
    assert written.fingerprint == DATA.fingerprint
    assert SequenceDataset.open(tmp_path / "store").fields == DATA.fields


def test_the_linear_baseline_sees_categories() -> None:
    rng = np.random.default_rng(0)
    records = [[{"kind": rng.choice(["a", "b"]).item(), "x": 0.0}] for _ in range(60)]
    data = SequenceDataset.from_sequences(records, [one[0]["kind"] for one in records])
    assert linear_baseline(data, data).accuracy == 1.0


# ---- Context ----


@pytest.mark.parametrize(
    "context",
    [
        [{"c": "a", "n": 1.0}, {"c": "b", "n": None}, {"c": None, "n": 3.0}],
        {"c": ["a", "b", None], "n": [1.0, np.nan, 3.0]},
        pd.DataFrame({"c": ["a", "b", None], "n": [1.0, np.nan, 3.0]}),
        pl.DataFrame({"c": ["a", "b", None], "n": [1.0, None, 3.0]}),
    ],
)
def test_context_comes_in_many_forms(context: Any) -> None:
    dataset = SequenceDataset.from_sequences(VISITS, LABELS, context=context)
    assert str(dataset.context_fields) == "Fields(c (3 categories), n (number))"
    rows = dataset.sequences.context
    assert rows is not None
    assert rows[:, 1].nan_to_num(nan=-1).tolist() == [1.0, -1.0, 3.0]
    train, _ = dataset[[2, 0]], None
    assert train.sequences.context is not None
    assert torch.equal(train.sequences.context.nan_to_num(), rows[[2, 0]].nan_to_num())


def test_arrays_of_context_are_numbers_by_column() -> None:
    dataset = SequenceDataset.from_sequences(VISITS, LABELS, context=np.eye(3))
    assert str(dataset.context_fields) == "Fields(0 (number), 1 (number), 2 (number))"


def test_sequences_that_differ_in_context_are_no_duplicates() -> None:
    dataset = SequenceDataset.from_sequences(["ab", "ab", "ab"], ["x", "y", "x"], context=np.array([1.0, 2.0, 1.0]))
    assert dataset.groups.tolist() == [0, 1, 0]


def test_context_can_decide() -> None:
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("ab"), 5)) for _ in range(200)]
    countries = rng.choice(["x", "y"], 200).tolist()
    labels = [f"{text[0]}{country}" for text, country in zip(texts, countries, strict=True)]
    data = SequenceDataset.from_sequences(texts, labels, context={"country": countries})
    model = RNNClassifier.for_dataset(data, hidden_size=16, seed=0)
    fit(model, data, epochs=30, progress=False)
    assert evaluate(model, data).accuracy > 0.97


def test_a_loader_of_torch_brings_context_along() -> None:
    dataset = SequenceDataset.from_sequences(VISITS, LABELS, context=np.array([1.0, 2.0, 3.0]))
    from torch.utils.data import DataLoader

    from seqclf import pack_collate, pad_collate

    for collate in (pad_collate, pack_collate):
        batch = next(iter(DataLoader(dataset, batch_size=3, collate_fn=collate)))
        assert batch.context.tolist() == [[1.0], [2.0], [3.0]]


def test_context_must_fit(tmp_path: Path) -> None:
    with_context = SequenceDataset.from_sequences(VISITS, LABELS, context=np.array([1.0, 2.0, 3.0]))
    model = RNNClassifier.for_dataset(with_context, hidden_size=4, bidirectional=False)
    plain = RNNClassifier.for_dataset(DATA, hidden_size=4, bidirectional=False)
    with pytest.raises(InvalidArgumentError, match="context must be a row for each sequence, with Fields"):
        predict(model, VISITS)
    with pytest.raises(InvalidArgumentError, match="context must be None, for this model; got some"):
        predict(plain, VISITS, context=np.zeros(3))
    with pytest.raises(InvalidArgumentError, match="context must be None beside a dataset"):
        predict(model, with_context, context=np.zeros(3))
    with pytest.raises(InvalidArgumentError, match=r"context must be a mapping with \['0'\] for this model"):
        model.stream()
    with pytest.raises(InvalidArgumentError, match="context must be None for this model"):
        plain.stream({"0": 1.0})
    batch = with_context.batch([0, 1])
    with pytest.raises(InvalidArgumentError, match=r"context must have the shape \(2, 1\), for \['0'\]; got None"):
        model(batch.inputs, batch.lengths)
    with pytest.raises(InvalidArgumentError, match="context must be None for a model without"):
        plain(batch.inputs, batch.lengths, context=batch.context)
    with pytest.raises(InvalidDataError, match="dataset must have the model's context_fields"):
        evaluate(plain, with_context)
    with pytest.raises(InvalidArgumentError, match="context must be given with context_fields"):
        SequenceDataset.from_sequences(VISITS, LABELS, context_fields=["a"])
    with pytest.raises(InvalidDataError, match="a row for each of the 3 sequences; got 2"):
        SequenceDataset.from_sequences(VISITS, LABELS, context=np.zeros(2))
    with pytest.raises(InvalidDataError, match="context must be a frame, a mapping of columns"):
        SequenceDataset.from_sequences(VISITS, LABELS, context="abc")
    with pytest.raises(InvalidDataError, match=r"a column for each of \['a'\]; got the shape \(3, 2\)"):
        SequenceDataset.from_sequences(VISITS, LABELS, context=np.zeros((3, 2)), context_fields=["a"])
    with pytest.raises(InvalidDataError, match=r"numbers that fit float32; got inf for '0' \(sequence 1\)"):
        SequenceDataset.from_sequences(VISITS, LABELS, context=np.array([1.0, np.inf, 2.0]))
    with pytest.raises(InvalidArgumentError, match="context must be None in a folder"):
        SequenceDataset.write(tmp_path / "store", zip(VISITS, LABELS, strict=True), context=np.zeros(3))


# ---- Several labels ----

SETS: list[Any] = [["x", "y"], [], ["y"]]


@pytest.mark.parametrize(
    ("labels", "options"),
    [
        (SETS, {}),
        ([set(one) for one in SETS], {}),
        ([tuple(one) for one in SETS], {}),
        (np.array([[1, 1], [0, 0], [0, 1]]), {"classes": ["x", "y"]}),
        (np.array([[1, 1], [0, 0], [0, 1]], dtype=bool), {"classes": ["x", "y"]}),
        (torch.tensor([[1.0, 1.0], [0.0, 0.0], [0.0, 1.0]]), {"classes": ["x", "y"]}),
        ([[1, 1], [0, 0], [0, 1]], {"classes": ["x", "y"]}),
        (pd.DataFrame({"x": [1, 0, 0], "y": [1, 0, 1]}), {}),
        (iter(SETS), {}),
    ],
)
def test_several_labels_come_in_many_forms(labels: Any, options: Any) -> None:
    dataset = SequenceDataset.from_sequences(["ab", "b", "a"], labels, multi_label=True, **options)
    assert dataset.classes == ("x", "y")
    assert dataset.labels.tolist() == [[1, 1], [0, 0], [0, 1]]
    assert dataset.batch([0]).labels.tolist() == [[1, 1]]


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        (
            ["x", "y", "x"],
            {},
            r"a list, tuple or set for each sequence, as multi_label is True; got 'x' \(sequence 0\)",
        ),
        ([[], [], []], {}, "must name one class at least"),
        ([["x"], ["z"], []], {"classes": ["x"]}, "labels must be among the 1 classes; got 'z'"),
        (np.array([[1, 2], [0, 0], [0, 1]]), {}, r"must hold 0 and 1; got 2 \(sequence 0, column 1\)"),
        (np.zeros((3, 2), int), {"classes": ["x"]}, "a column for each of the 1 classes; got 2"),
    ],
)
def test_labels_that_cannot_be_read_are_refused(labels: Any, options: Any, message: str) -> None:
    with pytest.raises(InvalidDataError, match=message):
        SequenceDataset.from_sequences(["ab", "b", "a"], labels, multi_label=True, **options)


def test_a_list_of_labels_asks_for_multi_label(tmp_path: Path) -> None:
    with pytest.raises(InvalidDataError, match="may have several labels, pass multi_label=True"):
        SequenceDataset.from_sequences(["ab", "b", "a"], SETS)
    pairs = zip(["ab", "b", "a"], SETS, strict=True)
    with pytest.raises(InvalidArgumentError, match="multi_label must be False in a folder"):
        SequenceDataset.write(tmp_path / "store", pairs, multi_label=True)


def several(count: int = 120, seed: int = 0) -> SequenceDataset:
    """Texts with a label for each letter that is there."""
    rng = np.random.default_rng(seed)
    texts = ["".join(rng.choice(list("abcdef"), rng.integers(1, 7))) for _ in range(count)]
    return SequenceDataset.from_sequences(
        texts, [[one for one in "abc" if one in text] for text in texts], multi_label=True
    )


def test_figures_are_those_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    data = several()
    model = RNNClassifier.for_dataset(data, hidden_size=8, seed=0)
    fit(model, data, epochs=4, progress=False)
    result = evaluate(model, data, metrics={"mean": lambda p, y: float((p - y).mean())})
    labels, predictions, probabilities = result.labels, result.predictions, result.probabilities
    assert probabilities is not None
    options = {"zero_division": 0}
    assert result.micro_f1 == pytest.approx(metrics.f1_score(labels, predictions, average="micro", **options))
    assert result.macro_f1 == pytest.approx(metrics.f1_score(labels, predictions, average="macro", **options))
    assert result.accuracy == pytest.approx(metrics.accuracy_score(labels, predictions))
    assert result.average_precision == pytest.approx(metrics.average_precision_score(labels, probabilities))
    clipped = probabilities.clip(1e-12, 1 - 1e-12)
    losses = [metrics.log_loss(labels[:, place], clipped[:, place], labels=[0, 1]) for place in range(3)]
    assert result.loss == pytest.approx(np.mean(losses))
    assert result.metrics["mean"] == pytest.approx(float((probabilities - labels).mean()))
    assert [row.support for row in result.per_class.values()] == labels.sum(0).tolist()
    low, high = (getattr(result.interval("micro_f1", resamples=50), end) for end in ("low", "high"))
    assert low <= result.micro_f1 <= high
    assert json.dumps(result.to_dict())
    assert "micro_f1" in repr(result)
    with pytest.raises(InvalidArgumentError, match="confusion_matrix must have one label for each sequence"):
        _ = result.confusion_matrix


def test_several_labels_are_learned_and_answered_as_tuples() -> None:
    data = several(300)
    model = RNNClassifier.for_dataset(data, hidden_size=32, seed=0)
    fit(model, data, progress=False)
    result = evaluate(model, data)
    assert result.micro_f1 > 0.95
    assert linear_baseline(data, data).micro_f1 > 0.9
    assert set(predict(model, ["abc"])[0]) <= {"a", "b", "c"}
    probabilities = predict_proba(model, ["abc", "fff"])
    assert probabilities[0].sum() > 1.5
    stream = RNNClassifier.for_dataset(data, hidden_size=4, bidirectional=False).stream()
    assert stream.push("a").shape == (3,)


def test_calibration_chooses_the_thresholds_with_the_best_f1() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    data = several()
    model = RNNClassifier.for_dataset(data, hidden_size=8, seed=0)
    fit(model, data, epochs=3, progress=False)
    before = evaluate(model, data)
    calibrate(model, data)
    after = evaluate(model, data)
    assert after.loss <= before.loss + 1e-6
    assert after.probabilities is not None
    for place, row in enumerate(after.per_class.values()):
        scores = after.probabilities[:, place]
        best = max(metrics.f1_score(after.labels[:, place], scores >= cut, zero_division=0) for cut in scores)
        assert row.f1 == pytest.approx(best)


@given(st.lists(st.sets(st.sampled_from("abc")), min_size=20, max_size=80), strategies.seeds)
def test_splits_keep_shares_of_each_label(sets: list[set[str]], seed: int) -> None:
    texts = [f"{number}" for number in range(len(sets))]
    data = SequenceDataset.from_sequences(texts, sets, multi_label=True, classes=list("abc"))
    train, test = data.split(0.25, seed=seed % 1000)
    assert len(train) + len(test) == len(data)
    assert len(test) == round(0.25 * len(data))
    for place in range(3):
        total = int(data.labels[:, place].sum())
        assert abs(int(test.labels[:, place].sum()) - 0.25 * total) <= 2 + 0.1 * total
        assert not total or int(train.labels[:, place].sum()) > 0


def test_weights_of_labels_and_what_is_not_there() -> None:
    data = several()
    model = RNNClassifier.for_dataset(data, hidden_size=4, seed=0)
    fit(model, data, epochs=2, class_weight="balanced", progress=False)
    with pytest.raises(InvalidArgumentError, match="must have one label for each sequence to adjust priors"):
        adjust_priors(model, trained_on=[1, 1, 1], expected=[1, 1, 1])
    with pytest.raises(InvalidArgumentError, match="datasets of a study must have one label for each sequence"):
        run_study(data, {"hidden_size": [4]}, progress=False)
    single = SequenceDataset.from_sequences(["ab"], ["a"], vocabulary=data.vocabulary, classes=data.classes)
    with pytest.raises(InvalidDataError, match="dataset must have multi_label=True, as the model; got False"):
        evaluate(model, single)
    result = evaluate(RNNClassifier.for_dataset(single), single)
    with pytest.raises(InvalidArgumentError, match="probabilities must be known to tell an average precision"):
        _ = result.average_precision
    assert result.micro_f1 == result.accuracy
    assert "majority" in str(data.report())


# ---- Splits by time, and intervals by person ----


@given(st.lists(st.integers(0, 20), min_size=6, max_size=60), st.sampled_from((0.2, 0.4, 2)))
def test_a_split_by_time_tests_on_the_last(times: list[int], size: float) -> None:
    data = SequenceDataset.from_sequences([f"{place}" for place in range(len(times))], ["x"] * len(times))
    try:
        train, validation, test = data.split(size, validation_size=size, order=times)
    except InvalidArgumentError as error:
        assert "must leave something on all sides" in str(error)  # noqa: PT017
        return
    assert len(train) + len(validation) + len(test) == len(data)
    assert data.vocabulary is not None
    kept = [[times[int("".join(data.vocabulary.decode(one)))] for one, _ in part] for part in (train, validation, test)]
    assert max(kept[0]) < min(kept[1])
    assert max(kept[1]) < min(kept[2])
    assert len(test) >= (size if isinstance(size, int) else round(size * len(data)))


def test_times_may_be_dates_and_must_be_known() -> None:
    data = SequenceDataset.from_sequences(["a", "b", "c", "d"], ["x", "y", "x", "y"])
    days = pd.to_datetime(["2024-03-01", "2024-01-01", "2024-04-01", "2024-02-01"])
    for order in (days, list(days), days.to_numpy(), [day.date() for day in days]):
        train, test = data.split(0.25, order=order)
        assert (test[0][0].tolist(), len(train)) == (data[2][0].tolist(), 3)
    for order, message in (
        ([1, 2], "order must be as many as sequences; got 2 for 4"),
        ([1, None, 2, 3], r"order must be known; got None \(sequence 1\)"),
        (["a", "b", "c", "d"], "order must hold numbers, or times; got 'a'"),
    ):
        with pytest.raises(InvalidArgumentError, match=message):
            data.split(0.25, order=order)
    with pytest.raises(InvalidArgumentError, match="groups must be None beside order"):
        data.split(0.25, order=[1, 2, 3, 4], groups=[1, 1, 2, 2])


def test_intervals_draw_whole_groups() -> None:
    data = SequenceDataset.from_sequences([f"{place}" for place in range(40)], ["x", "y"] * 20)
    model = RNNClassifier.for_dataset(data, hidden_size=4, seed=0)
    alone, by_person = evaluate(model, data), evaluate(model, data, groups=[place // 10 for place in range(40)])
    assert by_person.accuracy == alone.accuracy
    assert by_person.groups.tolist() == [place // 10 for place in range(40)]
    with pytest.raises(InvalidArgumentError, match="groups must be as many as sequences; got 1 for 40"):
        evaluate(model, data, groups=[1])


def test_the_estimator_takes_records_and_several_labels() -> None:
    pytest.importorskip("sklearn")
    from seqclf.sklearn import SequenceClassifier

    rows = [[(row["page"], row["seconds"]) for row in sequence] for sequence in VISITS] * 4
    found = SequenceClassifier(fields=["page", "seconds"], hidden_size=4, epochs=2).fit(rows, LABELS * 4)
    assert found.model_.fields == DATA.fields
    assert found.predict(rows).shape == (12,)
    data = several(60)
    assert data.vocabulary is not None
    texts = [data.vocabulary.decode(sequence) for sequence, _ in data]
    found = SequenceClassifier(hidden_size=8).fit(texts, data.labels.numpy())
    assert found.predict(texts).shape == (60, 3)
    assert found.score(texts, data.labels.numpy()) > 0.8
    with pytest.raises(InvalidArgumentError, match="tokenizer must be None for records; got one"):
        SequenceClassifier(fields=["page", "seconds"], tokenizer="words").fit(rows, LABELS * 4)


def test_one_hot_rows_in_lists_are_rows() -> None:
    dataset = SequenceDataset.from_sequences(["ab", "b"], [[1, 0], [0, 1]], multi_label=True)
    assert (dataset.classes, dataset.labels.tolist()) == ((0, 1), [[1, 0], [0, 1]])
    named = SequenceDataset.from_sequences(["ab", "b"], [[1, 2], [2, 3]], multi_label=True)
    assert (named.classes, named.labels.tolist()) == ((1, 2, 3), [[1, 1, 0], [0, 1, 1]])


def test_reports_compare_only_what_has_the_same_context() -> None:
    with_context = SequenceDataset.from_sequences(VISITS, LABELS, fields=DATA.fields, context=np.zeros(3))
    with pytest.raises(InvalidArgumentError, match="other must be encoded like this dataset"):
        DATA.report(with_context)


@pytest.mark.parametrize("options", [{"trailing_missing": "end"}, {"channels_first": True}])
def test_options_of_float_arrays_are_refused_for_records(options: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=f"{next(iter(options))} must be left alone for records"):
        SequenceDataset.from_sequences(VISITS, LABELS, **options)


@pytest.mark.parametrize(
    ("options", "pairs"),
    [
        ({"trailing_missing": "end"}, [("ab", 0), ("b", 1)]),
        ({"channels_first": True}, [(["a", "b"], 0), (["b"], 1)]),
        ({"fields": ["page"]}, [("ab", 0), ("b", 1)]),
        ({"fields": ["page"]}, [(np.ones((2, 1)), 0), (np.ones((3, 1)), 1)]),
    ],
)
def test_options_of_other_kinds_are_refused(options: Any, pairs: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=f"{next(iter(options))} must be left alone for"):
        SequenceDataset.from_pairs(pairs, **options)


def test_a_context_is_not_passed_over_for_one_text_alone() -> None:
    model = RNNClassifier.for_dataset(SequenceDataset.from_pairs([("ab", 0), ("b", 1)]))
    for answer in (predict, predict_proba):
        with pytest.raises(InvalidArgumentError, match="context must be None, for this model; got some"):
            answer(model, ["ab"], context={"age": [1.0]})


def test_letters_are_no_words() -> None:
    with pytest.raises(InvalidArgumentError, match=r"symbols must be a list beside a tokenizer, .* got 'abc'"):
        Vocabulary("abc", tokenizer="words")
