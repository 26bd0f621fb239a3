"""skorch's `NeuralNetClassifier` around the same module, with the same samples."""

from collections.abc import Sequence

import torch
from skorch import NeuralNetClassifier
from torch import Tensor, nn
from torch.optim import SGD

from benchmarks.config import MOMENTUM, Config
from benchmarks.peers import Pass
from benchmarks.peers.recipe import Classifier, Sample, Samples, collate, symbol_table
from benchmarks.work import Work


def collate_named(batch: Sequence[Sample]) -> tuple[dict[str, Tensor], Tensor]:
    """Return the arguments of the module's `forward` by name, which is how skorch passes several, and the labels."""
    inputs, lengths, labels = collate(batch)
    return {"inputs": inputs, "lengths": lengths}, labels


class SkorchNet:
    """A net of skorch, with the callbacks that only report switched off."""

    def prepare(self, work: Work, config: Config) -> None:
        """Make samples and net."""
        torch.manual_seed(0)
        self.data = Samples.of(work)
        self.table = symbol_table(work)
        self.net = NeuralNetClassifier(
            Classifier,
            module__vocab_size=len(work.vocabulary),
            module__num_classes=work.num_classes,
            module__config=config,
            criterion=nn.CrossEntropyLoss,
            optimizer=SGD,
            optimizer__momentum=MOMENTUM,
            optimizer__fused=True,
            lr=config.learning_rate,
            batch_size=config.batch_size,
            iterator_train__shuffle=True,
            iterator_train__collate_fn=collate_named,
            iterator_valid__collate_fn=collate_named,
            train_split=None,
            classes=list(range(work.num_classes)),
            callbacks__print_log=None,
            verbose=0,
            device="cpu",
        )
        self.net.initialize()

    def train(self) -> Pass:
        """Go on for one epoch."""
        self.net.partial_fit(self.data, y=None, epochs=1)
        return Pass(float(self.net.history[-1, "train_loss"]))

    def predict(self) -> Sequence[int]:
        """Predict all samples."""
        found: list[int] = self.net.predict(self.data).tolist()
        return found

    def predict_one(self, texts: Sequence[str]) -> Sequence[int]:
        """Call `predict` on one text at a time."""
        tensors = (torch.tensor([self.table[symbol] for symbol in text]) for text in texts)
        return [int(self.net.predict(Samples([ids], [0]))[0]) for ids in tensors]
