"""calibrate finds the best temperature; adjust_priors multiplies probabilities by the ratio of frequencies."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqclf import RNNClassifier, SequenceDataset, adjust_priors, calibrate, evaluate, fit, predict_proba
from seqclf.defaults import PLAIN
from seqclf.errors import InvalidArgumentError, InvalidDataError
from tests import strategies

DATA = strategies.letters_dataset(count=30)
frequencies = st.lists(st.floats(0.01, 100), min_size=3, max_size=3)


@given(st.floats(0.1, 5.0), strategies.seeds)
def test_the_temperature_is_the_best_there_is(sharpness: float, seed: int) -> None:
    model = RNNClassifier.for_dataset(DATA, hidden_size=4, seed=seed).double()
    with torch.no_grad():
        model.head.weight.mul_(sharpness * 10)
    before, least = evaluate(model, DATA), cautious_loss(model)
    temperature = calibrate(model, DATA)
    after = cautious_loss(model)
    assert after <= least + 1e-9
    assert (evaluate(model, DATA).predictions == before.predictions).all()
    weight, bias = model.head.weight.clone(), model.head.bias.clone()
    for factor in (0.9, 1.1):  # a little more or less is worse
        with torch.no_grad():
            model.head.weight.copy_(weight / factor)
            model.head.bias.copy_(bias / factor)
        assert temperature < 0.06 or temperature > 19 or cautious_loss(model) >= after


def cautious_loss(model: RNNClassifier) -> float:
    """Return the mean cross-entropy with targets of which n + 1 in n + 2 are the label, by a loop."""
    n, total = len(DATA), 0.0
    for row, label in zip(predict_proba(model, DATA), DATA.labels.tolist(), strict=True):
        for index, probability in enumerate(row):
            share = (n + 1) / (n + 2) if index == label else 1 / (n + 2) / (len(row) - 1)
            total -= share * np.log(probability) / n
    return total


@pytest.mark.parametrize("count", [1, 4, 40])
def test_few_right_answers_make_no_model_certain(count: int) -> None:
    data = SequenceDataset.from_pairs([("a", "x"), ("b", "y")] * count)
    model = RNNClassifier.for_dataset(data, hidden_size=8, seed=0, **PLAIN).double()
    fit(model, data, epochs=60 // count + 10, batch_size=2, progress=False)
    assert evaluate(model, data).accuracy == 1
    with torch.no_grad():
        model.head.weight.mul_(3)
        model.head.bias.mul_(3)
    calibrate(model, data)
    assert predict_proba(model, data).max(1).mean() == pytest.approx(1 - 1 / (2 * count + 2), abs=0.005)


def test_a_calibrated_model_needs_no_calibration() -> None:
    """Labels that are right seven times in ten have a best temperature, which makes the model seven tenths sure."""
    pairs = [("a", "x")] * 7 + [("a", "y")] * 3 + [("b", "y")] * 7 + [("b", "x")] * 3
    data = SequenceDataset.from_pairs(pairs)
    model = RNNClassifier.for_dataset(data, hidden_size=4, seed=0).double()
    fit(model, data, epochs=40, batch_size=20, progress=False)
    with torch.no_grad():
        model.head.weight.mul_(4)
        model.head.bias.mul_(4)
    assert calibrate(model, data) > 2
    assert calibrate(model, data) == pytest.approx(1.0, abs=1e-3)
    assert predict_proba(model, ["a"])[0] == pytest.approx([0.7, 0.3], abs=0.02)
    with pytest.raises(InvalidDataError, match=r"must have the model's classes"):
        calibrate(model, SequenceDataset.from_pairs([("a", "other")], vocabulary=data.vocabulary))


@given(frequencies, frequencies, strategies.seeds)
def test_probabilities_follow_the_ratio(trained_on: list[float], expected: list[float], seed: int) -> None:
    model = RNNClassifier.for_dataset(DATA, hidden_size=4, seed=seed).double()
    before = predict_proba(model, DATA)
    adjust_priors(model, trained_on=trained_on, expected=expected)
    wanted = before * (np.array(expected) / np.array(trained_on))
    assert np.allclose(predict_proba(model, DATA), wanted / wanted.sum(1, keepdims=True), atol=1e-12)
    adjust_priors(model, trained_on=expected, expected=trained_on)
    assert np.allclose(predict_proba(model, DATA), before, atol=1e-12)


def test_datasets_give_their_class_counts() -> None:
    first, second = (RNNClassifier.for_dataset(DATA, hidden_size=4, seed=0) for _ in range(2))
    adjust_priors(first, trained_on=DATA, expected=[1, 1, 1])
    adjust_priors(second, trained_on=torch.bincount(DATA.labels), expected=torch.ones(3))
    assert torch.equal(first.head.bias, second.head.bias)


@pytest.mark.parametrize("wrong", [[1.0, 2.0], [1.0, 0.0, 2.0], [1.0, float("inf"), 2.0]])
def test_bad_frequencies(wrong: list[float]) -> None:
    model = RNNClassifier.for_dataset(DATA)
    with pytest.raises(InvalidArgumentError, match=r"trained_on must give 3 finite frequencies above 0"):
        adjust_priors(model, trained_on=wrong, expected=[1, 1, 1])
    with pytest.raises(InvalidArgumentError, match=r"expected must give 3 finite frequencies above 0"):
        adjust_priors(model, trained_on=[1, 1, 1], expected=wrong)
