"""Work: the sequences of a turn, as plain arrays that every peer takes and none owns."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from typing_extensions import Self

from benchmarks.config import Config
from seqclf import Vocabulary
from seqclf.datasets import load_names

_SEED = 0
_CLASSES = 18
_NAMES_LINES = 20_000  # about as many as the full set has
_SAMPLE_LINES = 400
_SYMBOLS = 57  # as many as the names have
_LENGTHS = {"50-400": (50, 400, 128), "1000-2000": (1000, 2000, 32)}  # shortest, longest, how many


@dataclass(frozen=True, eq=False)
class Work:
    """Labelled sequences of ids, end to end: number i is `ids[offsets[i]:offsets[i + 1]]`.

    Attributes:
        ids: All ids, int64; 0 is padding and 1 the unknown symbol, as in `seqclf.Vocabulary`.
        offsets: Where each sequence starts, and where the last one ends.
        labels: The class of each sequence, int64.
        num_classes: How many classes there are.
        vocabulary: What made the ids.
        texts: The sequences before they were encoded; None for random ids.
    """

    ids: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    num_classes: int
    vocabulary: Vocabulary
    texts: tuple[str, ...] | None

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """The number of steps of each sequence."""
        return np.diff(self.offsets)

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int) -> Self:
        """Return the first sequences, with the same vocabulary and classes."""
        offsets = self.offsets[: count + 1]
        texts = None if self.texts is None else self.texts[:count]
        return replace(self, ids=self.ids[: offsets[-1]], offsets=offsets, labels=self.labels[:count], texts=texts)

    def tensors(self) -> list[Tensor]:
        """Return the ids of each sequence as a tensor of its own."""
        return list(torch.split(torch.from_numpy(self.ids), self.lengths.tolist()))

    def padded(self) -> npt.NDArray[np.int32]:
        """Return all sequences in one array (n, longest), zero behind the end of each."""
        is_step = np.arange(self.lengths.max()) < self.lengths[:, None]
        array = np.zeros(is_step.shape, np.int32)
        array[is_step] = self.ids
        return array


def names_pairs(folder: str | None) -> tuple[list[tuple[str, str]], str]:
    """Return about 20,000 (name, language) pairs, and words that say where they come from."""
    if folder:
        pairs = load_names(folder)
        return pairs, f"{len(pairs):,} names of the given folder"
    sample = load_names()
    times = -(-_NAMES_LINES // len(sample))
    return sample * times, f"the bundled sample of {len(sample):,} names, repeated {times} times"


def make_work(config: Config, folder: str | None, share: float = 1.0) -> Work:
    """Return the sequences of one turn: the same ones in the same order in every process, or the first part of them.

    Args:
        config: Which sequences, and at which batch size.
        folder: Where the full names lie.
        share: The part of them that is wanted; one batch remains in any case.
    """
    if config.work in ("names", "all names"):
        work = _from_names(names_pairs(folder)[0], config.most_sequences)
    elif config.work == "sample":
        work = _from_names(load_names(), _SAMPLE_LINES)
    else:
        work = _random(*_LENGTHS[config.work])
    return work.first(max(round(share * len(work)), config.batch_size))


def _from_names(pairs: Sequence[tuple[str, str]], most: int | None) -> Work:
    """Encode names in a random order, and keep the first `most` of them."""
    classes = sorted({language for _, language in pairs})
    vocabulary = Vocabulary.build([name for name, _ in pairs])
    kept = np.random.default_rng(_SEED).permutation(len(pairs))[:most]
    texts = tuple(pairs[index][0] for index in kept)
    labels = np.array([classes.index(pairs[index][1]) for index in kept], np.int64)
    ids, offsets = vocabulary.encode_flat(texts)
    return Work(ids.numpy(), offsets.numpy(), labels, len(classes), vocabulary, texts)


def _random(shortest: int, longest: int, count: int) -> Work:
    """Make random sequences with random labels: nothing but the labels themselves can be learned."""
    rng = np.random.default_rng(_SEED)
    lengths = rng.integers(shortest, longest + 1, count)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    vocabulary = Vocabulary(range(2, 2 + _SYMBOLS))  # the symbol k has the id k
    ids = rng.integers(2, 2 + _SYMBOLS, offsets[-1])
    labels = rng.integers(0, _CLASSES, count)
    return Work(ids, offsets, labels, _CLASSES, vocabulary, None)
