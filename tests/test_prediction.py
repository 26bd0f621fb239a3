"""Prediction: many sequences, one at a time, and streams in bounded memory, all with the same answers."""

from collections.abc import Iterator
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from seqclf import Predictor, RNNClassifier, SequenceDataset, Vocabulary, embed, predict, predict_proba
from seqclf.errors import InvalidArgumentError, InvalidDataError
from tests import strategies
from tests.reference import logits

LETTERS = Vocabulary("abc")
letters = st.text("abc", min_size=1, max_size=6)
many_texts = st.lists(letters, min_size=1, max_size=60)
CELLS = strategies.BUILT_IN_CELLS


def make(**options: Any) -> RNNClassifier:
    """Make a small float64 model over the letters."""
    options = {"cell": "gru", "hidden_size": 3, "seed": 0, **options}
    return RNNClassifier(3, vocab_size=len(LETTERS), vocabulary=LETTERS, embedding_dim=3, **options).double().eval()


@st.composite
def models(draw: st.DrawFn, poolings: tuple[Any, ...] = ("last",)) -> RNNClassifier:
    """Such a model of any built-in cell."""
    return make(
        cell=draw(st.sampled_from(CELLS)),
        num_layers=draw(st.integers(1, 2)),
        bidirectional=draw(st.booleans()),
        hidden_size=draw(st.integers(1, 4)),
        pooling=draw(st.sampled_from(poolings)),
        seed=draw(strategies.seeds),
    )


def one_at_a_time(model: RNNClassifier, texts: list[str]) -> Tensor:
    """Return what the for-loop gives for each text by itself."""
    with torch.no_grad():
        return logits(model, [LETTERS.encode(text) for text in texts])


