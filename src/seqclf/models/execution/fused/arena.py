"""Memory that one batch after the other works in, and the views of it that a recurrence steps through.

To allocate every buffer anew for each batch costs page faults, and to slice it anew for each step costs more than the
arithmetic of a small batch. An arena keeps one block of memory, and for each layout of a batch that has come up lately
the views into it. It is lent to one pass at a time, from forward to the end of its backward.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from seqclf.models.layout import Layout

_KEPT_STEPS = 4096  # how many steps' views an arena keeps; those of one step take about 10 KB
_KEPT_FLOATS = 1 << 25  # the largest block that is kept for another batch: 128 MiB in float32
_WINDOW = 256  # how many steps' views exist at once, where they are not kept


class Buffers(Protocol):
    """What a recurrence works in for one layout: tensors and views that all lie in one block."""

    def __init__(self, block: "Block", layout: Layout, size: int) -> None: ...

    @staticmethod
    def floats(layout: Layout, size: int) -> int:
        """Return how many floats the block must hold."""
        ...


class Block:
    """Memory that tensors are cut from, one after the other."""

    def __init__(self, memory: Tensor) -> None:
        self.memory = memory
        self.used = 0

    def cut(self, rows: int, width: int) -> Tensor:
        """Return the next (rows, width) of it, not initialised."""
        start = self.used
        self.used += rows * width
        return self.memory[start : self.used].view(rows, width)


class Arena:
    """One block, and the buffers in it by layout."""

    _free: ClassVar[dict[tuple[torch.dtype, torch.device], list["Arena"]]] = {}

    def __init__(self, like: Tensor) -> None:
        self.memory = torch.empty(0, dtype=like.dtype, device=like.device)
        self.buffers: OrderedDict[Any, Any] = OrderedDict()
        self.steps = 0

    @classmethod
    def borrow(cls, like: Tensor) -> "Arena":
        """Return an arena that nobody else has."""
        free = cls._free.setdefault((like.dtype, like.device), [])
        try:
            return free.pop()
        except IndexError:  # not asked before, as another thread could take the last between question and pop
            return cls(like)

    def give_back(self) -> None:
        """Let others borrow it."""
        if self.memory.numel() <= _KEPT_FLOATS:
            self._free[self.memory.dtype, self.memory.device].append(self)

    def buffers_for(self, kind: type[Any], layout: Layout, size: int) -> Any:
        """Return the buffers of a recurrence for a layout, with whatever stood in them."""
        key = (kind, layout, size)
        found = self.buffers.get(key)
        if found is not None:
            self.buffers.move_to_end(key)
            return found
        floats = kind.floats(layout, size)
        if self.memory.numel() < floats:
            self._grow(floats)
        with torch.inference_mode(False):  # they may outlive it
            made = kind(Block(self.memory), layout, size)
        if layout.joins:  # no other batch has the same
            return made
        self.buffers[key] = made
        self.steps += len(layout.sizes)
        while self.steps > _KEPT_STEPS and len(self.buffers) > 1:
            (_, oldest, _), _ = self.buffers.popitem(last=False)
            self.steps -= len(oldest.sizes)
        return made

    def _grow(self, floats: int) -> None:
        with torch.inference_mode(False):
            self.memory = torch.empty(floats, dtype=self.memory.dtype, device=self.memory.device)
        self.buffers.clear()
        self.steps = 0


class Lease:
    """An arena for as long as this object lives."""

    def __init__(self, like: Tensor) -> None:
        self.arena = Arena.borrow(like)

    def __del__(self) -> None:
        self.arena.give_back()


class StepViews:
    """The views of each step of some tensors of packed rows (N, ...), forwards or backwards, made once or as needed.

    Args:
        layout: The layout of the rows.
        own: Tensors of which each step gets its rows.
        before: Tensors of which each step gets the rows of the step before whose sequences go on.
        first: Tensors (widest, ...) of which each step gets as many rows from the top as it has.
        carried: The one among them, (widest, H), that backwards carries something from a step to the one before.
    """

    def __init__(
        self,
        layout: Layout,
        own: Sequence[Tensor],
        before: Sequence[Tensor] = (),
        first: Sequence[Tensor] = (),
        *,
        carried: Tensor | None = None,
    ) -> None:
        self.layout, self.own, self.before, self.first, self.carried = layout, own, before, first, carried
        self._forwards: list[tuple[Any, ...]] | None = None

    def forwards(self) -> Iterator[tuple[Any, ...]]:
        """Yield (views of own, views of before or Nones at the first step, views of first) step by step."""
        steps = iter(self._kept()) if self._is_short else self._windows(range(0, len(self.layout.sizes), _WINDOW))
        return self._gather(steps) if self.layout.joins else steps

    def backwards(self) -> Iterator[tuple[Any, ...]]:
        """Yield the same, the last step first."""
        starts = range(0, len(self.layout.sizes), _WINDOW)
        windows = (step for start in reversed(starts) for step in reversed(list(self._window(start))))
        steps = iter(self._kept()[::-1]) if self._is_short else windows
        return self._scatter(steps) if self.layout.joins else steps

    def _gather(self, steps: Iterator[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
        """At steps that join rows of the step before, give copies of these."""
        joins, own, first = self.layout.joins, len(self.own), len(self.own) + len(self.before)
        for number, views in enumerate(steps):
            if number in joins:
                before = (x.index_select(0, joins[number]) for x in views[own:first])
                yield (*views[:own], *before, *views[first:])
            else:
                yield views

    def _scatter(self, steps: Iterator[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
        """At steps that join rows of the step before, take what is meant for these, and add it up."""
        joins, own, first = self.layout.joins, len(self.own), len(self.own) + len(self.before)
        for number, views in zip(range(len(self.layout.sizes) - 1, -1, -1), steps, strict=True):
            if number not in joins:
                yield views
                continue
            before, parents = views[own:first], joins[number]
            taken = [x.new_zeros(len(parents), *x.shape[1:]) for x in before]
            yield (*views[:own], *taken, *views[first:])
            for x, part in zip(before, taken, strict=True):
                x.index_add_(0, parents, part)
            if self.carried is not None:
                rows = self.carried[: self.layout.sizes[number - 1]]
                rows.copy_(torch.zeros_like(rows).index_add_(0, parents, self.carried[: len(parents)]))

    @property
    def _is_short(self) -> bool:
        return len(self.layout.sizes) <= _WINDOW

    def _kept(self) -> list[tuple[Any, ...]]:
        if self._forwards is None:
            with torch.inference_mode(False):
                self._forwards = list(self._window(0))
        return self._forwards

    def _windows(self, starts: range) -> Iterator[tuple[Any, ...]]:
        for start in starts:
            yield from self._window(start)

    def _window(self, start: int) -> Iterator[tuple[Any, ...]]:
        """Yield the views of the steps of one window."""
        all_sizes = self.layout.sizes
        sizes = list(all_sizes[start : start + _WINDOW])
        row = sum(all_sizes[:start])
        own = [torch.split(x[row : row + sum(sizes)], sizes) for x in self.own]
        going_on = [self._going_on(step) for step in range(start, start + len(sizes))]
        row_before = row - (all_sizes[start - 1] if start else 0)
        before = [_heads(x, row_before, going_on) for x in self.before]
        for number, size in enumerate(sizes):
            yield (
                *(views[number] for views in own),
                *(views[number] for views in before),
                *(x[:size] for x in self.first),
            )

    def _going_on(self, step: int) -> tuple[int, int] | None:
        """Return how many rows the step before has, and how many of them are to be seen; None for the first step."""
        if not step:
            return None
        sizes = self.layout.sizes
        return sizes[step - 1], sizes[step - 1 if step in self.layout.joins else step]


def _heads(x: Tensor, row: int, going_on: list[tuple[int, int] | None]) -> list[Tensor | None]:
    views: list[Tensor | None] = []
    for pair in going_on:
        if pair is None:
            views.append(None)
            continue
        rows, size = pair
        views.append(x[row : row + size])
        row += rows
    return views


def rows_before(x: Tensor, layout: Layout) -> Tensor:
    """Return for each row from the second step on the row of the step before: (N - B, H)."""
    if layout.is_level:
        return x[: layout.total - layout.batch]
    return x.index_select(0, layout.previous.to(x.device))


def scaled(weight: Tensor, tangent: slice) -> Tensor:
    """Return a copy of weights, or biases, in which those of a tanh are multiplied by -2."""
    weight = weight.clone()
    weight[tangent].mul_(-2)
    return weight
