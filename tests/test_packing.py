"""pack_batches: many batches laid out at once are those laid out one by one."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.utils.rnn import PackedSequence, pack_sequence

from seqclf import SequenceDataset
from seqclf.data import packing
from seqclf.data.packing import pack_batches
from tests import strategies

rows = st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=4), min_size=1, max_size=6)


@given(strategies.labelled_texts(min_size=6), rows, st.integers(0, 7), st.sampled_from([1, 5, 12, 1 << 16]))
def test_batches_are_those_of_torch(pairs: Any, batches: list[list[int]], skip: int, chunk: int) -> None:
    dataset = SequenceDataset.from_pairs(pairs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "_CHUNK_STEPS", chunk)
        arrays = [np.array(batch) for batch in batches]
        found = list(pack_batches(dataset.sequences, dataset.compact_labels, arrays, skip=skip))
    assert len(found) == len(batches[skip:])
    for batch, indices in zip(found, batches[skip:], strict=True):
        assert isinstance(batch.inputs, PackedSequence)
        order = sorted(indices, key=lambda index: -int(dataset.lengths[index]))
        expected = pack_sequence([dataset[index][0] for index in order])
        assert torch.equal(batch.inputs.data.long(), expected.data)
        assert torch.equal(batch.inputs.batch_sizes, expected.batch_sizes)
        assert batch.indices is not None
        assert batch.indices.tolist() == order
        assert batch.lengths.tolist() == dataset.lengths[order].tolist()
        assert batch.labels is not None
        assert batch.labels.dtype == torch.int64
        assert batch.labels.tolist() == dataset.labels[order].tolist()


def test_chunks_end_with_the_batch_that_fills_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "_CHUNK_STEPS", 4)
    lengths = np.array([2, 2, 1, 3])
    batches = [np.array([index]) for index in (0, 1, 2, 3, 0)]
    assert [[int(one[0]) for one in chunk] for chunk in packing._chunks(batches, lengths)] == [[0, 1], [2, 3], [0]]


def test_batches_go_where_they_shall_be() -> None:
    dataset = strategies.letters_dataset(count=4)
    (batch,) = pack_batches(dataset.sequences, dataset.compact_labels, [np.arange(4)], "meta")
    assert isinstance(batch.inputs, PackedSequence)
    assert batch.labels is not None
    assert batch.inputs.data.device.type == batch.labels.device.type == "meta"
    assert batch.lengths.device.type == batch.inputs.batch_sizes.device.type == "cpu"


@pytest.mark.parametrize("skip", [0, 1, 2])
def test_with_empty_sequences_batches_are_padded(skip: int) -> None:
    dataset = SequenceDataset.from_pairs([("ab", "x"), ("", "y"), ("b", "y")], allow_empty=True)
    batches = [np.array([1, 0]), np.array([2, 1])]
    found = list(pack_batches(dataset.sequences, dataset.compact_labels, batches, skip=skip))
    assert [batch.indices.tolist() for batch in found] == [[1, 0], [2, 1]][skip:]
    assert [batch.labels.tolist() for batch in found] == [[1, 0], [1, 1]][skip:]
    assert [batch.lengths.tolist() for batch in found] == [[0, 2], [1, 0]][skip:]
