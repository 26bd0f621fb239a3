"""Last states of one sequence after the other, where those of beginnings that were seen before are kept."""

from typing import cast

import numpy as np
from torch import nn

from seqclf.models.classifier import RNNClassifier
from seqclf.models.execution.numpy_steps import Array, NumpyHead, NumpyLayers, State

_KEPT_FLOATS = 1 << 22  # about how many floats of states are kept: 16 MiB in float32
_KEPT_DEPTH = 32  # longer beginnings are seldom seen again


class _Node:
    """A beginning: the states after it, and what it may go on with."""

    __slots__ = ("children", "states")

    def __init__(self, states: list[State] | None) -> None:
        self.states = states
        self.children: dict[int, _Node] = {}


class _Memory:
    """One direction of an encoder, and the beginnings that it has seen."""

    def __init__(self, layers: NumpyLayers) -> None:
        self.layers = layers
        floats = sum(part.size for state in layers.step(0, None) for part in state)
        self.most = max(1, _KEPT_FLOATS // floats)
        self.clear()

    def clear(self) -> None:
        self.root = _Node(None)
        self.kept = 0

    def last_output(self, ids: list[int]) -> Array:
        """Return the output of the last layer after the last id, (H,)."""
        if self.kept > self.most:
            self.clear()
        node = self.root
        for depth, one in enumerate(ids):
            following = node.children.get(one)
            if following is None:
                following = _Node(self.layers.step(one, node.states))
                if depth < _KEPT_DEPTH:
                    node.children[one] = following
                    self.kept += 1
            node = following
        assert node.states is not None
        return node.states[-1][0]


class CachedPrefixes:
    """A model over single sequences, with the weights that it has when this is made.

    Args:
        model: One that `shares_prefixes`.
    """

    def __init__(self, model: RNNClassifier) -> None:
        encoder, vectors = cast(nn.RNNBase, model.encoder), model.vectors
        assert vectors is not None
        directions = range(2 if model.bidirectional else 1)
        self.memories = [_Memory(NumpyLayers(encoder, vectors, direction)) for direction in directions]
        self.head = NumpyHead(model.head)

    def logits(self, ids: list[int]) -> Array:
        """Return the logits (C,) of one sequence, which is not empty."""
        halves = [memory.last_output(ids[::-1] if number else ids) for number, memory in enumerate(self.memories)]
        return self.head(halves[0] if len(halves) == 1 else np.concatenate(halves))
