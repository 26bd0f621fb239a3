"""Some layers of an encoder, forwards and back through all of them, and what shows them to autograd as one node."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from seqclf.models.execution.fused.arena import Lease
from seqclf.models.execution.fused.reading import Reading, input_gradients
from seqclf.models.execution.fused.running import KINDS, STEPPERS
from seqclf.models.execution.fused.single import SinglePass

_WINDOW_ROWS = 256  # of gates that a pass without a gradient makes at once


class Stack:
    """Layers of one direction or two, between what they read and what they put out.

    `forward` and, where a gradient is wanted, `backward` are called once each, outside of autograd's sight.
    """

    def __init__(self, reading: Reading, *, with_gradient: bool = True) -> None:
        self.reading = reading
        self.with_gradient = with_gradient
        self.layers: list[list[Any]] = []

    def forward(self, vectors: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """Return the outputs of the last layer, (N, directions * H), or only the last ones, (B, directions * H).

        Args:
            vectors: The vectors of the steps, (N, E), or those that stand for ids, (V, E), id 0 for padding.
            weights: For each layer and direction weight_ih, weight_hh, bias_ih and bias_hh, as torch's encoders have
                them.
        """
        directions = 2 if self.reading.bidirectional else 1
        size = 4 * directions
        x, ids = vectors, self.reading.ids
        kind = self._kind(vectors)
        for start in range(0, len(weights), size):
            last_only = self.reading.last_only and start + size == len(weights)
            layer, halves = [], []
            for direction in range(directions):
                one = weights[start + 4 * direction : start + 4 * direction + 4]
                layer.append(kind(self.reading, self._turn(ids, direction), last_only))
                half = layer[-1].forward(x if ids is not None else self._turn(x, direction), one)
                halves.append(half if last_only else self._turn(half, direction))
            self.layers.append(layer)
            x, ids = halves[0] if directions == 1 else torch.cat(halves, dim=1), None
        return x

    def backward(self, gradient: Tensor, *, of_vectors: bool) -> tuple[Tensor | None, list[Tensor]]:
        """Return the gradients of the vectors, if wanted, and of the weights."""
        of_weights: list[Tensor] = []
        of_inputs: Tensor | None = gradient
        for number, layer in reversed(list(enumerate(self.layers))):
            assert of_inputs is not None
            halves = of_inputs.chunk(len(layer), dim=1)
            of_inputs, of_layer = None, []
            for direction, (one, half) in enumerate(zip(layer, halves, strict=True)):
                of_outputs = half if one.last_only else self._turn(half, direction)
                found, of_one = one.backward(of_outputs, of_vectors=number > 0 or of_vectors)
                of_layer += of_one
                if found is not None:
                    found = found if one.ids is not None else self._turn(found, direction)
                    of_inputs = found if of_inputs is None else of_inputs.add_(found)
            of_weights = of_layer + of_weights
        return of_inputs if of_vectors else None, of_weights

    def _kind(self, x: Tensor) -> type["Pass | Sweep | SinglePass"]:
        if not self.with_gradient:
            return Sweep
        layout = self.reading.layout
        is_single = layout.widest == 1 and not layout.is_shared
        return SinglePass if is_single and x.device.type == "cpu" else Pass

    def _turn(self, x: Any, direction: int) -> Any:
        """Bring rows (N, ...) from the order of the batch into the order of a direction, or back."""
        if not direction or x is None:
            return x
        return x.index_select(0, self.reading.layout.reversal.to(x.device))


class Pass:
    """One direction of one layer, with the memory that it works in."""

    def __init__(self, reading: Reading, ids: Tensor | None, last_only: bool) -> None:
        self.kind, self.layout = KINDS[reading.mode], reading.layout
        self.ids, self.last_only = ids, last_only

    def forward(self, vectors: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """Return the outputs, (N, H), or the last ones, (B, H).

        Where ids are read, embedding and input product are folded into one table: a symbol's part of the gates is one
        row of E W_ih^T + b, which is computed once for each symbol in place of once for each step, forwards and
        backwards.
        """
        weight_ih, weight_hh, bias_ih, bias_hh = weights
        self.vectors, self.weight_ih, self.weight_hh = vectors, weight_ih, weight_hh
        self.lease = Lease(vectors)
        self.buffers = self.lease.arena.buffers_for(self.kind, self.layout, weight_hh.shape[1])
        if self.ids is None:
            self.kind.project(vectors, weight_ih, bias_ih, bias_hh, out=self.buffers.inputs)
        else:
            table = self.kind.project(vectors, weight_ih, bias_ih, bias_hh)
            torch.index_select(table, 0, self.ids, out=self.buffers.inputs)
        self.buffers.forward(weight_hh, bias_hh)
        outputs: Tensor = self.buffers.outputs
        return outputs.index_select(0, self._last(outputs)) if self.last_only else outputs

    def backward(self, gradient: Tensor, *, of_vectors: bool) -> tuple[Tensor | None, list[Tensor]]:
        """Return the gradients of the vectors, if wanted, and of the weights, from that of what was returned."""
        buffers = self.buffers
        if self.last_only:
            buffers.of_outputs.zero_().index_add_(0, self._last(gradient), gradient)  # several may end in one row
        else:
            buffers.of_outputs.copy_(gradient)
        of_weight_hh, of_bias_hh = buffers.backward(self.weight_hh)
        found, of_weight_ih, of_bias = input_gradients(
            buffers.of_inputs, self.vectors, self.ids, self.weight_ih, of_vectors=of_vectors
        )
        of_bias_hh = of_bias.clone() if of_bias_hh is None else of_bias_hh  # not one tensor for two weights
        return found, [of_weight_ih, of_weight_hh, of_bias, of_bias_hh]

    def _last(self, x: Tensor) -> Tensor:
        return self.layout.last.to(x.device)


class Sweep:
    """One direction of one layer without a gradient: it leaves nothing behind but the outputs."""

    def __init__(self, reading: Reading, ids: Tensor | None, last_only: bool) -> None:
        self.kind, self.layout = KINDS[reading.mode], reading.layout
        self.ids, self.last_only = ids, last_only

    def forward(self, vectors: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """Return the outputs, (N, H), or the last ones, (B, H)."""
        weight_ih, weight_hh, bias_ih, bias_hh = weights
        step = STEPPERS[self.kind](self.kind, weight_hh, bias_hh)
        table = None if self.ids is None else self.kind.project(vectors, weight_ih, bias_ih, bias_hh)
        windows = list(_windows(self.layout.sizes))
        gates = vectors.new_empty(max(rows for _, rows, _ in windows), len(weight_ih))
        outputs = None if self.last_only else vectors.new_empty(self.layout.total, step.size)
        states = step.new_states(self.layout.batch)  # of each sequence those of its last step so far
        following = [states[0], *step.new_states(self.layout.batch)[1:]]
        has_begun = False
        for start, rows, sizes in windows:
            inputs = gates[:rows]
            if self.ids is None or table is None:
                self.kind.project(vectors[start : start + rows], weight_ih, bias_ih, bias_hh, out=inputs)
            else:
                torch.index_select(table, 0, self.ids[start : start + rows], out=inputs)
            for x in torch.split(inputs, sizes):
                count = len(x)
                before = [part[:count] for part in states] if has_begun else None
                step(x, before, [part[:count] for part in following])
                states, following, has_begun = following, states, True
                if outputs is not None:
                    outputs[start : start + count] = states[0][:count]
                    start += count  # noqa: PLW2901  # it was used above
        return states[0] if outputs is None else outputs


def _windows(sizes: Sequence[int]) -> Iterator[tuple[int, int, list[int]]]:
    """Yield (first row, number of rows, sizes of the steps) of as many steps at once as stay in a core's cache."""
    start = rows = 0
    steps: list[int] = []
    for size in sizes:
        if steps and rows + size > _WINDOW_ROWS:
            yield start, rows, steps
            start, rows, steps = start + rows, 0, []
        steps.append(size)
        rows += size
    yield start, rows, steps


class Recurrence(torch.autograd.Function):
    """A stack as one node of autograd's graph."""

    @staticmethod
    def forward(ctx: Any, reading: Reading, vectors: Tensor, *weights: Tensor) -> Tensor:
        """Return the outputs, in memory of their own."""
        ctx.stack = Stack(reading)
        ctx.save_for_backward(vectors, *weights)
        with without_autocast(vectors):
            outputs: Tensor = ctx.stack.forward(vectors, weights)
        owned = reading.last_only or reading.bidirectional  # then they were gathered from the buffers
        return outputs if owned else outputs.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of the arguments."""
        _ = ctx.saved_tensors  # raises where one was changed since, or the graph is freed
        with without_autocast(gradient):
            of_vectors, of_weights = ctx.stack.backward(gradient, of_vectors=ctx.needs_input_grad[1])
        return None, of_vectors, *of_weights


def without_autocast(x: Tensor) -> AbstractContextManager[Any]:
    """Return a context in which products stay in the type of the weights: the buffers they are written to are of it."""
    device = x.device.type
    return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext()
