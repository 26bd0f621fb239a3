"""This library, by its public functions alone."""

from collections.abc import Sequence

import torch
from torch.optim import SGD

from benchmarks.config import EMBEDDING, MOMENTUM, Config
from benchmarks.peers import Pass
from benchmarks.work import Work
from seqclf import Predictor, RNNClassifier, SequenceDataset, fit, predict
from seqclf.defaults import PLAIN


def make_dataset(work: Work) -> SequenceDataset:
    """Encode the sequences anew, as a user would; the ids come out as those of `work`."""
    sequences = work.texts if work.texts is not None else [ids.tolist() for ids in work.tensors()]
    return SequenceDataset.from_sequences(
        sequences, work.labels.tolist(), vocabulary=work.vocabulary, classes=range(work.num_classes)
    )


class SeqclfFit:
    """`fit` and `predict` of this library."""

    def prepare(self, work: Work, config: Config) -> None:
        """Make dataset, model and optimiser."""
        self.dataset = make_dataset(work)
        if not torch.equal(self.dataset.sequences.values.long(), torch.from_numpy(work.ids)):
            raise AssertionError("the dataset must have the ids that the other peers are given")
        self.model = RNNClassifier.for_dataset(
            self.dataset,
            embedding_dim=EMBEDDING,
            cell=config.cell,
            hidden_size=config.hidden,
            num_layers=config.layers,
            seed=0,
            **(PLAIN | {"bidirectional": config.bidirectional, "dropout": config.dropout, "pooling": config.pooling}),
        )
        # One object for all passes, so that its momentum goes on as the weights do.
        self.optimizer = SGD(self.model.parameters(), lr=config.learning_rate, momentum=MOMENTUM, fused=True)
        self.batch_size = config.batch_size
        self.passes = 0

    def train(self) -> Pass:
        """Train for one epoch, with a new order of the batches each time."""
        history = fit(
            self.model,
            self.dataset,
            epochs=1,
            batch_size=self.batch_size,
            optimizer=self.optimizer,
            seed=self.passes,
            device="cpu",
            progress=False,
        )
        self.passes += 1
        return Pass(history["loss"][0], history["padding_waste"][0])

    def predict(self) -> Sequence[int]:
        """Predict the dataset."""
        return predict(self.model, self.dataset, batch_size=self.batch_size)

    def predict_one(self, texts: Sequence[str]) -> Sequence[int]:
        """Predict raw texts, each by a call of its own, by a predictor that is made for the turn."""
        predictor = Predictor(self.model)
        return [predictor.predict(text) for text in texts]

    def predict_plain(self, texts: Sequence[str]) -> Sequence[int]:
        """Predict raw texts, each by a call of the function, which gets the model as it is."""
        return [predict(self.model, [text])[0] for text in texts]
