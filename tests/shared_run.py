"""A training run for tests to start in several processes: `torchrun -m tests.shared_run OPTIONS`, options as JSON."""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from seqclf import RNNClassifier, fit
from seqclf.callbacks import Checkpoint, FitState
from seqclf.training.distributed import process_rank
from tests.killed_run import dataset


def main(options: dict[str, Any]) -> None:
    """Train, perhaps lose a process midway, and let the first process write what came out."""
    torch.set_num_threads(1)
    rank = process_rank()
    whole = dataset(0, 134)
    train, validation = whole.subset(range(101)), whole.subset(range(101, 134))  # 101 = 6 * 16 + 5: a small last batch
    model = RNNClassifier.for_dataset(
        train, hidden_size=12, dropout=0.2, seed=None if options.get("unseeded") and rank else 0, **options["model"]
    ).double()

    def optimizer(parameters: Any) -> torch.optim.Optimizer:
        made = torch.optim.SGD(parameters, lr=0.1, momentum=0.9)
        updates = 0

        def die(*_: Any) -> None:
            nonlocal updates
            updates += 1
            if options.get("die") == [rank, updates]:
                os.kill(os.getpid(), signal.SIGKILL)

        made.register_step_pre_hook(die)
        return made

    def stop(end: FitState) -> bool:
        return rank == 1 and options.get("stop") == end.epoch  # what one process wants, all do

    history = fit(
        model,
        train,
        validation_data=validation,
        epochs=options["epochs"],
        batch_size=options["batch_size"],
        optimizer=optimizer,
        callbacks=[stop],
        checkpoint=Checkpoint(options["folder"], every_steps=1) if "folder" in options else None,
        resume="folder" in options,
        sample_weight=np.arange(len(train)) % 7 / 3 if options.get("sample_weights") else None,
        device="cpu",
        progress=False,
        **options.get("fit", {}),
    )
    weights = {name: tensor.tolist() for name, tensor in model.state_dict().items()}
    result = {"measures": history.measures, "stopped_by": history.stopped_by, "weights": weights}
    Path(f"{options['output']}.{rank}").write_text(json.dumps(result))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
