"""Law 3: a sampler's batches are a partition of the indices, exactly counted, the same for the same (seed, epoch)."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqclf import BucketBatchSampler
from seqclf.data import sampling
from seqclf.errors import InvalidArgumentError
from tests import strategies


@given(strategies.lengths, st.integers(1, 40), st.booleans(), st.integers(1, 5), st.booleans(), strategies.seeds)
def test_batches_are_a_partition(
    lengths: list[int], batch_size: int, shuffle: bool, window: int, drop_last: bool, seed: int
) -> None:
    sampler = BucketBatchSampler(lengths, batch_size, shuffle=shuffle, window=window, drop_last=drop_last, seed=seed)
    batches = list(sampler)
    assert len(batches) == len(sampler)
    assert all(batches)
    indices = [index for batch in batches for index in batch]
    assert len(set(indices)) == len(indices)
    full, rest = divmod(len(lengths), batch_size)
    if drop_last:
        assert [len(batch) for batch in batches] == [batch_size] * full
    else:
        assert sorted(indices) == list(range(len(lengths)))
        assert sorted(map(len, batches)) == sorted([rest] * bool(rest) + [batch_size] * full)


@given(strategies.lengths, st.integers(1, 9), strategies.seeds, st.integers(0, 5))
def test_seed_and_epoch_determine_the_order(lengths: list[int], batch_size: int, seed: int, epoch: int) -> None:
    first = BucketBatchSampler(lengths, batch_size, seed=seed)
    passes = [list(first) for _ in range(epoch + 1)]
    second = BucketBatchSampler(torch.tensor(lengths), batch_size, seed=seed)
    second.set_epoch(epoch)
    assert list(second) == passes[epoch]


@given(
    strategies.lengths, st.integers(1, 40), st.none() | st.integers(0, 60), st.booleans(), st.integers(1, 5), st.data()
)
def test_batches_of_a_few_steps_out_of_pools_are_a_partition(
    lengths: list[int], batch_size: int, more: int | None, shuffle: bool, window: int, data: st.DataObject
) -> None:
    max_tokens = None if more is None else max(1, *lengths) + more
    block = data.draw(st.integers(1, 4))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampling, "_BLOCK", block)
        patch.setattr(sampling, "_POOL", block * data.draw(st.integers(1, 4)))
        sampler = BucketBatchSampler(lengths, batch_size, max_tokens=max_tokens, shuffle=shuffle, window=window)
        count = len(sampler)
        batches = list(sampler)
        sampler.set_epoch(0)
        assert list(sampler) == batches
    assert len(batches) == count
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    assert all(1 <= len(batch) <= batch_size for batch in batches)
    if max_tokens is None:
        assert len(batches) == -(-len(lengths) // batch_size)
    else:
        assert all(len(batch) * max(lengths[index] for index in batch) <= max_tokens for batch in batches)


def test_batches_hold_as_many_steps_as_they_may() -> None:
    batches = list(BucketBatchSampler([1] * 12 + [4] * 5, 8, max_tokens=10, shuffle=False))
    assert list(map(len, batches)) == [8, 4, 2, 2, 1]


def test_pools_take_from_everywhere() -> None:
    count = (1 << 18) + 1000
    batches = BucketBatchSampler(np.ones(count, np.uint8), 256, window=1).arrays()
    first = np.concatenate([next(batches) for _ in range(4)])
    assert len(np.unique(first)) == 1024
    assert np.histogram(first, 8, (0, count))[0].min() > 64  # of 128 that are to be expected


def test_epochs_and_seeds_differ() -> None:
    sampler = BucketBatchSampler(range(1, 101), 5)
    first, second = list(sampler), list(sampler)
    assert first != second
    assert list(BucketBatchSampler(range(1, 101), 5, seed=1)) != first


def test_batches_hold_like_lengths_and_come_in_no_order_of_length() -> None:
    lengths = torch.randint(1, 50, (3000,), generator=torch.Generator().manual_seed(0))
    batches = list(BucketBatchSampler(lengths, 30))
    padded = sum(int(lengths[batch].max()) * len(batch) for batch in batches)
    assert padded / int(lengths.sum()) < 1.05
    plain = list(BucketBatchSampler(lengths, 30, window=1))
    assert sum(int(lengths[batch].max()) * len(batch) for batch in plain) / int(lengths.sum()) > 1.5
    means = torch.stack([lengths[batch].double().mean() for batch in batches])
    assert abs(float(torch.corrcoef(torch.stack([means, torch.arange(len(means)).double()]))[0, 1])) < 0.3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], 2), r"shape \(n,\) with n at least 1; got \(0,\)"),
        (([[1]], 2), r"shape \(n,\) with n at least 1; got \(1, 1\)"),
        (([1], 0), r"batch_size must be an integer of at least 1; got 0"),
        (([1], 2.5), r"batch_size must be an integer of at least 1; got 2\.5"),
        (([1], True), r"batch_size must be an integer of at least 1; got True"),
    ],
)
def test_bad_input(arguments: Any, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        BucketBatchSampler(*arguments)


def test_bad_numbers() -> None:
    with pytest.raises(InvalidArgumentError, match="seed must be an integer of at least 0; got -1"):
        BucketBatchSampler([1], 1, seed=-1)
    with pytest.raises(InvalidArgumentError, match="window must be an integer of at least 1; got 0"):
        BucketBatchSampler([1], 1, window=0)
    with pytest.raises(InvalidArgumentError, match="epoch must be an integer of at least 0; got -1"):
        BucketBatchSampler([1], 1).set_epoch(-1)
    with pytest.raises(InvalidArgumentError, match="max_tokens must be an integer of at least 1; got 0"):
        BucketBatchSampler([1], 1, max_tokens=0)
    with pytest.raises(
        InvalidArgumentError, match=r"length of every sequence; got 4 for one of 5 steps \(sequence 1\)"
    ):
        BucketBatchSampler([1, 5], 1, max_tokens=4)
    with pytest.raises(InvalidArgumentError, match="drop_last must be False with max_tokens"):
        BucketBatchSampler([1], 1, max_tokens=4, drop_last=True)


def test_limits_may_be_reached() -> None:
    """A sequence as long as `max_tokens`, a batch that fills it, and a full last batch are all let through."""
    sampler = BucketBatchSampler([4, 2, 2, 1], 9, max_tokens=4, shuffle=False)
    assert sorted(map(sorted, sampler)) == [[0], [1, 3], [2]]
    assert len(list(BucketBatchSampler([2, 2, 2, 2], 9, max_tokens=4, shuffle=False))) == 2
    with pytest.raises(InvalidArgumentError, match="max_tokens"):
        BucketBatchSampler([5], 9, max_tokens=4)
    for count, batches in ((6, 2), (7, 2), (9, 3)):
        dropping = BucketBatchSampler([1] * count, 3, drop_last=True, shuffle=False)
        assert (len(list(dropping)), len(dropping)) == (batches, batches)
