"""The parts of a classifier that the compiled kernels run: what they are, how large, and where their weights lie.

Legend: V ids, E features of an input, D = directions * hidden.
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from seqclf.engine.library import CELLS, MOST_NGRAM, MOST_POOLINGS, POOLINGS, CAttention, CDirection, CModel
from seqclf.errors import InvalidArgumentError


class Sizes(NamedTuple):
    """How large the parts are; `vectors` and `classes` are 0 where there are none."""

    mode: str
    layers: int
    directions: int
    hidden: int
    input: int
    vectors: int
    starts: int
    ends: int
    ngrams: int
    classes: int
    poolings: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Vectors:
    """The vectors whose sum a step of symbols is read as.

    Attributes:
        ids: Those that stand for ids, (V, E).
        start: Those that stand for distances from the start, (P, E); None where there are none.
        end: Likewise from the end.
        ngrams: Those that stand for n-grams, (M, E); None where there are none.
        keys: Their ids as the digits of numbers to the base V, ascending, int64 (M,).
        orders: How many symbols n-grams are of.
    """

    ids: Tensor
    start: Tensor | None = None
    end: Tensor | None = None
    ngrams: Tensor | None = None
    keys: Tensor | None = None
    orders: tuple[int, ...] = ()

    def tables(self) -> list[Tensor]:
        """Return all of them that there are."""
        return [table for table in (self.ids, self.start, self.end, self.ngrams) if table is not None]


@dataclass(frozen=True, eq=False)
class Parts:
    """What the kernels need to know of a classifier, or of some of it.

    Attributes:
        encoder: One of torch's encoders.
        vectors: What symbols are read as; None where steps are features.
        poolings: The names of the poolings, and their modules; none where states are wanted as they are.
        head: The last layer; None where pooled vectors are wanted.
    """

    encoder: nn.RNNBase
    vectors: Vectors | None
    poolings: tuple[tuple[str, nn.Module], ...] = ()
    head: nn.Linear | None = None

    @property
    def sizes(self) -> Sizes:
        """How large they are."""
        encoder, vectors = self.encoder, self.vectors
        tables = (None,) * 4 if vectors is None else (vectors.ids, vectors.start, vectors.end, vectors.ngrams)
        ids, starts, ends, ngrams = (0 if table is None else table.shape[0] for table in tables)
        return Sizes(
            encoder.mode,
            encoder.num_layers,
            2 if encoder.bidirectional else 1,
            encoder.hidden_size,
            encoder.input_size,
            ids,
            starts,
            ends,
            ngrams,
            0 if self.head is None else self.head.out_features,
            tuple(name for name, _ in self.poolings),
        )

    @property
    def state_size(self) -> int:
        """D."""
        return self.encoder.hidden_size * (2 if self.encoder.bidirectional else 1)

    def weights(self) -> list[Tensor]:
        """Return all weights, in the order in which the kernels name them: layers, vectors, poolings, head."""
        parameters: Any = self.encoder._parameters  # read directly, as a module's own look-up is slow
        found = [parameters[name] for names in self.encoder._all_weights for name in names]
        found += [] if self.vectors is None else self.vectors.tables()
        for name, module in self.poolings:
            if name == "attention":
                attention: Any = module
                found += [attention.hidden.weight, attention.hidden.bias, attention.context.weight]
        return found if self.head is None else [*found, self.head.weight, self.head.bias]


@lru_cache
def _shapes(sizes: Sizes) -> list[tuple[int, ...]]:
    """Return the shapes of all weights, in the order of `Parts.weights`."""
    hidden, width = sizes.hidden, sizes.hidden * sizes.directions
    gates = {"LSTM": 4, "GRU": 3}.get(sizes.mode, 1) * hidden
    shapes: list[tuple[int, ...]] = []
    for layer in range(sizes.layers):
        inputs = width if layer else sizes.input
        shapes += [(gates, inputs), (gates, hidden), (gates,), (gates,)] * sizes.directions
    shapes += [(count, sizes.input) for count in (sizes.vectors, sizes.starts, sizes.ends) if count]
    shapes += [(sizes.ngrams, sizes.input)] if sizes.ngrams else []
    for name in sizes.poolings:
        shapes += [(width, width), (width,), (1, width)] if name == "attention" else []
    return [*shapes, (sizes.classes, width * len(sizes.poolings)), (sizes.classes,)] if sizes.classes else shapes


class NativeModel:
    """A classifier, or some of it, as the kernels see it: pointers to weights, which must not be moved meanwhile.

    Args:
        parts: What there is.
        weights: Those to use in place of `parts.weights()`, such as with some dropped.
        gradients: Where their gradients go; None where none are wanted.
    """

    def __init__(
        self, parts: Parts, weights: Sequence[Tensor] | None = None, gradients: Sequence[Tensor] | None = None
    ) -> None:
        self.parts, self.sizes = parts, parts.sizes
        given = parts.weights() if weights is None else weights
        self.weights = [weight if weight.is_contiguous() else weight.detach().contiguous() for weight in given]
        self.gradients = gradients
        self.dtype = self.weights[0].dtype
        _check_shapes(self.sizes, self.weights, gradients)
        self.struct = _struct(self.sizes, self.weights, gradients)
        if parts.vectors is not None and self.sizes.ngrams:
            self._know_ngrams(parts.vectors)
        self.address = ctypes.addressof(self.struct)

    def _know_ngrams(self, vectors: Vectors) -> None:
        """Tell the kernels which n-grams have vectors."""
        keys = vectors.keys
        if keys is None or keys.shape != (self.sizes.ngrams,) or keys.dtype != torch.int64:
            raise InvalidArgumentError(f"keys must be int64 of shape ({self.sizes.ngrams},), as many as n-grams.")
        self._keys = keys.contiguous()  # kept for as long as the kernels may look
        self.struct.ngram_key = self._keys.data_ptr()
        self.struct.orders, self.struct.order = len(vectors.orders), (ctypes.c_int64 * MOST_NGRAM)(*vectors.orders)


def _struct(sizes: Sizes, weights: Sequence[Tensor], gradients: Sequence[Tensor] | None) -> CModel:
    """Return the pointers to weights, and to where their gradients go."""
    pointers = iter([weight.data_ptr() for weight in weights])
    targets = iter([None] * len(weights) if gradients is None else [gradient.data_ptr() for gradient in gradients])

    def take(count: int) -> tuple[int | None, ...]:
        return (*islice(pointers, count), *islice(targets, count))

    count, poolings = sizes.layers * sizes.directions, sizes.poolings
    directions = (CDirection * count)(*[CDirection(*take(4)) for _ in range(count)])
    embedding, start, end, ngram = (
        take(1) if count else (None, None) for count in (sizes.vectors, sizes.starts, sizes.ends, sizes.ngrams)
    )
    attentions = (CAttention * max(1, len(poolings)))(
        *[CAttention(*take(3)) if name == "attention" else CAttention() for name in poolings]
    )
    head = take(2) if sizes.classes else (None,) * 4
    return CModel(
        CELLS[sizes.mode],
        *sizes[1:6],
        sizes.classes,
        len(poolings),
        (ctypes.c_int64 * MOST_POOLINGS)(*[POOLINGS[name] for name in poolings]),
        *embedding,
        *head,
        starts=sizes.starts,
        ends=sizes.ends,
        start=start[0],
        d_start=start[1],
        end=end[0],
        d_end=end[1],
        ngrams=sizes.ngrams,
        ngram=ngram[0],
        d_ngram=ngram[1],
        direction=directions,
        attention=attentions,
    )


def _check_shapes(sizes: Sizes, weights: Sequence[Tensor], gradients: Sequence[Tensor] | None) -> None:
    """Raise unless weights and gradients have the sizes that the kernels will take them to have."""
    expected, dtype = _shapes(sizes), weights[0].dtype
    if [one.shape for one in weights] != expected or any(one.dtype != dtype for one in weights):
        got = [tuple(one.shape) for one in weights]
        raise InvalidArgumentError(f"weights must fit each other: {expected}; got {got}. Make the model anew.")
    if gradients is not None and any(
        target.shape != weight.shape or target.dtype != weight.dtype or not target.is_contiguous()
        for target, weight in zip(gradients, weights, strict=True)
    ):
        raise InvalidArgumentError("gradients must be contiguous, of the shapes and the type of the weights.")
