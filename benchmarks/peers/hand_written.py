"""The loop that a good user of PyTorch writes: a `DataLoader`, packed sequences, no `.item()` midway."""

from collections.abc import Sequence

import torch
from torch.nn.functional import cross_entropy

from benchmarks.config import Config
from benchmarks.peers import Pass
from benchmarks.peers.recipe import (
    Classifier,
    PaddedClassifier,
    make_classifier,
    make_loader,
    make_optimizer,
    predict_singles,
    symbol_table,
)
from benchmarks.work import Work


class HandWritten:
    """A hand-written loop of plain torch."""

    kind: type[Classifier] = Classifier

    def prepare(self, work: Work, config: Config) -> None:
        """Make loaders, module and optimiser."""
        self.model = make_classifier(work, config, self.kind)
        self.optimizer = make_optimizer(self.model, config)
        self.loader = make_loader(work, config, shuffle=True)
        self.in_order = make_loader(work, config, shuffle=False)
        self.table = symbol_table(work)
        self.count = len(work)

    def train(self) -> Pass:
        """Go once through the loader."""
        self.model.train()
        total = torch.zeros(())
        for inputs, lengths, labels in self.loader:
            self.optimizer.zero_grad(set_to_none=True)
            loss = cross_entropy(self.model(inputs, lengths), labels)
            torch.autograd.backward(loss)
            self.optimizer.step()
            total += loss.detach() * len(labels)
        return Pass(total.item() / self.count)

    def predict(self) -> Sequence[int]:
        """Predict batch by batch, in order."""
        self.model.eval()
        with torch.no_grad():
            found = [self.model(inputs, lengths).argmax(1) for inputs, lengths, _ in self.in_order]
        return torch.cat(found).tolist()

    def predict_one(self, texts: Sequence[str]) -> Sequence[int]:
        """Call the layers on one text at a time."""
        return predict_singles(self.model, self.table, texts)

    def predict_plain(self, texts: Sequence[str]) -> Sequence[int]:
        """Do the same: there is no other way."""
        return self.predict_one(texts)


class HandPadded(HandWritten):
    """The same loop for those who have found that torch trains packed sequences slowly where they are long."""

    kind = PaddedClassifier
