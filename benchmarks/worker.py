"""Workers: each peer in a process of its own, which holds the clock and answers when it is its turn.

A process of its own keeps apart what peers would share otherwise: Keras has one backend for a process, libraries fix
their threads when they are imported, and the peak of the memory belongs to a process.
"""

import gc
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from types import TracebackType

import numpy as np
import numpy.typing as npt
import torch
from typing_extensions import Self

from benchmarks.config import SINGLES, Config, Task
from benchmarks.floor import Floor
from benchmarks.machine import busy_seconds, peak_memory, surroundings
from benchmarks.peers import Pass, Peer, Spec
from benchmarks.work import Work, make_work


@dataclass(frozen=True)
class Ready:
    """A worker has its data and its model.

    Attributes:
        sequences: How many sequences a turn goes through.
        steps: How many real steps these have.
        memory: The peak before any work, with all that was imported.
    """

    sequences: int
    steps: int
    memory: int | None


@dataclass(frozen=True)
class Turn:
    """What one turn took and found.

    Attributes:
        seconds: The time of the call, by the worker's own clock.
        loss: The mean loss of a training pass.
        padding_waste: Steps run for each real one in a training pass, where the peer says so.
        accuracy: The part of the predictions that are right, on the very data of the training.
        memory: The peak of the process up to now.
        others: How many cores other processes kept busy during the turn, on average; None where the system does not
            tell.
    """

    seconds: float
    loss: float | None = None
    padding_waste: float | None = None
    accuracy: float | None = None
    memory: int | None = None
    others: float | None = None


@dataclass(frozen=True)
class Failure:
    """Why there is no figure."""

    reason: str


class Worker:
    """The parent's end of a worker.

    Args:
        spec: Which peer the process runs.
        config: What it does.
        folder: Where the names lie.
        limit: How many seconds an answer may take; a worker that takes longer is ended.
    """

    def __init__(self, spec: Spec, config: Config, folder: str | None, limit: float) -> None:
        context = get_context("spawn")
        self.limit = limit
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, spec, config, folder), daemon=True)
        with surroundings(config.threads, spec.environment):
            self.process.start()
        theirs.close()

    def wait_until_ready(self) -> Ready | Failure:
        """Return what the worker has made ready."""
        answer = self._receive()
        assert isinstance(answer, Ready | Failure)
        return answer

    def take_turn(self, task: Task) -> Turn | Failure:
        """Let the worker do `task` once."""
        try:
            self.pipe.send(task)
        except OSError:
            return Failure("the process ended")
        answer = self._receive()
        assert isinstance(answer, Turn | Failure)
        return answer

    def _receive(self) -> object:
        try:
            if self.pipe.poll(self.limit):
                return self.pipe.recv()
        except (EOFError, OSError):
            return Failure("the process ended")
        self.process.kill()
        return Failure(f"no answer in {self.limit:.0f} s")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.pipe.close()  # the worker reads the end of its orders, and ends
        self.process.join(5)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def _serve(pipe: Connection, spec: Spec, config: Config, folder: str | None) -> None:
    """Do what the pipe orders until it is closed, and answer failures as well."""
    torch.set_num_threads(config.threads)
    with suppress(EOFError, OSError):  # the parent has ended
        try:
            work = make_work(config, folder, spec.shares.get(config.work, 1.0))
            player: Peer | Floor = spec.make()
            memory = peak_memory()
            player.prepare(work, config)
        except Exception as error:  # noqa: BLE001  # whatever goes wrong in a peer is a line of the table, not the end
            pipe.send(_failure(error))
            return
        pipe.send(Ready(len(work), len(work.ids), memory))
        while True:
            task = pipe.recv()
            try:
                answer: Turn | Failure = _play(player, task, work)
            except Exception as error:  # noqa: BLE001  # as above
                answer = _failure(error)
            pipe.send(answer)


def _play(player: Peer | Floor, task: Task, work: Work) -> Turn:
    """Time one call."""
    if isinstance(player, Floor):
        return Turn(player.seconds(task))
    texts = (work.texts or ())[:SINGLES]
    calls: dict[Task, Callable[[], Pass | Sequence[int]]] = {
        "train": player.train,
        "predict": player.predict,
        "predict-one": lambda: player.predict_one(texts),
        "predict-plain": lambda: player.predict_plain(texts),
    }
    gc.collect()  # of what earlier turns left behind, so that it is not paid for in this one
    before, start = _others_seconds(), time.perf_counter()
    found = calls[task]()
    seconds = time.perf_counter() - start
    after, memory = _others_seconds(), peak_memory()
    others = None if before is None or after is None else max(0.0, after - before) / seconds
    if isinstance(found, Pass):
        return Turn(seconds, found.loss, found.padding_waste, memory=memory, others=others)
    accuracy = _accuracy(found, work.labels if task == "predict" else work.labels[: len(texts)])
    return Turn(seconds, accuracy=accuracy, memory=memory, others=others)


def _others_seconds() -> float | None:
    """Return the seconds that all other processes have computed; None where the system does not tell."""
    busy = busy_seconds()
    return None if busy is None else busy - time.process_time()


def _accuracy(classes: Sequence[int], expected: npt.NDArray[np.int64]) -> float:
    """Return the part of the predictions that are right; raise where there are not as many as sequences."""
    if len(classes) != len(expected):
        raise AssertionError(f"there must be {len(expected)} predictions; got {len(classes)}")
    return float(np.mean(np.asarray(classes) == expected))


def _failure(error: Exception) -> Failure:
    """Keep the first line of what went wrong."""
    first = next(iter(str(error).splitlines()), "")
    return Failure(f"{type(error).__name__}: {first}")
