"""What the batching law was tried on, and the worst differences found: written where SEQCLF_LAW_TABLE says."""

import os
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import torch

from seqclf import RNNClassifier

Case = tuple[str, int, str, str, str, torch.dtype]  # cell, layers, directions, pooling, way, dtype

_cases: dict[Case, list[tuple[float, float]]] = defaultdict(list)


def record(model: RNNClassifier, way: str, dtype: torch.dtype, logits: float, gradient: float) -> None:
    """Remember one case."""
    cell = model.cell if isinstance(model.cell, str) else model.cell.__name__
    pooling = " + ".join(model.pooling_names) or "a user's own"
    directions = "two" if model.bidirectional else "one"
    _cases[cell, model.num_layers, directions, pooling, way, dtype].append((logits, gradient))


def write() -> None:
    """Write the tables as Markdown."""
    path = os.environ.get("SEQCLF_LAW_TABLE")
    if not path or not _cases:
        return
    parts = [f"{sum(map(len, _cases.values())):,} generated cases, {len(_cases):,} combinations.\n"]
    parts += [
        _table("cell", lambda case: f"`{case[0]}`"),
        _table("layers, directions", lambda case: f"{case[1]}, {case[2]}"),
        _table("pooling", lambda case: case[3]),
        _table("way", lambda case: case[4]),
    ]
    Path(path).write_text("\n".join(parts), encoding="utf-8")


def _table(name: str, key: Callable[[Case], str]) -> str:
    """Return one table: a row for each value of `key`, the worst difference of both kinds in both types."""
    rows: dict[str, dict[torch.dtype, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    for case, found in _cases.items():
        rows[key(case)][case[-1]] += found
    lines = [
        f"| {name} | cases | logits, float64 | gradients, float64 | logits, float32 | gradients, float32 |",
        "|---|---|---|---|---|---|",
    ]
    for row in sorted(rows):
        worst = [
            f"{max(pair[kind] for pair in rows[row][dtype]):.1e}" if rows[row][dtype] else ""
            for dtype in (torch.float64, torch.float32)
            for kind in (0, 1)
        ]
        lines.append(f"| {row} | {sum(map(len, rows[row].values())):,} | {' | '.join(worst)} |")
    return "\n".join(lines) + "\n"
