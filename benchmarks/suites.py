"""Suites: which points are measured."""

from dataclasses import replace
from typing import get_args

from benchmarks.config import SINGLE_TASKS, CellName, Config, Task

BATCH_SIZES = (1, 10, 30, 64, 256, 1024)
_LARGE = (64, 256, 1024)
_CELLS: tuple[CellName, ...] = ("lstm", "gru")
_THREADS = (2, 1)
_ALL_TASKS: tuple[Task, ...] = get_args(Task)


def core() -> list[Config]:
    """Return what must be shown.

    Every batch size on one thread and on two, both sizes of the state, what people should use, short and long
    sequences, all names, and one name at a time.
    """
    small = [
        _named(Config(cell=cell, batch_size=size, threads=threads))
        for threads in _THREADS
        for cell in _CELLS
        for size in BATCH_SIZES
    ]
    usual = [_recommended(cell, threads) for threads in _THREADS for cell in _CELLS]
    large = [Config(cell=cell, hidden=256, batch_size=size) for cell in _CELLS for size in _LARGE]
    long = [Config(work="50-400", cell=cell, batch_size=32) for cell in _CELLS]
    longer = [Config(work="1000-2000", cell=cell, batch_size=16) for cell in _CELLS]
    whole = [
        Config(work="all names", cell=cell, batch_size=size, tasks=("predict",))
        for cell in _CELLS
        for size in (*_LARGE, 4096)
    ]
    deep = [
        Config(cell=cell, layers=2, bidirectional=True, batch_size=1, threads=threads, tasks=SINGLE_TASKS)
        for threads in _THREADS
        for cell in _CELLS
    ]
    return small + large + usual + long + longer + whole + deep


def full() -> list[Config]:
    """Return the core and what lies around it, with one thing varied at a time: the whole product would take days."""
    varied = [
        _named(replace(point, **change))
        for size in BATCH_SIZES
        for point in [Config(batch_size=size)]
        for change in ({"cell": "rnn"}, {"layers": 2}, {"bidirectional": True}, {"hidden": 256})
    ]
    one_thread = [replace(point, threads=1) for point in core()]
    pairs = [
        Config(cell=cell, layers=2, bidirectional=True, batch_size=64, hidden=hidden)
        for cell in _CELLS
        for hidden in (128, 256)
    ]
    long = [
        Config(work="50-400", batch_size=32, **change)
        for change in ({"cell": "rnn"}, {"layers": 2}, {"bidirectional": True})
    ]
    return list(dict.fromkeys(core() + varied + one_thread + pairs + long))


def quick() -> list[Config]:
    """Return what shows in seconds that everything runs; its figures mean nothing."""
    return [
        Config(work="sample", hidden=32, batch_size=10, tasks=_ALL_TASKS),
        Config(work="sample", cell="gru", hidden=32, batch_size=64, threads=1),
        replace(_recommended("lstm", 2), work="sample", hidden=32),
    ]


def _named(point: Config) -> Config:
    """Add names one at a time to a point of batch size 1."""
    return replace(point, tasks=_ALL_TASKS) if point.batch_size == 1 else point


def _recommended(cell: CellName, threads: int) -> Config:
    """Return what people should use on names: two layers both ways, dropout, and more than the last state."""
    return Config(
        cell=cell,
        layers=2,
        bidirectional=True,
        dropout=0.5,
        pooling=("last", "mean", "max"),
        batch_size=32,
        threads=threads,
    )
