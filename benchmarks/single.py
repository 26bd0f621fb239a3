"""Single steps in NumPy beside a forward call, for one sequence: python -m benchmarks.single.

They are what a `Predictor` chooses between for models that keep no states. A row gives how many times as fast the
single steps are at each length, by the medians of rounds in which both take turns. Prints a table in Markdown.
"""

from collections.abc import Callable, Iterator

import torch
from seqclf.models.whole import WholeSequences

from benchmarks.table import names_parser, publish, take_turns
from seqclf import RNNClassifier

SYMBOLS, LENGTHS = 54, (1, 7, 20, 50, 200)
STACKS = {"1 layer, both ways": (1, True), "2 layers": (2, False), "2 layers, both ways": (2, True)}


def ratio(model: RNNClassifier, length: int, rounds: int) -> float:
    """Return the seconds of a forward call over those of single steps."""
    ids, lengths, whole = torch.randint(2, SYMBOLS, (length,)), torch.tensor([length]), WholeSequences(model)

    def forward() -> None:
        with torch.no_grad():
            model(ids[None], lengths)

    ways: dict[str, Callable[[], object]] = {"forward": forward, "steps": lambda: whole.logits(ids.numpy())}
    seconds = take_turns(ways, rounds, warm_up=2)
    return seconds["forward"] / seconds["steps"]


def table(rounds: int) -> Iterator[str]:
    """Yield the lines of the table."""
    yield f"| cell, features | layers | {' | '.join(f'{length} steps' for length in LENGTHS)} |"
    yield f"|---|---|{'--:|' * len(LENGTHS)}"
    for cell in ("lstm", "gru", "rnn"):
        for size in (32, 128, 512):
            for name, (layers, both) in STACKS.items():
                options = {"num_layers": layers, "bidirectional": both, "hidden_size": size}
                model = RNNClassifier(18, vocab_size=SYMBOLS, cell=cell, seed=0, **options).eval()  # type: ignore[arg-type]
                found = " | ".join(f"{ratio(model, length, rounds):.2f}" for length in LENGTHS)
                yield f"| {cell}, {size} | {name} | {found} |"


if __name__ == "__main__":
    parser = names_parser("Single steps beside a forward call.")
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    publish(table(arguments.rounds), arguments.output)
