"""Intervals and paired tests: held against exact laws, brute force and simulation."""

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqclf import Evaluation, compare
from seqclf.errors import InvalidArgumentError
from seqclf.training.compare import _sign_flip_test
from seqclf.training.interval import Interval, bootstrap, student_t


def evaluation(hits: Any, groups: Any = None) -> Evaluation:
    """Make an evaluation of two classes whose hits are given."""
    hits = np.asarray(hits, dtype=bool)
    labels = np.zeros(len(hits), dtype=np.int64)
    return Evaluation(np.where(hits, 0.1, 2.0), labels, (~hits).astype(np.int64), ("cat", "dog"), groups)


def test_the_interval_of_an_accuracy_has_the_width_of_its_binomial_law() -> None:
    hits = np.arange(400) < 320
    interval = evaluation(hits).interval("accuracy", resamples=4000)
    spread = 1.96 * np.sqrt(0.8 * 0.2 / 400)
    assert interval.value == 0.8
    assert interval.low == pytest.approx(0.8 - spread, abs=0.006)
    assert interval.high == pytest.approx(0.8 + spread, abs=0.006)


def test_the_interval_holds_the_true_accuracy_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    held = 0
    for trial in range(300):
        interval = evaluation(generator.random(120) < 0.7).interval("accuracy", level=0.9, resamples=300, seed=trial)
        held += interval.low <= 0.7 <= interval.high
    assert 0.85 <= held / 300 <= 0.95


def test_copies_of_one_sequence_are_one_observation() -> None:
    hits = np.repeat(np.arange(40) < 32, 10)
    alone = evaluation(np.arange(40) < 32).interval(seed=1)
    copied = evaluation(hits, np.repeat(np.arange(40), 10)).interval(seed=1)
    naive = evaluation(hits).interval(seed=1)
    assert (copied.low, copied.high) == (alone.low, alone.high)
    assert naive.high - naive.low < 0.5 * (copied.high - copied.low)


@given(st.lists(st.booleans(), min_size=1, max_size=30), st.sampled_from(["accuracy", "loss", "macro_f1"]))
def test_every_measure_has_an_interval_around_its_value(hits: list[bool], measure: Any) -> None:
    result = evaluation(hits)
    interval = result.interval(measure, resamples=50)
    assert interval.value == pytest.approx(getattr(result, measure))
    assert interval.low <= interval.high
    if len(set(hits)) == 1 and measure != "accuracy":
        assert interval.low == pytest.approx(interval.high) == pytest.approx(interval.value)


def test_an_interval_is_the_same_for_the_same_seed() -> None:
    result = evaluation([True, False, True, True])
    assert result.interval(seed=3) == result.interval(seed=3)
    assert repr(Interval(0.5, 0.25, 0.75, 0.9)) == "Interval(0.5000, 90 %: 0.2500 to 0.7500)"


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=9))
def test_the_sign_flip_test_counts_all_ways_to_flip(gains: list[int]) -> None:
    total = abs(sum(gains))
    flips = itertools.product([1, -1], repeat=len(gains))
    far = [abs(sum(sign * gain for sign, gain in zip(signs, gains, strict=True))) >= total for signs in flips]
    assert _sign_flip_test(np.array(gains)) == pytest.approx(min(1.0, np.mean(far)))


@pytest.mark.parametrize(
    ("first_only", "second_only", "expected"), [(10, 10, 1.0), (1, 9, 0.021484375), (0, 5, 0.0625)]
)
def test_without_duplicates_it_is_mcnemars_exact_test(first_only: int, second_only: int, expected: float) -> None:
    first = evaluation([True] * first_only + [False] * second_only + [True] * 50)
    second = evaluation([False] * first_only + [True] * second_only + [True] * 50)
    result = compare(first, second)
    assert (result.only_first_right, result.only_second_right) == (first_only, second_only)
    assert result.p_value == pytest.approx(expected)  # from the binomial law with p = 1/2, both tails
    assert compare(second, first).p_value == pytest.approx(expected)
    assert result.difference.value == pytest.approx(second.accuracy - first.accuracy)


def test_equal_sequences_count_as_one_throw() -> None:
    groups = np.array([0, 0, 0, 0, 0, 0, 1, 2])
    first = evaluation([False] * 6 + [True, True], groups)
    second = evaluation([True] * 6 + [True, True], groups)
    assert compare(first, second).p_value == 1.0
    assert compare(evaluation(first.hits), evaluation(second.hits)).p_value == pytest.approx(2 / 2**6)


def test_a_large_comparison_is_exact_still() -> None:
    gains = np.array([1] * 60_000 + [-1] * 59_000)
    assert _sign_flip_test(gains) == pytest.approx(0.003764, abs=2e-4)  # normal law: z = 999.5 / sqrt(119,000)


def test_evaluations_of_other_sequences_cannot_be_compared() -> None:
    one = evaluation([True, False])
    others = [
        evaluation([True, False, True]),
        Evaluation(one.losses, one.labels + 1, one.predictions, one.classes),
        Evaluation(one.losses, one.labels, one.predictions, ("cat", "eel")),
        evaluation([True, False], np.array([0, 0])),
    ]
    for other in others:
        with pytest.raises(
            InvalidArgumentError, match=r"both evaluations must be of the same sequences.* on one dataset"
        ):
            compare(one, other)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"measure": "acuracy"}, r"measure must be one of 'accuracy', .*mean 'accuracy'"),
        ({"level": 1.5}, r"level must be a number from 0"),
        ({"level": 0}, r"level must be a number between 0 and 1; got 0"),
        ({"resamples": 0}, r"resamples must be an integer of at least 1"),
        ({"seed": -1}, r"seed must be an integer of at least 0"),
    ],
)
def test_arguments_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        evaluation([True, False]).interval(**options)


def test_what_is_no_evaluation_cannot_be_compared() -> None:
    with pytest.raises(InvalidArgumentError, match=r"second must be an Evaluation; got float"):
        compare(evaluation([True]), 0.5)


@pytest.mark.parametrize("right", [True, False])
def test_a_perfect_score_on_few_sequences_is_not_certain(right: bool) -> None:
    interval = evaluation([right] * 10).interval("accuracy")
    assert interval.high - interval.low == pytest.approx(1 - 0.025**0.1)  # Clopper and Pearson, 10 of 10
    assert interval.value == (1.0 if right else 0.0)
    assert evaluation([right] * 10, np.zeros(10, dtype=np.int64)).interval().high == (1.0 if right else 0.975)


@pytest.mark.parametrize(
    ("level", "freedom", "expected"),
    [
        (0.95, 1, 12.7062),
        (0.95, 2, 4.3027),
        (0.95, 4, 2.7764),
        (0.9, 4, 2.1318),
        (0.99, 9, 3.2498),
        (0.95, 200, 1.9719),
    ],
)
def test_students_t_is_that_of_the_tables(level: float, freedom: int, expected: float) -> None:
    assert student_t(level, freedom) == pytest.approx(expected, abs=1e-4)


def test_a_naive_bootstrap_would_be_caught() -> None:
    """Negative control: weights drawn for single members, not for groups, make the interval of copies too narrow."""
    groups = np.repeat(np.arange(40), 10)
    hits = np.repeat(np.arange(40) < 32, 10).astype(float)

    def accuracy(weights: Any) -> float:
        return float(weights @ hits / weights.sum())

    right = bootstrap(accuracy, groups, level=0.95, resamples=500, seed=0)
    wrong = bootstrap(accuracy, np.arange(400), level=0.95, resamples=500, seed=0)
    assert wrong.high - wrong.low < 0.5 * (right.high - right.low)
