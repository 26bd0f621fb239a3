"""Slices: the same figures for each part of what was measured."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from seqclf.notebook import html_table, text_table

__all__ = ["Slices"]

_BANDS = 4  # of lengths, with about as many sequences each


class Slices(Mapping[Any, Any]):
    """An `Evaluation` for each value of something, the most frequent value first: `Evaluation.by` makes it.

    Example:
        >>> import numpy as np
        >>> from seqclf import Evaluation
        >>> result = Evaluation(np.full(4, 0.5), np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]), ("cat", "dog"))
        >>> result.by(["mobile", "mobile", "mobile", "desktop"])
                 n  accuracy   95 % interval   loss  macro F1
        mobile   3     0.667  0.000 to 1.000  0.500     0.667
        desktop  1     1.000  0.025 to 1.000  0.500
    """

    def __init__(self, parts: Mapping[Any, Any]) -> None:
        self._parts = dict(parts)

    def __getitem__(self, value: Any) -> Any:
        return self._parts[value]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    def _table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        rows: list[tuple[str, ...]] = []
        for value, part in self._parts.items():
            low_high = part.interval()
            rows.append(
                (
                    str(value),
                    f"{part.n:,}",
                    f"{part.accuracy:.3f}",
                    f"{low_high.low:.3f} to {low_high.high:.3f}",
                    f"{part.loss:.3f}",
                    f"{part.macro_f1:.3f}" if part.majority < 1 else "",  # of one class it would tell nothing
                )
            )
        return ("", "n", "accuracy", "95 % interval", "loss", "macro F1"), rows

    def __repr__(self) -> str:
        return text_table(*self._table())

    def _repr_html_(self) -> str:
        return html_table([], *self._table())


def bands_of(lengths: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Return the band of each length, and the names of the bands: ranges with about as many sequences each."""
    edges = np.unique(np.quantile(lengths, np.linspace(0, 1, _BANDS + 1)[1:], method="inverted_cdf"))
    numbers = np.searchsorted(edges, lengths)
    names = []
    for band in range(len(edges)):
        own = lengths[numbers == band]
        low, high = int(own.min()), int(own.max())
        names.append(f"{low} steps" if low == high else f"{low} to {high} steps")
    return numbers, names
