"""Laws 5 and 8: the batch size changes nothing, and there is one answer for each sequence, in order."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, f1_score, precision_recall_fscore_support
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from seqclf import Evaluation, RNNClassifier, SequenceDataset, Vocabulary, evaluate, metrics, predict, predict_proba
from seqclf.errors import InvalidArgumentError, InvalidDataError
from tests import reference, strategies


@given(strategies.models(features=False), strategies.id_sequences(), st.integers(1, 7), st.data())
def test_evaluation_does_not_depend_on_the_batch_size(
    model: RNNClassifier, sequences: list[Tensor], batch_size: int, data: st.DataObject
) -> None:
    labels = data.draw(st.lists(st.integers(0, 2), min_size=len(sequences), max_size=len(sequences)))
    vocabulary = Vocabulary(range(2, strategies.VOCAB_SIZE))
    tokens = [[5] if 1 in sequence else sequence.tolist() for sequence in sequences]
    dataset = SequenceDataset.from_sequences(tokens, labels, vocabulary=vocabulary, classes=[0, 1, 2])
    result = evaluate(model, dataset, batch_size=batch_size)
    expected = reference.logits(model, [dataset[index][0] for index in range(len(dataset))])
    assert result.loss == pytest.approx(float(cross_entropy(expected, torch.tensor(labels)).detach()), abs=1e-12)
    assert result.predictions.tolist() == expected.argmax(1).tolist()
    assert result.labels.tolist() == labels
    assert (result.n, result.confusion_matrix.sum()) == (len(labels), len(labels))


@given(strategies.models(features=True), strategies.feature_sequences(), st.integers(1, 7))
def test_one_answer_for_each_sequence_in_order(model: RNNClassifier, sequences: list[Tensor], batch_size: int) -> None:
    single = [sequence.float().double() for sequence in sequences]  # the store keeps float32
    expected = reference.logits(model, single).softmax(1).detach().numpy()
    probabilities = predict_proba(model, sequences, batch_size=batch_size)
    assert probabilities.shape == (len(sequences), 3)
    assert np.abs(probabilities - expected).max() <= 1e-12
    assert np.allclose(probabilities.sum(1), 1)
    assert predict(model, sequences, batch_size=batch_size) == expected.argmax(1).tolist()


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=40),
)
def test_metrics_are_those_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    labels, predictions = np.array(pairs).T
    result = Evaluation(np.zeros(len(labels)), labels, predictions, tuple("abcde"))
    assert (result.confusion_matrix == confusion_matrix(labels, predictions, labels=range(5))).all()
    assert result.accuracy == pytest.approx((labels == predictions).mean())
    assert result.macro_f1 == pytest.approx(f1_score(labels, predictions, average="macro", zero_division=0))
    rows = precision_recall_fscore_support(labels, predictions, labels=range(5), zero_division=0)
    for row, expected in zip(result.per_class.values(), zip(*rows, strict=True), strict=True):
        assert (row.precision, row.recall, row.f1, row.support) == pytest.approx(expected)
    assert result.majority == max(np.bincount(labels)) / len(labels)
    assert result.to_dict()["per_class"]["a"]["support"] == rows[3][0]


def test_an_evaluation_needs_data() -> None:
    with pytest.raises(InvalidDataError, match=r"dataset must hold at least one sequence; got none"):
        evaluate(tiny(), TEXTS.subset([]))
    with pytest.raises(InvalidArgumentError, match=r"dataset must be a SequenceDataset; got list"):
        evaluate(tiny(), [("ab", "x")])


TEXTS = strategies.letters_dataset(count=20)


def tiny(**options: Any) -> RNNClassifier:
    return RNNClassifier.for_dataset(TEXTS, hidden_size=4, seed=0, **options)


def test_labels_in_labels_out() -> None:
    model = tiny()
    answers = predict(model, ["abc", "c", "abc"])
    assert len(answers) == 3
    assert set(answers) <= {"a", "b", "c"}
    assert answers[0] == answers[2]
    assert predict(model, TEXTS) == predict(model, [TEXTS.vocabulary.decode(TEXTS[i][0]) for i in range(20)])
    assert predict(model, []) == []
    assert predict_proba(model, []).shape == (0, 3)
    assert predict_proba(model, [], batch_size=1).dtype == np.float32
    nameless = RNNClassifier(3, vocab_size=5, vocabulary=TEXTS.vocabulary, seed=0)
    assert set(predict(nameless, ["a", "b"])) <= {0, 1, 2}
    assert predict(RNNClassifier(3, input_size=2, seed=0), []) == []


def test_modes_and_gradients_are_as_before() -> None:
    model = tiny(dropout=0.9, num_layers=2)
    model.train()
    model.head.eval()
    assert (predict_proba(model, ["abc"]) == predict_proba(model, ["abc"])).all()
    assert model.training
    assert model.encoder.training
    assert not model.head.training
    evaluate(model, TEXTS)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.is_grad_enabled()

    class Failing(nn.Module):
        def forward(self, states: Tensor, lengths: Tensor) -> Tensor:
            raise RuntimeError("broken pooling")

    model = tiny(pooling=Failing())
    with pytest.raises(RuntimeError, match="broken pooling"):
        predict(model, ["a"])
    assert model.training


def test_an_untrained_model_is_worth_little() -> None:
    result = evaluate(tiny(), TEXTS)
    assert 0 <= result.accuracy <= 1
    assert repr(result).startswith("Evaluation(n=20, loss=")
    assert result.per_class["a"].support == int((TEXTS.labels == 0).sum())


@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        ("Satoshi", r"sequences must be a list, an array or a column, .*; got str\. Put a single one into a list"),
        (5, r"sequences must be a list, an array or a column, .*; got int"),
        (["a", ""], r"sequences must not be empty; got length 0 \(sequence 1\)"),
        (["a", ["b"]], r"all of one kind .*; got str \(sequence 0\) and list \(sequence 1\)"),
        ([np.ones((2, 3))], r"must be strings for a vocabulary of text; got ndarray"),
        (
            SequenceDataset.from_pairs([("q", "a")]),
            r"must be encoded with the model's vocabulary, .*; got Vocabulary\(3",
        ),
        (SequenceDataset.from_pairs([(np.ones((2, 3)), "a")]), r"must have the model's symbols; got 3 features a step"),
    ],
)
def test_bad_sequences(sequences: Any, message: str) -> None:
    with pytest.raises(InvalidDataError, match=message):
        predict(tiny(), sequences)


def test_bad_models_and_datasets() -> None:
    with pytest.raises(InvalidArgumentError, match=r"model must have a vocabulary to encode raw sequences; got none"):
        predict(RNNClassifier(3, vocab_size=5), ["a"])
    with pytest.raises(InvalidArgumentError, match=r"batch_size must be an integer of at least 1; got 0"):
        predict(tiny(), ["a"], batch_size=0)
    with pytest.raises(InvalidDataError, match=r"must have the model's classes, 4 classes; got \('a', 'b', 'c'\)"):
        evaluate(RNNClassifier(4, vocab_size=5), TEXTS)
    with pytest.raises(InvalidDataError, match=r"must all have 2 features; got shape \(1, 3\) \(sequence 0\)"):
        predict(RNNClassifier(3, input_size=2), [np.ones((1, 3))])
    with pytest.raises(InvalidDataError, match=r"features must be finite numbers; got nan \(sequence 1, step 0"):
        predict(RNNClassifier(3, input_size=1), [np.ones((1, 1)), np.full((1, 1), np.nan)])


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=30), st.sampled_from([1, 2, 10, 15]))
def test_the_calibration_error_is_a_loop_over_bins(pairs: list[tuple[float, bool]], bins: int) -> None:
    confidences = np.array([confidence for confidence, _ in pairs])
    hits = np.array([hit for _, hit in pairs])
    expected = 0.0
    for number in range(bins):
        inside = [(confidence, hit) for confidence, hit in pairs if min(int(confidence * bins), bins - 1) == number]
        if inside:
            gap = np.mean([hit for _, hit in inside]) - np.mean([confidence for confidence, _ in inside])
            expected += abs(gap) * len(inside) / len(pairs)
    labels = np.zeros(len(pairs), np.int64)
    result = Evaluation(np.ones(len(pairs)), labels, (~hits).astype(np.int64), ("a", "b"), confidences=confidences)
    assert result.calibration_error(bins) == pytest.approx(expected, abs=1e-12)


def test_classes_are_counted_by_weights() -> None:
    labels, predictions, weights = np.array([0, 0, 1]), np.array([0, 1, 1]), np.array([2.0, 0.5, 3.0])
    counts = metrics.count_classes(labels, predictions, 2, weights)
    assert [one.tolist() for one in (counts.hits, counts.predicted, counts.support)] == [[2, 3], [2, 3.5], [2.5, 3]]


def test_a_calibration_error_needs_confidences() -> None:
    result = Evaluation(np.ones(1), np.zeros(1, np.int64), np.zeros(1, np.int64), ("a",))
    with pytest.raises(InvalidArgumentError, match="confidences must be known to tell a calibration error; got None"):
        result.calibration_error()
    with pytest.raises(InvalidArgumentError, match="bins must be an integer of at least 1; got 0"):
        result.calibration_error(0)
    labels, sure = np.zeros(2, np.int64), np.array([0.5, np.nan])
    result = Evaluation(np.ones(2), labels, labels, ("a",), confidences=sure)
    with pytest.raises(InvalidArgumentError, match=r"confidences must be numbers; got nan \(sequence 1\)"):
        result.reliability()


def test_confidences_are_those_of_predict_proba() -> None:
    model = tiny()
    result = evaluate(model, TEXTS)
    assert result.confidences is not None
    assert np.allclose(result.confidences, predict_proba(model, TEXTS).max(1), atol=1e-6)
