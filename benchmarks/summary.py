"""Summary: from the seconds of all turns to the figures of the tables."""

import statistics
from collections.abc import Sequence
from typing import Any

from benchmarks.config import SINGLE_TASKS, SINGLES, Task
from benchmarks.peers import SEQCLF

# What runs on torch as this library does; the best of them is what a user of torch would have instead.
ON_TORCH = ("hand-written", "hand-padded", "skorch", "lightning", "keras-torch")


def summarise(measurement: dict[str, Any], task: Task) -> dict[str, Any]:
    """Return one row: the figures of each peer for one task of a measured config.

    The first turn stands apart, as that is where libraries compile and caches fill; all else is of the turns after it.
    """
    peers = {
        name: _figures(peer["tasks"][task], peer["ready"], task)
        for name, peer in measurement["peers"].items()
        if peer["failure"] is None and len(peer["tasks"].get(task, {}).get("seconds", [])) > 1
    }
    own = peers.get(SEQCLF)
    ratios = {name: own["rate"] / figures["rate"] for name, figures in peers.items() if name != SEQCLF} if own else {}
    on_torch = {name: ratios[name] for name in ON_TORCH if name in ratios}
    return {
        "task": task,
        "title": measurement["config"]["title"],
        "work": measurement["config"]["work"],
        "series": measurement["config"]["series"],
        "batch_size": measurement["config"]["batch_size"],
        "peers": peers,
        "failures": {name: peer["failure"] for name, peer in measurement["peers"].items() if peer["failure"]},
        "ratios": ratios,
        "best_on_torch": min(on_torch, key=lambda name: on_torch[name]) if on_torch else None,
        "efficiency": _efficiency(measurement, task, own),
    }


def percentile(values: Sequence[float], percent: float) -> float:
    """Return a percentile, by linear interpolation between the values on both sides of it."""
    ordered = sorted(values)
    place = percent / 100 * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def _amount(ready: dict[str, Any], task: Task) -> tuple[int, float]:
    """Return how many sequences a turn went through, and how many steps; for single ones by the mean length."""
    if task not in SINGLE_TASKS:
        return ready["sequences"], ready["steps"]
    sequences = min(SINGLES, ready["sequences"])
    return sequences, sequences / ready["sequences"] * ready["steps"]


def _figures(turns: dict[str, list[Any]], ready: dict[str, Any], task: Task) -> dict[str, Any]:
    """Return the figures of one peer: `rate` is the median of sequences a second, `p10` their low end."""
    sequences, steps = _amount(ready, task)
    first, *steady = turns["seconds"]
    rates = [sequences / seconds for seconds in steady]
    seconds = sequences / statistics.median(rates)
    wastes = [waste for waste in turns["padding_waste"] if waste is not None]
    return {
        "sequences": sequences,
        "rounds": len(steady),
        "seconds": seconds,
        "first_seconds": first,
        "rate": statistics.median(rates),
        "p10": percentile(rates, 10),
        "tokens": steps / seconds,
        "losses": [loss for loss in turns["loss"] if loss is not None],
        "accuracy": turns["accuracy"][-1],
        "waste": statistics.mean(wastes) if wastes else None,
        "others": None if None in turns["others"] else statistics.median(turns["others"][1:]),
        "memory": turns["memory"][-1],
        "memory_before": ready["memory"],
    }


def _efficiency(measurement: dict[str, Any], task: Task, own: dict[str, Any] | None) -> float | None:
    """Return the part of this library's time that is arithmetic which nothing can do without."""
    floor = measurement["floor"]
    if own is None or floor is None or floor["failure"] is not None or task not in floor["tasks"]:
        return None
    seconds: list[float] = floor["tasks"][task]["seconds"]
    return statistics.median(seconds[1:] or seconds) / float(own["seconds"])
