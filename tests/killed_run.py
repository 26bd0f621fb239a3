"""A training run for tests to kill: `python -m tests.killed_run FOLDER OUTPUT [EVERY_STEPS]`."""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from torch.optim.lr_scheduler import OneCycleLR

from seqclf import RNNClassifier, SequenceDataset, fit
from seqclf.callbacks import Checkpoint
from seqclf.training.stopping import EarlyStopping


def dataset(seed: int, count: int) -> SequenceDataset:
    """Make random words of two classes; in those of the first, early letters are more frequent."""
    rng = np.random.default_rng(seed)
    pairs = []
    for number in range(count):
        letters = rng.integers(0, 6 if number % 2 else 4, rng.integers(1, 12))
        pairs.append(("".join("abcdef"[letter] for letter in letters), str(number % 2)))
    return SequenceDataset.from_pairs(pairs, classes=("0", "1"))


def main(folder: str, output: str, every_steps: int = 1) -> None:
    """Train with checkpoints, go on where there are some, and write what came out."""
    torch.set_num_threads(1)
    train = dataset(0, 300)
    model = RNNClassifier.for_dataset(train, cell="gru", hidden_size=24, dropout=0.2, input_dropout=0.1, seed=0)
    history = fit(
        model,
        train,
        validation_data=train.subset(range(50)),
        epochs=6,
        batch_size=16,
        scheduler=lambda optimizer: OneCycleLR(optimizer, max_lr=0.01, total_steps=6 * 19),
        early_stopping=EarlyStopping(patience=4),
        checkpoint=Checkpoint(folder, every_steps=every_steps),
        resume=True,
        device="cpu",
        progress=False,
    )
    measures = {name: values for name, values in history.measures.items() if name != "seconds"}
    weights = {name: tensor.numpy().tobytes().hex() for name, tensor in model.state_dict().items()}
    result = {"measures": measures, "stopped_by": history.stopped_by, "best": history.best_epoch, "weights": weights}
    Path(output).write_text(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:3], *map(int, sys.argv[3:]))
