"""Lightning's `Trainer` around the same module, with everything optional switched off."""

import logging
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.optim import SGD

from benchmarks.config import Config
from benchmarks.peers import Pass
from benchmarks.peers.recipe import Batch, Classifier, make_classifier, make_loader, make_optimizer
from benchmarks.work import Work


class Module(LightningModule):  # type: ignore[misc]  # untyped where Lightning is not installed
    """The same module, as Lightning wants it."""

    def __init__(self, classifier: Classifier, config: Config) -> None:
        super().__init__()
        self.classifier = classifier
        self.optimizer = make_optimizer(classifier, config)
        self.total = torch.zeros(())

    def configure_optimizers(self) -> SGD:
        """Return the one optimiser, so that its momentum goes on from pass to pass."""
        return self.optimizer

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of a batch."""
        inputs, lengths, labels = batch
        loss = cross_entropy(self.classifier(inputs, lengths), labels)
        self.total += loss.detach() * len(labels)
        return loss

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the classes of a batch."""
        found: Tensor = self.classifier(batch[0], batch[1]).argmax(1)
        return found


class LightningTrainer:
    """A trainer for each pass: one that has ended cannot go on for an epoch more."""

    def prepare(self, work: Work, config: Config) -> None:
        """Make loaders and module."""
        warnings.filterwarnings("ignore")  # advice on workers and devices
        for name in ("lightning", "lightning.pytorch", "lightning.fabric"):
            logging.getLogger(name).setLevel(logging.ERROR)
        self.module = Module(make_classifier(work, config), config)
        self.loader = make_loader(work, config, shuffle=True)
        self.in_order = make_loader(work, config, shuffle=False)
        self.count = len(work)

    def train(self) -> Pass:
        """Fit for one epoch."""
        self.module.total = torch.zeros(())
        _trainer().fit(self.module, self.loader)
        return Pass(self.module.total.item() / self.count)

    def predict(self) -> Sequence[int]:
        """Predict by the trainer."""
        found: list[int] = torch.cat(_trainer().predict(self.module, self.in_order)).tolist()
        return found

    def predict_one(self, texts: Sequence[str]) -> Sequence[int]:
        """Raise: see `PEERS`."""
        raise NotImplementedError


def _trainer() -> Any:
    return Trainer(
        max_epochs=1,
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
