"""Streams and prefixes: after each step, what predict_proba gives for the sequence up to there."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from seqclf import RNNClassifier, Vocabulary, predict_prefixes, predict_proba
from seqclf.errors import InvalidArgumentError, InvalidDataError
from seqclf.models.pooling import AttentionPooling, build_pooling
from tests import strategies

WORDS = ["abba", "b", "", "cab"]


def text_model(**options: Any) -> RNNClassifier:
    defaults = {"vocab_size": 4, "vocabulary": Vocabulary("ab"), "hidden_size": 5, "seed": 0}
    return RNNClassifier(3, **(defaults | options)).double().eval()


forward_models = strategies.models().filter(lambda model: not model.bidirectional and model.pooling_names)


@given(forward_models, st.data())
def test_a_stream_gives_what_predict_proba_gives_for_the_prefix(model: RNNClassifier, data: st.DataObject) -> None:
    strategy = strategies.id_sequences(2) if model.input_size is None else strategies.feature_sequences(2)
    sequence = data.draw(strategy)[0]
    stream = model.stream()
    for length in range(1, len(sequence) + 1):
        step = sequence[length - 1]
        found = stream.push(int(step) if model.input_size is None else step.numpy())
        expected = model(sequence[None, :length], torch.tensor([length])).softmax(1)[0]
        assert np.allclose(found, expected.detach().numpy(), rtol=0, atol=1e-12)
        assert stream.length == length


@given(forward_models, st.data())
def test_prefixes_come_in_one_pass(model: RNNClassifier, data: st.DataObject) -> None:
    sequences = data.draw(strategies.id_sequences() if model.input_size is None else strategies.feature_sequences())
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    padded = nn.utils.rnn.pad_sequence(sequences, batch_first=True)
    logits = model.prefix_logits(padded, lengths)
    for row, sequence in enumerate(sequences):
        for length in range(1, len(sequence) + 1):
            expected = model(sequence[None, :length], torch.tensor([length]))[0]
            assert (logits[row, length - 1] - expected).abs().max() <= 1e-12


@pytest.mark.parametrize("pooling", strategies.POOLINGS)
def test_predict_prefixes_keeps_the_order_and_every_length(pooling: Any) -> None:
    model = text_model(pooling=pooling, empty="zero")
    curves = predict_prefixes(model, WORDS, batch_size=2)
    assert [curve.shape for curve in curves] == [(4, 3), (1, 3), (0, 3), (3, 3)]
    for word, curve in zip(WORDS, curves, strict=True):
        prefixes = [word[:length] for length in range(1, len(word) + 1)]
        assert np.allclose(curve, predict_proba(model, prefixes), rtol=0, atol=1e-12)


def test_a_stream_can_start_again() -> None:
    stream = text_model().stream()
    first = [stream.push(symbol) for symbol in "ab"]
    assert repr(stream) == "Stream(2 steps read)"
    stream.reset()
    assert np.array_equal([stream.push(symbol) for symbol in "ab"], first)


def test_a_stream_drops_nothing_and_leaves_the_mode() -> None:
    model = text_model(dropout=0.5, input_dropout=0.5, num_layers=2).train()
    probabilities = model.stream().push("a")
    assert model.training
    assert np.allclose(probabilities, predict_proba(model, ["a"])[0], rtol=0, atol=1e-12)


def test_tokens_stream_one_by_one() -> None:
    model = text_model(vocabulary=Vocabulary(["to", "be"]))
    stream = model.stream()
    stream.push("to")
    assert np.allclose(stream.push("never seen"), predict_proba(model, [["to", "?"]])[0], rtol=0, atol=1e-12)


def test_attention_over_prefixes_loses_no_early_state_to_a_late_score() -> None:
    """Where one softmax over all steps would give 0 / 0 for the first prefixes."""
    pooling = AttentionPooling(1)
    with torch.no_grad():
        pooling.hidden.weight.fill_(1.0)
        pooling.hidden.bias.zero_()
        pooling.context.weight.fill_(1000.0)
    states = torch.tensor([[[-1.0], [-0.5], [1.0]]])
    prefixes, _ = pooling.prefixes(states)
    assert torch.allclose(prefixes, states)


class OwnPooling(nn.Module):
    def forward(self, states: Tensor, lengths: Tensor) -> Tensor:
        return states.sum(1)


def test_what_cannot_stream_says_so() -> None:
    with pytest.raises(InvalidArgumentError, match=r"bidirectional must be False to classify prefixes .*; got True"):
        text_model(bidirectional=True).stream()
    with pytest.raises(InvalidArgumentError, match=r"pooling must have a method prefixes .*; got OwnPooling"):
        predict_prefixes(text_model(pooling=OwnPooling()), ["a"])


@pytest.mark.parametrize("step", ["ab", "", 5])
def test_wrong_symbols_are_refused(step: Any) -> None:
    with pytest.raises(InvalidDataError):
        text_model().stream().push(step)
    with pytest.raises(InvalidDataError, match=r"step must be one symbol .*; got 'ab' \(step 0\)"):
        text_model().stream().push("ab")


@pytest.mark.parametrize("missing", ["mean", "forward", "indicator"])
def test_rows_with_gaps_stream_from_one_buffer(missing: Any) -> None:
    """Each row is read before the next comes in the same memory, as a sensor's buffer does it."""
    rows = np.array([[np.nan, 1.0], [2.0, np.nan], [np.nan, np.nan], [4.0, 5.0]], dtype=np.float32)
    model = RNNClassifier(2, input_size=2, missing=missing, standardize=True, hidden_size=4, seed=0)
    stream, buffer = model.stream(), np.empty(2, dtype=np.float32)
    for length, row in enumerate(rows, start=1):
        buffer[:] = row
        assert np.allclose(stream.push(buffer), predict_proba(model, [rows[:length]])[0], atol=1e-6)


def test_wrong_ids_and_rows_are_refused() -> None:
    ids = RNNClassifier(2, vocab_size=4)
    with pytest.raises(InvalidDataError, match=r"step must be one symbol .*; got 4 \(step 0\)"):
        ids.stream().push(4)
    rows = RNNClassifier(2, input_size=2).stream()
    rows.push([0.0, 1.0])
    with pytest.raises(
        InvalidDataError, match=r"step must be a row of 2 features; got \[0\.0, 1\.0, 2\.0\] \(step 1\)"
    ):
        rows.push([0.0, 1.0, 2.0])
    with pytest.raises(InvalidDataError, match=r"step must be a row of 2 features; got 'a' \(step 1\)"):
        rows.push("a")
    with pytest.raises(InvalidDataError, match=r"features must be finite numbers; got .*nan.* \(step 1\)"):
        rows.push([0.0, float("nan")])


@given(
    st.sampled_from(["last", "mean", "max", "attention", ("mean", "attention", "max")]),
    st.lists(st.integers(1, 4), min_size=1, max_size=4),
)
def test_poolings_carry_on_from_any_step(pooling: Any, parts: list[int]) -> None:
    names = (pooling,) if isinstance(pooling, str) else pooling
    torch.manual_seed(0)
    module: Any = build_pooling(names, 6, bidirectional=False).double()
    states = torch.randn(2, sum(parts), 6, dtype=torch.float64)
    expected = torch.stack(
        [module(states[:, : end + 1], torch.full((2,), end + 1)) for end in range(sum(parts))], dim=1
    )
    carry, found = None, []
    for part in torch.split(states, parts, dim=1):
        pooled, carry = module.prefixes(part, carry)
        found.append(pooled)
    assert torch.allclose(torch.cat(found, dim=1), expected, atol=1e-12)
