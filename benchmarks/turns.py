"""Turns: all peers do the same work in one run, one at a time, in an order that changes from round to round."""

import random
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.config import Config, Task
from benchmarks.peers import FLOOR, NOT_INSTALLED, Spec
from benchmarks.worker import Failure, Ready, Turn, Worker

_LIMIT = 600.0  # seconds after which a worker counts as stuck


@dataclass
class Player:
    """A peer in the run: its worker, and what it has shown.

    Attributes:
        worker: The worker; None where the peer could not start.
        ready: What the worker made ready.
        failure: Why the peer is out, where it is.
        turns: The turns of each task; the first is the one that warms up.
    """

    worker: Worker | None = None
    ready: Ready | None = None
    failure: str | None = None
    turns: dict[Task, list[Turn]] = field(default_factory=dict)

    def has_time_for(self, task: Task, allowance: float) -> bool:
        """Tell whether one more turn keeps within the seconds allowed; two turns, one warm, are always."""
        seconds = [turn.seconds for turn in self.turns.get(task, [])]
        return len(seconds) < 2 or sum(seconds[1:]) + seconds[-1] <= allowance

    def take_turn(self, task: Task) -> None:
        """Take one turn, and note what comes of it."""
        assert self.worker is not None
        answer = self.worker.take_turn(task)
        if isinstance(answer, Failure):
            self.failure = answer.reason
        else:
            self.turns.setdefault(task, []).append(answer)


def measure(
    config: Config, specs: Mapping[str, Spec], *, rounds: int, patience: float, folder: str | None
) -> dict[str, Any]:
    """Let all peers take their turns on one config, and return what was measured, as plain data.

    Args:
        config: The work.
        specs: Who takes part, the floor included.
        rounds: How many rounds follow the first, in which everything warms up.
        patience: The seconds that a turn may take on average; a peer that is slower sits out the last rounds.
        folder: Where the names lie.
    """
    with ExitStack() as stack:
        players = _start(stack, config, specs, folder)
        for number in range(rounds + 1):
            order = list(players)
            random.Random(number).shuffle(order)
            for task in config.tasks:
                for name in order:
                    player = players[name]
                    wanted = player.failure is None and task in specs[name].tasks
                    if wanted and player.has_time_for(task, rounds * patience):
                        player.take_turn(task)
    return _as_data(config, players)


def _start(stack: ExitStack, config: Config, specs: Mapping[str, Spec], folder: str | None) -> dict[str, Player]:
    """Start all workers, and wait until each is ready."""
    players = {}
    for name, spec in specs.items():
        if not spec.takes(config):
            continue
        status = spec.status
        if status.startswith(NOT_INSTALLED):
            players[name] = Player(failure=status)
        else:
            players[name] = Player(stack.enter_context(Worker(spec, config, folder, _LIMIT)))
    for player in players.values():
        if player.worker is not None:
            answer = player.worker.wait_until_ready()
            if isinstance(answer, Failure):
                player.failure = answer.reason
            else:
                player.ready = answer
    return players


def _as_data(config: Config, players: Mapping[str, Player]) -> dict[str, Any]:
    """Return everything in lists, dicts, numbers and strings."""
    return {
        "config": asdict(config)
        | {
            "tasks": list(config.tasks),
            "pooling": list(config.pooling),
            "title": config.title,
            "series": config.series,
        },
        "floor": _player_data(players[FLOOR]) if FLOOR in players else None,
        "peers": {name: _player_data(player) for name, player in players.items() if name != FLOOR},
    }


def _player_data(player: Player) -> dict[str, Any]:
    tasks = {
        task: {name: [getattr(turn, name) for turn in turns] for name in Turn.__dataclass_fields__}
        for task, turns in player.turns.items()
    }
    return {"failure": player.failure, "ready": asdict(player.ready) if player.ready else None, "tasks": tasks}
