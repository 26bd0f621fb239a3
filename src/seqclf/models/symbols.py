"""What a symbol's step is read as besides its own vector: its distance from the ends, and the n-grams that end there.

Legend: B sequences, T steps, E features of a vector, K orders of n-grams, M n-grams that have a vector.
"""

from collections.abc import Sequence
from typing import Any, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqclf.checks import check_choice, check_int
from seqclf.choices import PositionsName
from seqclf.data.ngrams import MOST_KEYS, keys_of_windows
from seqclf.engine.library import MOST_NGRAM
from seqclf.errors import InvalidArgumentError

MOST_DISTANCES = 128  # distances with a vector of their own, from each end; those further away share the last
MOST_NGRAMS = 1 << 15  # the most frequent: each is a row that every update of the weights goes through


class PositionVectors(nn.Module):
    """Vectors for a step's distance from the start of its sequence, from the end, or both, which are added up."""

    start: nn.Parameter | None
    end: nn.Parameter | None

    def __init__(self, which: PositionsName, size: int) -> None:
        super().__init__()
        for name in ("start", "end"):
            wanted = which in {name, "both"}
            self.register_parameter(name, nn.Parameter(torch.randn(MOST_DISTANCES, size)) if wanted else None)

    def forward(self, lengths: Tensor, steps: int, first: int = 0) -> Tensor:
        """Return the vectors of so many steps, the first of which has a number, (B, T, E), for lengths (B,)."""
        numbers = torch.arange(first, first + steps)[None].expand(len(lengths), steps)
        distances = {"start": numbers, "end": (lengths[:, None] - 1 - numbers).clamp(min=0)}
        tables = {name: table for name, table in self._parameters.items() if table is not None}
        found = [
            table[distances[name].clamp(max=MOST_DISTANCES - 1).to(table.device)] for name, table in tables.items()
        ]
        return torch.stack(found).sum(0)


class NGramVectors(nn.Module):
    """Vectors for n-grams that end at a step, zero at first; others than those of the training data have none.

    Args:
        orders: How many symbols they are of, ascending.
        vocab_size: The number of ids.
        count: How many n-grams have a vector.
        size: The size of the vectors.
    """

    keys: Tensor

    def __init__(self, orders: tuple[int, ...], vocab_size: int, count: int, size: int) -> None:
        super().__init__()
        self.orders, self.vocab_size = orders, vocab_size
        self.weight = nn.Parameter(torch.zeros(count, size))
        self.register_buffer("keys", torch.arange(count))

    def rows(self, ids: Tensor) -> Tensor:
        """Return which n-gram of each order ends at each step, (B, T, K) for ids (B, T); -1 for none that is known."""
        found = [self._rows(keys_of_windows(ids, order, self.vocab_size)) for order in self.orders]
        return torch.stack(found, dim=-1)

    def _rows(self, keys: Tensor) -> Tensor:
        if not len(self.keys):
            return torch.full_like(keys, -1)
        rows = torch.searchsorted(self.keys, keys).clamp(max=len(self.keys) - 1)
        return torch.where(self.keys[rows] == keys, rows, -1)

    def forward(self, rows: Tensor) -> Tensor:
        """Return the sums of the vectors of n-grams (B, T, K): (B, T, E)."""
        if not len(self.weight):
            return self.weight.sum(0).expand(*rows.shape[:-1], -1)  # zeros, of which autograd knows
        vectors = functional.embedding(rows.clamp(min=0), self.weight)  # (B, T, K, E)
        return (vectors * (rows >= 0)[..., None]).sum(-2)


def check_positions(positions: Any) -> PositionsName | None:
    """Return which distances have vectors, if any."""
    return None if positions is None else check_choice("positions", positions, get_args(PositionsName))


def check_ngrams(ngrams: Any, vocab_size: int | None) -> tuple[int, ...] | None:
    """Return the orders of n-grams, ascending, if any."""
    if ngrams is None:
        return None
    listed = [ngrams] if not isinstance(ngrams, Sequence) or isinstance(ngrams, str) else ngrams
    orders = tuple(sorted({check_int("ngrams", order, minimum=2) for order in listed}))
    if not orders or orders[-1] > MOST_NGRAM:
        raise InvalidArgumentError(f"ngrams must be numbers of symbols from 2 to {MOST_NGRAM}; got {ngrams!r}.")
    if vocab_size is not None and vocab_size ** orders[-1] >= MOST_KEYS:
        raise InvalidArgumentError(
            f"ngrams must be so short that vocab_size ** n stays below 2^63; got {orders[-1]} with {vocab_size} ids. "
            "Pass shorter ones, or a vocabulary with a larger min_freq."
        )
    return orders
