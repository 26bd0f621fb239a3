"""Encoding: how long it takes to turn text into ids, and how many bytes the ids take, beside a loop over a dict."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.work import names_pairs
from seqclf import SequenceDataset, Vocabulary

_LOOP = "dict loop"


def measure_encoding(folder: str | None, characters: int, rounds: int) -> dict[str, Any]:
    """Encode names, repeated to about `characters` characters, in each way by turns.

    Args:
        folder: Where the names lie; None is the bundled sample.
        characters: How many characters to encode.
        rounds: How many rounds follow the first.
    """
    names, labels = zip(*names_pairs(folder)[0], strict=True)
    times = max(1, round(characters / sum(map(len, names))))
    texts, languages = list(names) * times, list(labels) * times
    vocabulary = Vocabulary.build(names)
    table = {symbol: index for index, symbol in enumerate(vocabulary.symbols, start=2)}

    def loop() -> list[Tensor]:
        return [torch.tensor([table[symbol] for symbol in text]) for text in texts]

    def dataset() -> SequenceDataset:
        return SequenceDataset.from_sequences(texts, languages, vocabulary=vocabulary)

    ways: dict[str, Callable[[], object]] = {
        "Vocabulary.encode_flat": lambda: vocabulary.encode_flat(texts),
        "SequenceDataset.from_sequences": dataset,
        _LOOP: loop,
    }
    store = dataset().sequences
    assert torch.equal(store.values.long(), torch.cat(loop())), "all ways must give the same ids"
    total = sum(map(len, texts))
    return {
        "texts": len(texts),
        "characters": total,
        "rounds": rounds,
        "seconds": _take_turns(ways, rounds),
        "bytes_a_character": (store.values.nbytes + store.offsets.nbytes) / total,
        "loop_bytes_a_character": sum(ids.nbytes for ids in loop()) / total,
    }


def _take_turns(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the median seconds of each way, over the rounds after the first."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            if number:
                found[name].append(time.perf_counter() - start)
    return {name: statistics.median(seconds) for name, seconds in found.items()}
