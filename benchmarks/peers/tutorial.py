"""The way of PyTorch's tutorial on names: one at a time, one-hot letters, a recurrence by hand, plain SGD.

Source:
    https://pytorch.org/tutorials/intermediate/char_rnn_classification_tutorial.html, as it stood for years.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.config import Config
from benchmarks.peers import Pass
from benchmarks.peers.recipe import symbol_table
from benchmarks.work import Work

_LEARNING_RATE = 0.005  # the tutorial's


class TutorialRNN(nn.Module):
    """The tutorial's cell and head: it has no other, so it stands beside LSTM and GRU as well."""

    def __init__(self, input_size: int, hidden_size: int, output_size: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.i2h = nn.Linear(input_size + hidden_size, hidden_size)
        self.i2o = nn.Linear(input_size + hidden_size, output_size)
        self.softmax = nn.LogSoftmax(dim=1)

    def forward(self, letter: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Return the log-probabilities and the state after one letter."""
        combined = torch.cat((letter, hidden), 1)
        return self.softmax(self.i2o(combined)), self.i2h(combined)


class Tutorial:
    """The tutorial's loop."""

    def prepare(self, work: Work, config: Config) -> None:
        """Make the module."""
        torch.manual_seed(0)
        self.width = len(work.vocabulary)
        self.model = TutorialRNN(self.width, config.hidden, work.num_classes)
        self.criterion = nn.NLLLoss()
        self.texts, self.labels, self.table = work.texts or (), work.labels.tolist(), symbol_table(work)
        self.rng = np.random.default_rng(0)

    def train(self) -> Pass:
        """Go through all names in random order, one update after each."""
        total = 0.0
        for index in self.rng.permutation(len(self.texts)).tolist():
            self.model.zero_grad()
            loss = self.criterion(self._run(self.texts[index]), torch.tensor([self.labels[index]]))
            loss.backward()
            for parameter in self.model.parameters():
                assert parameter.grad is not None
                parameter.data.add_(parameter.grad.data, alpha=-_LEARNING_RATE)
            total += loss.item()
        return Pass(total / len(self.texts))

    def predict(self) -> Sequence[int]:
        """Predict all names, one at a time."""
        return self.predict_one(self.texts)

    def predict_one(self, texts: Sequence[str]) -> Sequence[int]:
        """Predict one at a time."""
        with torch.no_grad():
            return [int(self._run(text).topk(1)[1]) for text in texts]

    def _run(self, text: str) -> Tensor:
        """Return the log-probabilities (1, C) after the last letter."""
        letters = torch.zeros(len(text), 1, self.width)
        for position, letter in enumerate(text):
            letters[position][0][self.table[letter]] = 1
        hidden = torch.zeros(1, self.model.hidden_size)
        output = hidden
        for position in range(len(text)):
            output, hidden = self.model(letters[position], hidden)
        return output
