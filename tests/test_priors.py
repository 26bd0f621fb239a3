"""adjust_priors: probabilities times the ratio of frequencies, and back again."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqclf import InvalidArgumentError, RNNClassifier, adjust_priors, predict_proba
from tests import strategies

DATA = strategies.letters_dataset(count=30)
frequencies = st.lists(st.floats(0.01, 100), min_size=3, max_size=3)


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
