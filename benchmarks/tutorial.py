"""An epoch of PyTorch's names tutorial beside one of `fit`: python -m benchmarks.tutorial [--data FOLDER].

The tutorial's way, in few words: a name is a one-hot tensor (T, 1, letters), an RNN of 128 reads one name after
another, the losses of 64 names are added up, and SGD makes a step with their gradient, clipped at 3. `fit` trains the
same cell on batches of 64 names, each batch in one call; it looks letters up in an embedding of 64. Both take turns on
the same names. Prints a table in Markdown.
"""

import random
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from benchmarks.table import names_parser, publish, take_turns
from seqclf import RNNClassifier, SequenceDataset, fit
from seqclf.datasets import load_names
from seqclf.defaults import PLAIN

BATCH_SIZE, HIDDEN_SIZE = 64, 128


class OneByOne(nn.Module):
    """An RNN over a single one-hot name, and a linear layer on its last state."""

    def __init__(self, letters: int, classes: int) -> None:
        super().__init__()
        self.rnn = nn.RNN(letters, HIDDEN_SIZE)
        self.head = nn.Linear(HIDDEN_SIZE, classes)

    def forward(self, name: Tensor) -> Tensor:
        """Return the logits (1, classes) of a name (T, 1, letters)."""
        logits: Tensor = self.head(self.rnn(name)[1][0])
        return logits


def epoch_of_loops(dataset: SequenceDataset) -> None:
    """Train for one epoch as the tutorial does."""
    assert dataset.vocabulary is not None
    letters = len(dataset.vocabulary)
    names = [one_hot(ids, letters).float()[:, None] for ids, _ in dataset]
    model = OneByOne(letters, len(dataset.classes))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.15)
    order = random.Random(0).sample(range(len(names)), len(names))
    for start in range(0, len(order), BATCH_SIZE):
        chosen = order[start : start + BATCH_SIZE]
        loss = torch.stack([cross_entropy(model(names[index]), dataset.labels[index : index + 1]) for index in chosen])
        optimizer.zero_grad()
        torch.autograd.backward(loss.sum())
        nn.utils.clip_grad_norm_(model.parameters(), 3)
        optimizer.step()


def epoch_of_fit(dataset: SequenceDataset) -> None:
    """Train the same cell for one epoch by `fit`."""
    model = RNNClassifier.for_dataset(dataset, cell="rnn", hidden_size=HIDDEN_SIZE, **PLAIN)
    fit(model, dataset, epochs=1, batch_size=BATCH_SIZE, clip_grad_norm=3, progress=False)


def table(data: str, rounds: int) -> Iterator[str]:
    """Yield the lines of the table."""
    dataset = SequenceDataset.from_pairs(load_names(data))
    ways = {
        "one name after another": lambda: epoch_of_loops(dataset),
        f"`fit`, batches of {BATCH_SIZE}": lambda: epoch_of_fit(dataset),
    }
    seconds = take_turns(ways, rounds)
    yield f"| {len(dataset):,} names, RNN {HIDDEN_SIZE} | seconds an epoch | names a second | ratio |"
    yield "|---|--:|--:|--:|"
    slowest = max(seconds.values())
    for name, one in seconds.items():
        yield f"| {name} | {one:.2f} | {len(dataset) / one:,.0f} | {slowest / one:.1f} |"


if __name__ == "__main__":
    parser = names_parser("PyTorch's names tutorial beside fit.")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    publish(table(arguments.data, arguments.rounds), arguments.output)
