"""A packed batch whose sequences begin alike, as rows of which each distinct prefix has one.

Forwards, the states of a prefix are computed once and read by all that go on from it; backwards, it gets the sum of
what these return to it. So the gradients are those of the batch, up to the order of sums.
"""

import numpy as np
import torch
from torch import Tensor

from seqclf.models.execution.prefix_tree import Ids, PrefixTree, build_tree
from seqclf.models.layout import Layout

_LEAST_ROWS = 4096  # in smaller batches the gathering costs more than it saves
_WORTHWHILE = 0.1  # the part of all rows that must be saved


class SharedLayout(Layout):
    """The layout of the distinct prefixes of a batch; see `Layout`.

    Args:
        layout: That of the packed batch.
        tree: Its prefixes, whose sequences are called by their ranks.
    """

    is_shared = True

    def __init__(self, layout: Layout, tree: PrefixTree) -> None:
        depth = len(tree.levels)
        super().__init__((*(len(level.symbols) for level in tree.levels), *layout.sizes[depth:]))
        parents = [level.parents for level in tree.levels[1:]] + [tree.starts] * (depth < len(layout.sizes))
        self._parents = dict(enumerate(parents, start=1))
        self.joins = {step: torch.from_numpy(rows) for step, rows in self._parents.items()}
        self._tree, self._packed = tree, layout

    @property
    def is_level(self) -> bool:
        """Whether each row goes on from the one above it, without exception."""
        return False

    @property
    def previous(self) -> Tensor:
        """For each row from the second step on the row that it goes on from: int64 (N - B,)."""
        starts = self.starts.numpy()
        rows = [
            starts[step - 1] + self._parents.get(step, np.arange(self.sizes[step]))
            for step in range(1, len(self.sizes))
        ]
        return torch.from_numpy(np.concatenate(rows) if rows else np.empty(0, np.int64))

    @property
    def last(self) -> Tensor:
        """The row of the last step of each rank: int64 (B,)."""
        starts = self.starts.numpy()
        rows = starts[self._packed.lengths.numpy() - 1] + np.arange(self._packed.batch)
        for start, level in zip(starts.tolist(), self._tree.levels, strict=False):
            rows[level.ended] = start + level.ends
        return torch.from_numpy(rows)


def share(layout: Layout, ids: Tensor) -> tuple[Layout, Tensor]:
    """Return layout and ids of the distinct prefixes of a packed batch, or those that were given where few are shared.

    Args:
        layout: The layout of the batch.
        ids: The ids of its steps, (N,).
    """
    if layout.total < _LEAST_ROWS:
        return layout, ids
    flat, starts = ids.numpy(), layout.starts.tolist()

    def read(chosen: Ids, step: int) -> Ids:
        symbols: Ids = flat[starts[step] + chosen]
        return symbols

    tree = build_tree(read, layout.lengths.numpy())
    if tree.saved < _WORTHWHILE * layout.total:
        return layout, ids
    depth = len(tree.levels)
    rest = flat[starts[depth] :] if depth < len(starts) else flat[:0]
    symbols = np.concatenate([*(level.symbols for level in tree.levels), rest])
    return SharedLayout(layout, tree), torch.from_numpy(symbols)
