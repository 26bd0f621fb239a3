"""What `for_dataset` and `fit` choose where nothing is said: all rules, on one page.

No rule knows a data set: each looks at what kind of sequences there are, how many, and how long. docs/defaults.md shows
what every one of them brings on real data; benchmarks/defaults.py measures it anew.
"""

import math
from collections.abc import Mapping
from typing import Any, Literal

from torch import nn

from seqclf.data.dataset import SequenceDataset
from seqclf.data.ngrams import MOST_KEYS

Auto = Literal["auto"]  # "as the rules say", for any option that they choose

LEARNING_RATE, WEIGHT_DECAY = 3e-3, 0.01  # of AdamW; the rate is that at the top of one_cycle
FEWEST_UPDATES, USUAL_EPOCHS, MOST_UPDATES = 1_000, 20, 40_000
FEWEST_EPOCHS, MOST_EPOCHS = 5, 500
LONGEST_ALIGNED = 256  # twice the distances that have vectors of their own
SHORTEST_SCHEDULE = 20  # updates, below which a schedule would be all ends


# What the rules would choose if there were none: a plain model, as the constructor makes it.
PLAIN: Any = {
    "bidirectional": False,
    "pooling": "last",
    "dropout": 0.0,
    "input_dropout": 0.0,
    "symbol_dropout": 0.0,
    "positions": None,
    "ngrams": None,
    "ngram_dropout": 0.0,
    "standardize": False,
}


def is_auto(value: Any) -> bool:
    """Whether an option is left to the rules."""
    return isinstance(value, str) and value == "auto"


def model_options(data: SequenceDataset, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what suits a model of some training data beside what is given, as arguments of `RNNClassifier`.

    What a step says depends on both sides of it, and what matters may stand anywhere: both directions, and three
    poolings. All of it learns by heart what it can: half of what the head sees is dropped, and some of the inputs, of
    which measurements bear to lose less than vectors of symbols. Symbols that training saw rarely stand in, now and
    then, for those that it never saw. Where all sequences have one length, as aligned windows do, a place has a
    meaning. There, and of tokens, n-grams bring what linear models know; of the letters of other texts the states know
    as much, and sooner. Where there are more different tokens than sequences, as words are, most are learned by heart:
    half of what is read is dropped, and the last state, which has seen the end best, is left out. Measurements are
    brought to one scale.
    """
    options: dict[str, Any] = {"bidirectional": True, "pooling": ("last", "mean", "max"), "dropout": 0.5}
    if isinstance(given.get("pooling"), nn.Module):
        del options["bidirectional"]  # it was made for states of one width
    if data.input_size is not None:
        return options | {"input_dropout": 0.1, "standardize": True}
    options |= {"input_dropout": 0.3, "symbol_dropout": "rare"}
    is_text, aligned = data.vocabulary is not None and data.vocabulary.has_letters, _are_aligned(data)
    if aligned:
        options["positions"] = "both"
    if (aligned or not is_text) and _fits_ngrams(data, orders := (2, 3) if is_text else (2,)):
        options["ngrams"] = orders
    has_ngrams = given.get("ngrams", options.get("ngrams")) is not None
    options |= {"ngram_dropout": 0.3} if has_ngrams else {}
    if not is_text and data.vocabulary is not None and len(data.vocabulary) > len(data):
        options |= {"input_dropout": 0.5, "pooling": ("mean", "max")}
        options |= {"ngram_dropout": 0.5} if has_ngrams else {}
    return options


def _fits_ngrams(data: SequenceDataset, orders: tuple[int, ...]) -> bool:
    return data.vocabulary is not None and len(data.vocabulary) ** orders[-1] < MOST_KEYS


def _are_aligned(data: SequenceDataset) -> bool:
    """Whether all sequences have one length, of which each step has a place of its own."""
    lengths = data.sequences.sizes
    return len(lengths) > 0 and bool((lengths == lengths[0]).all()) and 1 < int(lengths[0]) <= LONGEST_ALIGNED


def training_options(updates_per_epoch: int) -> dict[str, Any]:
    """Return what suits a run of `fit` with its own optimiser, as arguments of `fit`.

    So many updates that small data are learned at all, and so few epochs that large ones end in time.
    """
    epochs = math.ceil(FEWEST_UPDATES / updates_per_epoch)
    epochs = min(max(epochs, min(USUAL_EPOCHS, MOST_UPDATES // updates_per_epoch), FEWEST_EPOCHS), MOST_EPOCHS)
    return {
        "epochs": epochs,
        "learning_rate": LEARNING_RATE,
        "weight_decay": WEIGHT_DECAY,
        "schedule": "one_cycle",
        "clip_grad_norm": 1.0,
        "label_smoothing": 0.1,
    }


def patience(epochs: int) -> int:
    """Return how many epochs without a better validation loss end a run of so many: a rate that is high passes by."""
    return max(5, math.ceil(epochs / 3))


def plain_training_options() -> dict[str, Any]:
    """Return what `fit` does beside an optimiser of the user's own: nothing that was not asked for."""
    return {
        "epochs": 10,
        "learning_rate": None,
        "weight_decay": None,
        "schedule": None,
        "clip_grad_norm": None,
        "label_smoothing": 0.0,
    }