@given(models(poolings=("last", "mean", ("attention", "max"))), many_texts, st.integers(1, 7))
def test_predict_and_predictor_give_the_answers_of_one_sequence_at_a_time(
    model: RNNClassifier, texts: list[str], block: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("seqclf.inference.logits._BLOCK_SEQUENCES", block)
        found = predict_proba(model, texts)
    predictor, expected = Predictor(model), one_at_a_time(model, texts)
    np.testing.assert_allclose(found, expected.softmax(1).numpy(), rtol=1e-9, atol=1e-12)
    assert np.array_equal(found, np.stack([predictor.predict_proba(text) for text in texts]))
    assert np.array_equal(found, np.concatenate([predict_proba(model, [text]) for text in texts]))
    assert [predict(model, [text]) for text in texts] == [[label] for label in predict(model, texts)]
    assert [predictor.predict(text) for text in texts] == predict(model, texts) == found.argmax(1).tolist()


@given(
    st.sampled_from(CELLS),
    st.integers(1, 2),
    st.booleans(),
    st.sampled_from(["mean", "forward", "indicator"]),
    st.sampled_from(["last", "max", "attention"]),
    st.lists(st.integers(1, 5), min_size=1, max_size=4),
    strategies.seeds,
)
def test_a_predictor_of_features_gives_the_bits_of_predict_proba(
    cell: Any, num_layers: int, bidirectional: bool, missing: Any, pooling: Any, lengths: list[int], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    sequences = [np.where(rng.random((length, 2)) < 0.2, np.nan, rng.normal(5, 3, (length, 2))) for length in lengths]
    dataset = SequenceDataset.from_sequences(sequences, [0] * len(lengths), classes=[0, 1], allow_missing=True)
    options: Any = {"num_layers": num_layers, "bidirectional": bidirectional, "standardize": True, "missing": missing}
    model = RNNClassifier.for_dataset(dataset, cell=cell, hidden_size=3, pooling=pooling, seed=seed, **options)
    predictor = Predictor(model)
    for sequence, expected in zip(sequences, predict_proba(model, sequences), strict=True):
        assert np.array_equal(predictor.predict_proba(sequence), expected)


def test_a_table_of_all_symbols_is_left_out_where_it_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    model, texts = make(num_layers=2), ["abc", "ab", "c"]
    expected = Predictor(model)
    monkeypatch.setattr("seqclf.inference.predictor._MOST_TABLE_NUMBERS", 1)
    found = Predictor(model)
    for text in texts:
        assert np.array_equal(found.predict_proba(text), expected.predict_proba(text))


def _projected(model: RNNClassifier) -> None:
    model.encoder = nn.LSTM(3, 4, proj_size=3, batch_first=True, dtype=torch.float64)


def _unbiased(model: RNNClassifier) -> None:
    model.encoder = nn.GRU(3, 3, bias=False, batch_first=True, dtype=torch.float64)


def _unbiased_head(model: RNNClassifier) -> None:
    model.head = nn.Linear(3, 3, bias=False, dtype=torch.float64)


def _deep_head(model: RNNClassifier) -> None:
    class Squashed(nn.Linear):
        def forward(self, pooled: Tensor) -> Tensor:
            return torch.tanh(super().forward(pooled))

    model.head = Squashed(3, 3, dtype=torch.float64)


class GradientPooling(nn.Module):
    """Needs a gradient to pool."""

    def forward(self, states: Tensor, lengths: Tensor) -> Tensor:
        with torch.enable_grad():
            own = states.detach().clone().requires_grad_()
            (gradient,) = torch.autograd.grad(own.square().sum(), own)
        return gradient.sum(1)


def _own_pooling(model: RNNClassifier) -> None:
    model.pooling = GradientPooling()
    model.pooling_names = ()


@pytest.mark.parametrize("pooling", ["last", "mean"])
@pytest.mark.parametrize("change", [_projected, _unbiased, _unbiased_head, _deep_head, _own_pooling])
def test_models_with_other_parts_are_answered_as_they_are(change: Any, pooling: Any) -> None:
    model = make(pooling=pooling)
    change(model.eval())
    np.testing.assert_allclose(Predictor(model).predict_proba("abc"), predict_proba(model, ["abc"])[0], rtol=1e-9)


@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_numbers_without_bound_warn_no_more_than_in_a_batch(pooling: Any) -> None:
    model = make(cell="rnn_relu", pooling=pooling, empty="skip").float()
    with torch.no_grad():
        for weight in model.encoder.parameters():
            weight.fill_(30.0)
    assert np.isnan(Predictor(model).predict_proba("abc" * 60)).all()
    assert np.isnan(predict_proba(model, ["abc" * 60])).all()
    assert Predictor(model).predict("abc" * 60) == predict(model, ["abc" * 60])[0]
    assert Predictor(model).predict("") is None


@pytest.mark.parametrize("policy", ["zero", "skip"])
def test_empty_sequences(policy: Any) -> None:
    model = make(empty=policy, classes=["x", "y", "z"])
    texts = ["ab", "", "ab", "a", ""] * 3
    predictor = Predictor(model)
    labels = predict(model, texts)
    assert [predictor.predict(text) for text in texts] == labels
    assert list(predictor.predict_iter(texts, chunk_size=2)) == labels
    assert (labels[1] is None) == (policy == "skip")
    found = np.stack([predictor.predict_proba(text) for text in texts])
    np.testing.assert_allclose(found, predict_proba(model, texts), equal_nan=True)


def test_a_stream_is_taken_a_chunk_at_a_time() -> None:
    model = make()
    taken = 0

    def endless() -> Iterator[str]:
        nonlocal taken
        while True:
            taken += 1
            yield "abc"[: 1 + taken % 3]

    predictor = Predictor(model)
    stream = predictor.predict_iter(endless(), chunk_size=5)
    assert next(stream) == predictor.predict("ab")
    assert taken == 5
    assert [next(stream) for _ in range(5)] == predict(model, ["abc", "a", "ab", "abc", "a"])
    assert taken == 10
    probabilities = predictor.predict_proba_iter(iter(["a", "b"]), chunk_size=1)
    np.testing.assert_allclose(np.stack(list(probabilities)), predict_proba(model, ["a", "b"]))


def test_a_predictor_keeps_the_weights_that_it_was_made_with() -> None:
    model = make()
    predictor, before = Predictor(model), predict_proba(model, ["abc"])[0]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    np.testing.assert_allclose(predictor.predict_proba("abc"), before)
    assert not np.allclose(predict_proba(model, ["abc"])[0], before)


def test_float_sequences() -> None:
    model = RNNClassifier(3, input_size=2, hidden_size=4, seed=0).double()
    sequences = [np.ones((3, 2)), np.zeros((1, 2))]
    predictor = Predictor(model)
    np.testing.assert_allclose(predictor.predict_proba(sequences[0]), predict_proba(model, sequences)[0])
    assert list(predictor.predict_iter(sequences)) == predict(model, sequences)
    assert repr(predictor) == "Predictor(3 classes, compiled)"


def test_tokens_and_the_repr() -> None:
    words = Vocabulary(["to", "be"])
    model = RNNClassifier(2, vocab_size=len(words), vocabulary=words, hidden_size=4, seed=0)
    predictor = Predictor(model)
    assert predictor.predict(["to", "be", "or"]) == predict(model, [["to", "be", "or"]])[0]
    assert repr(predictor) == "Predictor(2 classes, compiled)"
    with pytest.raises(InvalidDataError, match=r"symbols other than floats; got .* \(sequence 0, position 0\)"):
        predictor.predict([0.5])
    with pytest.raises(InvalidDataError, match=r"symbols must be hashable; got list \(sequence 0, position 1\)"):
        predictor.predict(["to", ["be"]])


def test_errors() -> None:
    model = make()
    predictor = Predictor(model)
    with pytest.raises(InvalidDataError, match=r"must be strings, lists of symbols, .*; got int \(sequence 0\)"):
        predictor.predict(3)
    with pytest.raises(InvalidDataError, match=r"must not be empty; got length 0 \(sequence 0\)"):
        predictor.predict("")
    with pytest.raises(InvalidDataError, match=r"got length 0 \(sequence 1\).*Counted from sequence 2 of the stream"):
        list(predictor.predict_iter(["a", "b", "c", ""], chunk_size=2))
    with pytest.raises(InvalidArgumentError, match="chunk_size must be an integer of at least 1; got 0"):
        next(predictor.predict_iter(["a"], chunk_size=0))
    with pytest.raises(InvalidArgumentError, match="model must have a vocabulary to encode raw sequences"):
        Predictor(RNNClassifier(2, vocab_size=4))
    with torch.no_grad():
        model.embedding = nn.Embedding(2, 3, padding_idx=0, dtype=torch.float64)
    with pytest.raises(InvalidDataError, match="ids must be from 0 to 1; got others"):
        predict(model, ["abc"] * 5)
    with pytest.raises(InvalidDataError, match="ids must be from 0 to 1; got others"):
        Predictor(model).predict("abc")


def test_strict_vocabularies_refuse_single_symbols_alike() -> None:
    strict = Vocabulary("ab", strict=True)
    with pytest.raises(InvalidDataError, match=r"is strict; got 'c' \(sequence 0, position 1\)"):
        strict.to_ids("bc")


@given(st.text(max_size=8))
def test_ids_of_one_text_are_those_of_encode(text: str) -> None:
    assert LETTERS.to_ids(text) == LETTERS.encode(text).tolist()


@pytest.mark.parametrize("length", [1, 64, 65, 300])
def test_a_text_is_encoded_once_however_long(length: int) -> None:
    model = make(cell="lstm", pooling="mean")
    text = "abc" * length
    predictor = Predictor(model)
    with (
        mock.patch.object(Vocabulary, "to_plain_ids", autospec=True, side_effect=Vocabulary.to_plain_ids) as one,
        mock.patch.object(Vocabulary, "encode_plain", autospec=True, side_effect=Vocabulary.encode_plain) as many,
    ):
        found = predictor.predict_proba(text)
    assert one.call_count + many.call_count == 1
    np.testing.assert_allclose(found, predict_proba(model, [text])[0])


@given(strategies.models(), st.data())
def test_vectors_are_what_the_head_reads(model: RNNClassifier, data: st.DataObject) -> None:
    draw = strategies.id_sequences() if model.input_size is None else strategies.feature_sequences()
    sequences: list[Any] = data.draw(draw)
    if model.input_size is None:
        assert model.vocab_size is not None
        model.vocabulary = Vocabulary([str(number) for number in range(2, model.vocab_size)])
        sequences = [[str(int(one)) for one in ids if one > 1] or ["2"] for ids in sequences]
    vectors = torch.from_numpy(embed(model, sequences))
    logits = torch.nn.functional.linear(vectors, model.head.weight, model.head.bias).detach()
    expected = np.log(predict_proba(model, sequences))
    assert np.allclose(logits.log_softmax(1).numpy(), expected, atol=1e-9)
    alone = np.concatenate([embed(model, [sequence]) for sequence in sequences])
    same_bits = model.plan_inference(torch.ones(1, dtype=torch.int64)).scope == "classifier"
    assert np.array_equal(alone, vectors.numpy()) if same_bits else np.allclose(alone, vectors.numpy())


def test_vectors_of_empty_sequences() -> None:
    for empty, expected in (("zero", 0.0), ("skip", np.nan)):
        model = RNNClassifier(2, vocab_size=4, vocabulary=Vocabulary("ab"), hidden_size=3, empty=empty, seed=0)
        assert np.array_equal(embed(model, ["", "a"])[0], [expected] * 3, equal_nan=True)
        assert embed(model, [""]).shape == (1, 3)
        assert predict(model, ["", "a"], top=1)[0] is None if empty == "skip" else True


def test_the_likeliest_labels_come_with_their_probabilities() -> None:
    model = RNNClassifier(3, vocab_size=4, vocabulary=Vocabulary("ab"), classes=["x", "y", "z"], seed=0)
    rows = predict_proba(model, ["ab", "b"])
    for answers, row, best in zip(predict(model, ["ab", "b"], top=2), rows, predict(model, ["ab", "b"]), strict=True):
        assert answers[0] == (best, row.max())
        assert [probability for _, probability in answers] == sorted(row.tolist())[:0:-1]
    assert len(predict(model, ["a"], top=9)[0]) == 3
    with pytest.raises(InvalidArgumentError, match="top must be an integer of at least 1"):
        predict(model, ["a"], top=0)
