"""Law 3: a sampler's batches are a partition of the indices, exactly counted, the same for the same (seed, epoch)."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqclf import BucketBatchSampler, InvalidArgumentError
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
