"""The parts that users of plain torch, skorch and Lightning write alike: samples, a collate function, a module."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence
from torch.optim import SGD
from torch.utils.data import DataLoader, Dataset
from typing_extensions import Self

from benchmarks.config import EMBEDDING, MOMENTUM, Config
from benchmarks.work import Work

Sample = tuple[Tensor, int]
Batch = tuple[Tensor, Tensor, Tensor]

_RECURRENT: dict[str, type[nn.LSTM | nn.GRU | nn.RNN]] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}


class Samples(Dataset[Sample]):
    """The dataset that users write: each sample a tensor of ids, made once, and a label."""

    def __init__(self, sequences: Sequence[Tensor], labels: Sequence[int]) -> None:
        self.sequences = sequences
        self.labels = labels

    @classmethod
    def of(cls, work: Work) -> Self:
        """Make the samples of all sequences."""
        return cls(work.tensors(), work.labels.tolist())

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Sample:
        return self.sequences[index], self.labels[index]


def collate(batch: Sequence[Sample]) -> Batch:
    """Return padded ids (B, T), lengths (B,) and labels (B,)."""
    sequences, labels = zip(*batch, strict=True)
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    return pad_sequence(list(sequences), batch_first=True), lengths, torch.tensor(labels)


def make_loader(work: Work, config: Config, *, shuffle: bool) -> DataLoader[Any]:
    """Make a loader without processes of its own: for samples this small they cost more than they bring."""
    return DataLoader(Samples.of(work), config.batch_size, shuffle=shuffle, collate_fn=collate)


class Classifier(nn.Module):
    """Embed, run packed, pool the states, drop some, map to logits."""

    def __init__(self, vocab_size: int, num_classes: int, config: Config) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, EMBEDDING, padding_idx=0)
        self.encoder = _RECURRENT[config.cell](
            EMBEDDING,
            config.hidden,
            config.layers,
            batch_first=True,
            dropout=config.dropout if config.layers > 1 else 0.0,  # torch warns of it where there is but one layer
            bidirectional=config.bidirectional,
        )
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(config.hidden * config.directions * len(config.pooling), num_classes)
        self.directions, self.pooling = config.directions, config.pooling

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Return the logits (B, C) of padded ids (B, T)."""
        packed = pack_padded_sequence(self.embedding(inputs), lengths, batch_first=True, enforce_sorted=False)
        outputs, state = self.encoder(packed)
        last = self._last(state)
        if self.pooling == ("last",):
            return self._classify(last)
        states, _ = pad_packed_sequence(outputs, batch_first=True)
        return self._classify(self._pool(last, states, lengths))

    def forward_one(self, ids: Tensor) -> Tensor:
        """Return the logits (1, C) of a single sequence (1, T): nothing to pad, nothing to pack."""
        states, state = self.encoder(self.embedding(ids))
        found = {"last": self._last(state), "mean": states.mean(1), "max": states.amax(1)}
        return self._classify(torch.cat([found[name] for name in self.pooling], dim=1))

    def _last(self, state: Tensor | tuple[Tensor, Tensor]) -> Tensor:
        """Return the last state of each direction of the last layer, (B, directions * H)."""
        last = state[0] if isinstance(state, tuple) else state  # (layers * directions, B, H)
        return torch.cat(list(last[-self.directions :]), dim=1)

    def _pool(self, last: Tensor, states: Tensor, lengths: Tensor) -> Tensor:
        """Return last states, masked means and masked maxima side by side, from states (B, T, directions * H)."""
        is_step = (torch.arange(states.shape[1]) < lengths[:, None])[..., None]  # (B, T, 1)
        found = {"last": last}
        if "mean" in self.pooling:
            found["mean"] = (states * is_step).sum(1) / lengths[:, None]
        if "max" in self.pooling:
            found["max"] = states.masked_fill(~is_step, -torch.inf).amax(1)
        return torch.cat([found[name] for name in self.pooling], dim=1)

    def _classify(self, pooled: Tensor) -> Tensor:
        logits: Tensor = self.head(self.dropout(pooled))
        return logits


class PaddedClassifier(Classifier):
    """Run padded; the last state is that at each sequence's last step.

    That is right for layers that read forwards alone: one that reads backwards would start in the padding.
    """

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Return the logits (B, C) of padded ids (B, T)."""
        states = self.encoder(self.embedding(inputs))[0]  # (B, T, H)
        last = states[torch.arange(len(lengths)), lengths - 1]
        return self._classify(last if self.pooling == ("last",) else self._pool(last, states, lengths))


def make_classifier(work: Work, config: Config, kind: type[Classifier] = Classifier) -> Classifier:
    """Make the module with seeded weights."""
    torch.manual_seed(0)
    return kind(len(work.vocabulary), work.num_classes, config)


def make_optimizer(model: nn.Module, config: Config) -> SGD:
    """Make the optimiser that all peers of torch share."""
    return SGD(model.parameters(), lr=config.learning_rate, momentum=MOMENTUM, fused=True)


def predict_singles(model: Classifier, table: dict[str, int], texts: Sequence[str]) -> list[int]:
    """Encode each text by a dict, and run it alone."""
    model.eval()
    with torch.no_grad():
        return [int(model.forward_one(torch.tensor([[table[symbol] for symbol in text]])).argmax()) for text in texts]


def symbol_table(work: Work) -> dict[str, int]:
    """Return the id of each symbol."""
    return {symbol: index for index, symbol in enumerate(work.vocabulary.symbols, start=2)}
