"""Last states of many sequences of symbols, where what several of them begin with is run once."""

from collections.abc import Iterable, Iterator
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from seqclf.data.ragged import Ragged
from seqclf.models.classifier import RNNClassifier
from seqclf.models.execution.fused.running import RunningLayers
from seqclf.models.execution.prefix_tree import Ids, Level, PrefixTree, ReadStep, build_tree
from seqclf.models.inputs import unknown_ids
from seqclf.models.plain import is_plain

IndexArray = npt.NDArray[np.int64]

_BLOCK = 1024  # how many states take a step at once: enough work for all cores, and little enough for their caches
_KEPT_FLOATS = 1 << 23  # about the most that the states of one level hold: 32 MiB in float32
_WORTHWHILE = 0.1  # the part of all steps that must be saved


def shares_prefixes(model: RNNClassifier) -> bool:
    """Tell whether a model's state after a prefix, or before a suffix, does not depend on the rest."""
    return model.vectors is not None and is_plain(model) and (not model.bidirectional or model.num_layers == 1)


class SharedPrefixes:
    """A model's encoder, ready to run many sequences; it keeps the weights that the model has when it is made.

    Args:
        model: One that `shares_prefixes`.
    """

    def __init__(self, model: RNNClassifier) -> None:
        encoder, vectors = cast(nn.RNNBase, model.encoder), cast(Tensor, model.vectors)
        self.vocab_size = len(vectors)
        self.directions = [RunningLayers(encoder, vectors, one) for one in range(2 if model.bidirectional else 1)]
        floats = sum(part.shape[1] for part in self.directions[0].new_states(1))
        self.most = max(_BLOCK, _KEPT_FLOATS // floats)

    def chunks(self, indices: IndexArray) -> Iterator[IndexArray]:
        """Cut indices into as many at once as memory is meant for."""
        return (indices[start : start + self.most] for start in range(0, len(indices), self.most))

    def pool(self, store: Ragged, indices: IndexArray) -> Tensor | None:
        """Return the last states (n, directions * H) of some sequences, or None where sharing would not pay."""
        starts, lengths = store.offsets.numpy()[indices], store.sizes.numpy()[indices].astype(np.int64)
        halves = []
        for direction, layers in enumerate(self.directions):

            def read(chosen: Ids, step: int, direction: int = direction) -> Ids:
                at = starts[chosen] + (lengths[chosen] - 1 - step if direction else step)
                return store.steps(torch.from_numpy(at)).numpy()

            tree = build_tree(read, lengths)
            if tree.saved <= _WORTHWHILE * lengths.sum():
                return None
            try:
                halves.append(_run(layers, tree, read, lengths))
            except IndexError as error:
                raise unknown_ids(self.vocab_size, error) from error
        return torch.cat(halves, dim=1)


def _run(layers: RunningLayers, tree: PrefixTree, read: ReadStep, lengths: Ids) -> Tensor:
    """Return the last outputs (n, H) of all sequences of a tree; zeros for empty ones."""
    states: list[Tensor] | None = None
    pooled: Tensor = layers.table.new_zeros(len(lengths), layers.size)
    for level in tree.levels:
        states = _go_down(layers, level, states)
        pooled[torch.from_numpy(level.ended)] = states[0].index_select(0, torch.from_numpy(level.ends))
    assert states is not None  # without a level nothing is shared
    for start in range(0, len(tree.rest), _BLOCK):
        chosen = tree.rest[start : start + _BLOCK]
        nodes = torch.from_numpy(tree.starts[start : start + _BLOCK])
        below = _steps(read, chosen, lengths[chosen], len(tree.levels))
        pooled[torch.from_numpy(chosen)] = _go_on(layers, [part.index_select(0, nodes) for part in states], below)
    return pooled


def _go_down(layers: RunningLayers, level: Level, states: list[Tensor] | None) -> list[Tensor]:
    """Return the states of all nodes of a level, from those of the level above."""
    after = layers.new_states(len(level.symbols))
    for start in range(0, len(level.symbols), _BLOCK):
        part = slice(start, start + _BLOCK)
        parents = torch.from_numpy(level.parents[part])
        before = None if states is None else [state.index_select(0, parents) for state in states]
        layers.step(torch.from_numpy(level.symbols[part]), before, [state[part] for state in after])
    return after


def _steps(read: ReadStep, chosen: Ids, lengths: Ids, depth: int) -> Iterator[Tensor]:
    """Yield the symbols of the steps from `depth` on, each of those sequences that have it; the longest come first."""
    for step in range(depth, int(lengths[0])):
        yield torch.from_numpy(read(chosen[: np.searchsorted(-lengths, -step)], step))


def _go_on(layers: RunningLayers, states: list[Tensor], steps: Iterable[Tensor]) -> Tensor:
    """Return the last outputs of sequences of which each goes its own way from its state."""
    following = layers.new_following(states)
    for ids in steps:
        count = len(ids)
        layers.step(ids, [part[:count] for part in states], [part[:count] for part in following])
        states, following = following, states
    return states[0]
