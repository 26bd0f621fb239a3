"""Encoding: how long it takes to turn text into ids, and how many bytes the ids take, beside a loop over a dict."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.table import take_turns
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
        "seconds": take_turns(ways, rounds),
        "bytes_a_character": (store.values.nbytes + store.offsets.nbytes) / total,
        "loop_bytes_a_character": sum(ids.nbytes for ids in loop()) / total,
    }
