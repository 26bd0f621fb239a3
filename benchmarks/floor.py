"""The floor: the seconds that the arithmetic of the work alone takes on this machine, and nothing else.

Whatever runs the same recurrence in these batches must make these products; they are timed one by one, at their own
shapes, by torch's matrix library, and only real steps count. So `floor / measured` is the part of the time that is
arithmetic, and what is missing to 1 is calls, padding, gathering, and memory moved to and fro. It is no law of nature:
code that prepares its weights once for all steps, as this library does, can multiply a few rows faster than `torch.mm`.

Legend: B sequences in a batch, N steps of all of them, H the hidden size, G gates (4, 3, 1 for LSTM, GRU, RNN), n_t how
many sequences are longer than t.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.config import EMBEDDING, Config, Task
from benchmarks.products import best_seconds, rows_times, sums_of_products
from benchmarks.work import Work
from seqclf import BucketBatchSampler

GATES = {"lstm": 4, "gru": 3, "rnn": 1}

# Passes over (N, H) that no way of computing a step can do without, at the speed of torch's own, in the cache.
# Forward: an LSTM takes the sigmoid or tanh of four gates and of the cell, and multiplies three times (f * c, i * g,
# o * tanh(c)); a GRU has three gates, r * n, and h = n + z * (h' - n); an RNN has one tanh.
SIGMOIDS = {"lstm": 5, "gru": 3, "rnn": 1}
PRODUCTS = {"lstm": 3, "gru": 3, "rnn": 0}
# Backward: for each gate the product that its gradient is, and the product with its derivative; for an LSTM dh * o and
# the derivative of tanh into the cell, and dc * f out of it; for a GRU dh * z, dn * r, and h' - n once more. Sums ride
# along as multiply-adds.
BACKWARD_PRODUCTS = {"lstm": 11, "gru": 9, "rnn": 1}

_OPTIMIZER_FLOATS = 5  # SGD with momentum reads weight, gradient and momentum, and writes weight and momentum
_BLOCK = 1 << 17  # floats of a pointwise measurement: half a megabyte, which stays in the cache


@dataclass
class Shapes:
    """How often each shape of product occurs in an epoch.

    Attributes:
        alive: How many steps have n sequences, for each n; first steps, whose state is zero, left out.
        later: How many batches have k steps in all that are not first ones, for each k.
        steps: The number of real steps.
        updates: The number of batches.
    """

    alive: Counter[int] = field(default_factory=Counter)
    later: Counter[int] = field(default_factory=Counter)
    steps: int = 0
    updates: int = 0


def count_shapes(lengths: npt.NDArray[np.int64], batches: Iterable[list[int]]) -> Shapes:
    """Count the shapes of the products of an epoch."""
    shapes = Shapes()
    for batch in batches:
        own = lengths[batch]
        alive = len(own) - np.cumsum(np.bincount(own))[1:-1]  # n_1, n_2, ... n_(T-1)
        shapes.alive.update(alive.tolist())
        shapes.later[int(own.sum()) - len(own)] += 1
        shapes.steps += int(own.sum())
        shapes.updates += 1
    return shapes


class Floor:
    """Measures the floor of one config, turn by turn, beside the peers.

    Every distinct shape is timed in every turn, as the best of several tries in the fastest way, and counts as often as
    it occurs. Layers and directions each have a recurrence of their own. The inputs of the first layer count nothing,
    as the embedding and its product can be folded into one table with a row for each symbol; those of further layers
    do. Embedding, pooling, dropout, head and loss count nothing either.
    """

    def prepare(self, work: Work, config: Config) -> None:
        """Count the shapes, and make the operands."""
        self.config = config
        self.shapes = count_shapes(work.lengths, BucketBatchSampler(work.lengths, config.batch_size, seed=0))
        self.parameters = _count_parameters(len(work.vocabulary), work.num_classes, config)
        self.width = GATES[config.cell] * config.hidden
        most = max([1, *self.shapes.alive, *self.shapes.later])
        states, gradients = torch.randn(most, config.hidden), torch.randn(most, self.width)
        weight_t = torch.randn(config.hidden, self.width)
        self.forward = rows_times(states, weight_t, config.threads)
        self.backward = rows_times(gradients, weight_t.t(), config.threads)
        self.weight_gradient = sums_of_products(gradients, states, config.threads)

    def seconds(self, task: Task) -> float:
        """Return the floor of a pass of training or of prediction, as it is now."""
        shapes, recurrences = self.shapes, self.config.layers * self.config.directions
        recurrent = self.forward.seconds(shapes.alive)
        inputs = self._inputs()
        pointwise = self._pointwise(SIGMOIDS, PRODUCTS)
        optimizer = 0.0
        if task == "train":
            recurrent += self.backward.seconds(shapes.alive) + self.weight_gradient.seconds(shapes.later)
            inputs *= 3  # the product itself, the gradient of its input, and that of its weight: as many operations
            pointwise += self._pointwise({}, BACKWARD_PRODUCTS)
            optimizer = shapes.updates * self._update()
        return recurrences * (recurrent + pointwise) + inputs + optimizer

    def _inputs(self) -> float:
        """Time the input products of all layers but the first: per step, in a block of many steps."""
        further = self.config.directions * (self.config.layers - 1)
        if not further:
            return 0.0
        rows, width = min(1024, self.shapes.steps), self.config.directions * self.config.hidden
        states, weight, out = torch.randn(rows, width), torch.randn(width, self.width), torch.empty(rows, self.width)
        return further * self.shapes.steps / rows * best_seconds(lambda: torch.mm(states, weight, out=out))

    def _pointwise(self, sigmoids: dict[str, int], products: dict[str, int]) -> float:
        """Time the passes over (N, H) of one recurrence, by the speed at which a block in the cache is passed over."""
        one, other, out = torch.randn(_BLOCK), torch.randn(_BLOCK), torch.empty(_BLOCK)
        block = sigmoids.get(self.config.cell, 0) * best_seconds(lambda: torch.sigmoid(one, out=out))
        block += products[self.config.cell] * best_seconds(lambda: torch.mul(one, other, out=out))
        return block / _BLOCK * self.shapes.steps * self.config.hidden

    def _update(self) -> float:
        """Time the memory that one update must move, by the bandwidth of copying as many floats as there are weights.

        So weights that fit the cache are moved at the speed of the cache.
        """
        source, target = torch.randn(self.parameters), torch.empty(self.parameters)
        return _OPTIMIZER_FLOATS / 2 * best_seconds(lambda: target.copy_(source))  # a copy reads one and writes one


def _count_parameters(vocab_size: int, num_classes: int, config: Config) -> int:
    """Return the number of weights of the model that all peers train."""
    states = config.directions * config.hidden
    rows = GATES[config.cell] * config.hidden
    widths = [EMBEDDING] + [states] * (config.layers - 1)
    recurrent = sum(config.directions * rows * (width + config.hidden + 2) for width in widths)
    return vocab_size * EMBEDDING + recurrent + (states * len(config.pooling) + 1) * num_classes
