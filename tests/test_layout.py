"""Where steps lie: the rows of a packed batch, and packed batches cut from the store."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.utils.rnn import pack_sequence

from seqclf import SequenceDataset, pack_collate, pad_collate
from seqclf.data.packing import pack_batches
from seqclf.engine.layout import Positions, layout_of
from tests import strategies


@given(strategies.lengths)
def test_layouts(lengths: list[int]) -> None:
    lengths = sorted(lengths, reverse=True)
    packed = pack_sequence([torch.full((length,), number) for number, length in enumerate(lengths)])
    layout = layout_of(packed)
    grid = [(step, rank) for step in range(lengths[0]) for rank, length in enumerate(lengths) if step < length]
    row = {place: number for number, place in enumerate(grid)}
    assert list(zip(layout.steps.tolist(), layout.ranks.tolist(), strict=True)) == grid
    assert layout.ranks.tolist() == packed.data.tolist()
    assert layout.lengths.tolist() == lengths
    assert layout.last_rows.tolist() == [row[length - 1, rank] for rank, length in enumerate(lengths)]
    assert layout.reversal.tolist() == [row[lengths[rank] - 1 - step, rank] for step, rank in grid]
    by_sequence = sorted(range(len(grid)), key=lambda number: grid[number][::-1])
    assert layout.by_sequence.tolist() == by_sequence
    assert (layout.batch, layout.num_steps) == (len(lengths), sum(lengths))
    assert torch.equal(Positions.of_packed(packed).sequence, layout.ranks)


def test_a_long_layout_is_not_kept() -> None:
    packed = pack_sequence([torch.zeros(300, dtype=torch.int64)])
    assert layout_of(packed) is not layout_of(packed)
    short = pack_sequence([torch.zeros(3, dtype=torch.int64)])
    assert layout_of(short) is layout_of(short)


@settings(deadline=None)
@given(st.data())
def test_packed_batches_are_those_of_collated_samples(data: st.DataObject) -> None:
    features = data.draw(st.booleans())
    sequences = data.draw(strategies.feature_sequences() if features else strategies.id_sequences())
    if features:
        dataset = SequenceDataset.from_sequences([one.numpy() for one in sequences], list(range(len(sequences))))
    else:
        dataset = SequenceDataset.from_sequences([one.tolist() for one in sequences], list(range(len(sequences))))
    order = np.array(data.draw(st.permutations(range(len(dataset)))))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(order)))) - {len(order)})
    batches = list(pack_batches(dataset.sequences, dataset.labels, np.split(order, cuts)))
    assert sorted(index for batch in batches for index in batch.indices.tolist()) == list(range(len(dataset)))
    for batch, wanted in zip(batches, np.split(order, cuts), strict=True):
        assert sorted(batch.indices.tolist()) == sorted(wanted.tolist())
        assert batch.lengths.tolist() == sorted(batch.lengths.tolist(), reverse=True)
        judge = pack_collate([dataset[index] for index in batch.indices.tolist()])
        assert torch.equal(batch.inputs.data, judge.inputs.data)
        assert torch.equal(batch.inputs.batch_sizes, judge.inputs.batch_sizes)
        assert torch.equal(batch.lengths, judge.lengths)
        assert torch.equal(batch.labels, judge.labels)


def test_packed_batches_come_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seqclf.data.packing._CHUNK_STEPS", 5)
    dataset = SequenceDataset.from_pairs([("abc", 0), ("ab", 1), ("a", 0), ("abcd", 1)])
    batches = list(pack_batches(dataset.sequences, None, [np.array([1, 0]), np.array([2]), np.array([3])]))
    assert [batch.indices.tolist() for batch in batches] == [[0, 1], [2], [3]]
    assert all(batch.labels is None for batch in batches)


def test_batches_with_empty_sequences_are_padded() -> None:
    dataset = SequenceDataset.from_pairs([("abc", 0), ("", 1), ("a", 0)], allow_empty=True)
    (batch,) = pack_batches(dataset.sequences, dataset.labels, [np.array([2, 1, 0])])
    judge = pad_collate([dataset[index] for index in (2, 1, 0)], allow_empty=True)
    assert torch.equal(batch.inputs, judge.inputs)
    assert batch.lengths.tolist() == [1, 0, 3]
