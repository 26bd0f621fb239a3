"""Batch and the collate functions, also inside torch's own DataLoader."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, unpack_sequence
from torch.utils.data import DataLoader

from seqclf import Batch, BucketBatchSampler, RNNClassifier, pack_collate, pad_collate
from seqclf.errors import InvalidDataError
from tests import strategies


@given(strategies.id_sequences())
def test_collating_keeps_sequences_order_and_lengths(sequences: list[Tensor]) -> None:
    samples = [(sequence, label) for label, sequence in enumerate(sequences)]
    padded, packed = pad_collate(samples), pack_collate(samples)
    assert isinstance(padded.inputs, Tensor)
    assert isinstance(packed.inputs, PackedSequence)
    unpacked = unpack_sequence(packed.inputs)
    for row, sequence in enumerate(sequences):
        assert torch.equal(padded.inputs[row, : len(sequence)], sequence)
        assert not padded.inputs[row, len(sequence) :].any()
        assert torch.equal(unpacked[row], sequence)
    for batch in (padded, packed):
        assert len(batch) == len(sequences)
        assert batch.lengths.tolist() == [len(sequence) for sequence in sequences]
        assert (batch.lengths.dtype, batch.lengths.device.type) == (torch.int64, "cpu")
        assert batch.labels is not None
        assert batch.labels.tolist() == list(range(len(sequences)))


@pytest.mark.parametrize("collate", [pad_collate, pack_collate])
@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.processes)])
def test_any_data_loader_works(collate: Any, workers: int) -> None:
    dataset = strategies.letters_dataset(count=20)
    sampler = BucketBatchSampler(dataset.lengths, batch_size=6, seed=0)
    loader: DataLoader[Any] = DataLoader(dataset, batch_sampler=sampler, collate_fn=collate, num_workers=workers)
    model = RNNClassifier.for_dataset(dataset, hidden_size=4, seed=0).eval()
    batches = list(loader)
    assert len(batches) == len(loader) == 4
    assert sum(len(batch) for batch in batches) == 20
    for batch in batches:
        assert isinstance(batch, Batch)
        assert model(batch.inputs, batch.lengths).shape == (len(batch), 3)


def test_plain_loader_and_shuffling() -> None:
    dataset = strategies.letters_dataset(count=7)
    loader: DataLoader[Any] = DataLoader(dataset, batch_size=3, shuffle=True, collate_fn=pad_collate)
    assert sum(len(batch) for batch in loader) == 7


def test_moving_and_pinning_keep_the_lengths_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    for collate in (pad_collate, pack_collate):
        batch = collate([([1, 2, 3], 0), ([4], 1)])
        moved = batch.to("meta") if collate is pad_collate else batch.to("cpu")
        assert moved.lengths is batch.lengths
        steps = moved.inputs if collate is pad_collate else moved.inputs.data
        assert steps.device.type == moved.labels.device.type == ("meta" if collate is pad_collate else "cpu")
        assert moved.lengths.device.type == "cpu"
        unlabelled = Batch(batch.inputs, batch.lengths).to(torch.device("cpu"))
        assert unlabelled.labels is None
        pinned: list[Tensor] = []
        monkeypatch.setattr(Tensor, "pin_memory", lambda self, pinned=pinned: pinned.append(self) or self)
        assert batch.pin_memory().lengths is batch.lengths
        assert torch.equal(batch.pin_memory().labels, batch.labels)
        assert any(tensor is batch.labels for tensor in pinned)
        assert not any(tensor is batch.lengths for tensor in pinned)
        assert Batch(batch.inputs, batch.lengths).pin_memory().labels is None


def test_arrays_lists_and_labels_of_many_kinds() -> None:
    batch = pad_collate(
        [(np.array([1, 2]), torch.tensor(1)), ([3], np.int64(0)), (torch.tensor([4], dtype=torch.uint8), 2)]
    )
    assert batch.inputs.tolist() == [[1, 2], [3, 0], [4, 0]]
    assert batch.labels.tolist() == [1, 0, 2]
    features = pad_collate([(np.ones((2, 3)), 0), (np.ones((1, 3)), 1)])
    assert features.inputs.shape == (2, 2, 3)


@pytest.mark.parametrize("collate", [pad_collate, pack_collate])
@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ([], r"at least one \(sequence, label\) pair; got none"),
        ([torch.tensor([1])], r"must be \(sequence, label\) pairs; got Tensor \(sequence 0\)"),
        (
            [([1], 0), ([], 1)],
            r"must be integer ids of shape \(T,\) or .* \(sequence 1\)|must not be empty.*\(sequence 1\)",
        ),
        ([([1], 0), (torch.tensor([], dtype=torch.int64), 1)], r"must not be empty; got length 0 \(sequence 1\)"),
        (
            [(torch.ones(2, 3), 0), (torch.ones(2, 4), 1)],
            r"alike in width and type; got \(2, 3\) .*\(2, 4\) .*\(sequence 1\)",
        ),
        ([([1], 0), (torch.ones(2, 4), 1)], r"alike in width and type"),
        ([([1.5, 2.5], 0)], r"symbols other than floats; got 1\.5 \(sequence 0, position 0\)"),
        ([([[1, 2]], 0)], r"symbols must be hashable; got list \(sequence 0, position 0\)"),
        ([("ab", 0)], r"features of shape \(T, F\); got a string \(sequence 0\)"),
        ([([1], 0, 0)], r"must be \(sequence, label\) pairs; got tuple \(sequence 0\)"),
        ([([1], torch.tensor(1.0))], r"labels must be integer class indices; got tensor\(1\.\) \(sequence 0\)"),
        ([([1], torch.tensor([1]))], r"labels must be integer class indices; got tensor\(\[1\]\) \(sequence 0\)"),
        ([([1], "x")], r"labels must be integer class indices; got 'x' \(sequence 0\)"),
        ([([1], True)], r"labels must be integer class indices; got True \(sequence 0\)"),
        ([([1], 0.5)], r"labels must be integer class indices; got 0\.5 \(sequence 0\)"),
    ],
)
def test_bad_samples(collate: Any, samples: Any, message: str) -> None:
    with pytest.raises(InvalidDataError, match=message):
        collate(samples)
