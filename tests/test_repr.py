"""What objects say of themselves in a shell: what a person wants to know, on few lines."""

from typing import Any

import pytest
import torch

from seqclf import (
    Batch,
    BucketBatchSampler,
    RNNClassifier,
    SequenceDataset,
    fit,
    pack_collate,
    run_study,
    verify_batching,
)
from seqclf.callbacks import FitState
from seqclf.errors import InvalidArgumentError, InvalidDataError
from tests import strategies

PAIRS = [("ab", "x"), ("abaab", "y"), ("b", "x")]


def test_batches_and_samplers() -> None:
    data = SequenceDataset.from_pairs(PAIRS)
    assert repr(data.batch([0, 1])) == "Batch(2 sequences, padded (2, 5) of int64 on cpu, lengths 2-5, with labels)"
    packed = pack_collate([data[0], data[2]])
    assert repr(packed) == "Batch(2 sequences, packed (3,) of int64 on cpu, lengths 1-2, with labels)"
    nothing = Batch(torch.zeros(0, 0), torch.zeros(0, dtype=torch.int64))
    assert repr(nothing) == "Batch(0 sequences, padded (0, 0) of float32 on cpu, no lengths)"
    with pytest.raises(InvalidDataError, match="indices must hold at least one index to make a batch; got none"):
        data.batch([])
    sampler = BucketBatchSampler(data.lengths, 2)
    sampler.set_epoch(3)
    assert repr(sampler) == "BucketBatchSampler(3 sequences, 2 batches of at most 2, epoch 3)"
    assert "at most 2, max_tokens=9, epoch 0" in repr(BucketBatchSampler(data.lengths, 2, max_tokens=9))


def test_models_and_reports() -> None:
    model = RNNClassifier(2, vocab_size=5, embedding_dim=3, hidden_size=4, cell="rnn", seed=0)
    weights = sum(weight.numel() for weight in model.parameters())
    assert f"2 classes, {weights} parameters" in repr(model)
    report = verify_batching(model, [[2, 3, 4], [2]])
    assert repr(report) == f"BatchingReport(all {len(report.laws)} laws hold; float32 on cpu)"
    torch.nn.init.constant_(model.head.weight, torch.nan)
    broken = verify_batching(model, [[2, 3, 4], [2]])
    assert repr(broken) == f"BatchingReport({len(broken.laws)} of {len(broken.laws)} laws broken; float32 on cpu)"


def test_epochs_and_studies() -> None:
    data = strategies.letters_dataset(count=20)
    said: list[str] = []

    def note(end: FitState) -> None:
        said.append(repr(end))

    model = RNNClassifier.for_dataset(data, hidden_size=2, seed=0)
    fit(model, data, epochs=1, progress=False, callbacks=[note])
    assert said[0].startswith("FitState(epoch=0, history=History(1 epochs")
    base: dict[str, Any] = {"hidden_size": 2, "epochs": 1}
    study = run_study(data, {"learning_rate": [0.01, 1e38], "seed": [0]}, base=base, test_data=data, progress=False)
    well, badly = study.runs
    accuracy = well.results["test"].accuracy
    assert repr(well) == f"Run(1 epochs, {well.parameters:,} parameters, test accuracy {accuracy:.3f})"
    assert "broke off: " in repr(badly)
    rows = study.summarise()
    assert repr(rows[0]).startswith("Summary(learning_rate=0.01, 1 runs, ")
    assert f"test_accuracy {100 * accuracy:.1f} %" in repr(rows[0])
    assert repr(rows[1]) == "Summary(learning_rate=1e+38, 1 runs)"
    with pytest.raises(InvalidArgumentError):
        badly.load_model()
