"""On a GPU everything is as on the CPU. Without one these tests are skipped."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from seqclf import RNNClassifier, SequenceDataset, evaluate, fit, predict_proba

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")

MODELS: dict[str, dict[str, Any]] = {
    "lstm": {"cell": "lstm"},
    "gru, two layers": {"cell": "gru", "num_layers": 2},
    "lstm, both ways": {"cell": "lstm", "bidirectional": True},
    "lstm, both ways, padded": {"cell": "lstm", "bidirectional": True, "execution": "padded"},
    "own cell, all poolings": {"cell": nn.GRUCell, "pooling": ["last", "mean", "max", "attention"]},
    "dropout": {"cell": "gru", "input_dropout": 0.2, "dropout": 0.2, "recurrent_dropout": 0.2},
}


def _dataset() -> SequenceDataset:
    rng = np.random.default_rng(0)
    pairs = [("".join(rng.choice(list("abcdef"), rng.integers(1, 12))), str(rng.integers(3))) for _ in range(200)]
    return SequenceDataset.from_pairs(pairs)


@pytest.mark.parametrize("options", MODELS.values(), ids=list(MODELS))
def test_training_and_prediction_are_as_on_the_cpu(options: dict[str, Any]) -> None:
    dataset = _dataset()
    found = []
    for device in ("cpu", "cuda"):
        model = RNNClassifier.for_dataset(dataset, hidden_size=16, seed=0, **options).double()
        history = fit(model, dataset, epochs=2, batch_size=30, device=device, progress=False)
        assert model.device.type == device
        measured = evaluate(model, dataset)
        found.append((predict_proba(model, dataset), history["loss"], measured.loss))
    for on_cpu, on_gpu in zip(*found, strict=True):
        np.testing.assert_allclose(on_gpu, on_cpu, rtol=0, atol=1e-8)
