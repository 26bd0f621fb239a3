"""The command: read what is wanted, measure it, and write the results after each config."""

import argparse
import json
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

from benchmarks import suites
from benchmarks.config import Config
from benchmarks.encoding import measure_encoding
from benchmarks.machine import describe, surroundings
from benchmarks.peers import FLOOR, FLOOR_SPEC, PACKAGES, PEERS, SEQCLF, Spec
from benchmarks.report import render
from benchmarks.scale import measure_size, sizes_up_to, with_exponents
from benchmarks.summary import summarise
from benchmarks.turns import measure
from benchmarks.work import names_pairs

HERE = Path(__file__).parent
SUITES: dict[str, Callable[[], list[Config]]] = {"core": suites.core, "full": suites.full, "quick": suites.quick}
_QUICK_PEERS = (SEQCLF, "hand-written")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Request:
    """What is to be measured.

    Attributes:
        suite: One of `SUITES`, or `"scale"`.
        peers: Who takes part; None is all, and two in the quick suite.
        rounds: How many rounds follow the first.
        only: What the title of a config must contain.
        folder: Where the full names lie; None is the bundled sample, repeated.
        patience: The seconds that a turn may take on average before a peer sits out rounds.
        largest: The most sequences of the scale suite.
    """

    suite: str = "core"
    peers: tuple[str, ...] | None = None
    rounds: int = 5
    only: str = ""
    folder: str | None = None
    patience: float = 8.0
    largest: int = 1_000_000


def run(request: Request, output: Path) -> dict[str, Any]:
    """Measure what is requested, keep results.json and table.md up to date, and return the results."""
    output.mkdir(parents=True, exist_ok=True)
    specs = _choose(request)
    results: dict[str, Any] = {
        "suite": request.suite,
        "rounds": request.rounds,
        "data": _data_title(request),
        "machine": describe(PACKAGES),
        "peers": {name: spec.status for name, spec in specs.items() if name != FLOOR},
        "measurements": [],
        "rows": [],
        "encoding": None,
        "scale": None,
    }
    for _ in _steps(request, specs, results):
        _write(results, output)
    return results


def _steps(request: Request, specs: dict[str, Spec], results: dict[str, Any]) -> Iterable[None]:
    """Measure, piece by piece, into `results`."""
    if request.suite == "scale":
        sizes: list[dict[str, Any]] = []
        for size in sizes_up_to(request.largest):
            sizes.append(in_own_process(measure_size, size))
            print(f"{size:,} sequences: {sizes[-1]['epoch_seconds']:.2f} s", flush=True)
            results["scale"] = with_exponents(sizes)
            yield
        return
    configs = [config for config in SUITES[request.suite]() if request.only in config.title]
    for number, config in enumerate(configs, start=1):
        measurement = measure(config, specs, rounds=request.rounds, patience=request.patience, folder=request.folder)
        rows = [summarise(measurement, task) for task in config.tasks]
        results["measurements"].append(measurement)
        results["rows"] += rows
        for row in rows:
            print(f"{number}/{len(configs)} {_line(row)}", flush=True)
        yield
    if not request.only:
        characters = 50_000 if request.suite == "quick" else 2_000_000
        results["encoding"] = in_own_process(measure_encoding, request.folder, characters, request.rounds)
    yield


def _choose(request: Request) -> dict[str, Spec]:
    """Return who takes part, and the floor."""
    names = request.peers or (_QUICK_PEERS if request.suite == "quick" else tuple(PEERS))
    return {name: PEERS[name] for name in PEERS if name in names} | {FLOOR: FLOOR_SPEC}


def _data_title(request: Request) -> str:
    """Return words that say which data the run is on."""
    if request.suite == "scale":
        return "random sequences"
    return "a part of the bundled sample" if request.suite == "quick" else names_pairs(request.folder)[1]


def in_own_process(function: Callable[..., _Result], *arguments: object) -> _Result:
    """Call a function in a new process with two cores."""
    with surroundings(2), ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def _line(row: dict[str, Any]) -> str:
    """Return a line that shows how far the run is."""
    rates = ", ".join(f"{name} {figures['rate']:,.1f}" for name, figures in row["peers"].items())
    return f"{row['task']}, {row['title']}: {rates or 'nothing'} sequences/s"


def _write(results: dict[str, Any], output: Path) -> None:
    (output / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (output / "table.md").write_text(render(results), encoding="utf-8")


def parse(arguments: Sequence[str] | None = None) -> tuple[Request, Path]:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--suite", choices=[*SUITES, "scale"], default="core", help="what to measure")
    parser.add_argument("--output", type=Path, default=HERE / "results", help="the folder of results.json and table.md")
    parser.add_argument(
        "--data",
        default=os.environ.get("SEQCLF_NAMES_DIR"),
        help="the folder of the full names data, by default $SEQCLF_NAMES_DIR; without it the sample is repeated",
    )
    parser.add_argument("--rounds", type=int, help="how many rounds follow the first; by default 5, quick 1")
    parser.add_argument("--peers", nargs="+", choices=list(PEERS), help="who takes part, by default all")
    parser.add_argument(
        "--only", default="", help="measure only what has this in its title, such as 'LSTM 128, batch 30'"
    )
    parser.add_argument(
        "--patience", type=float, default=8.0, help="seconds of a turn above which a peer sits out some rounds"
    )
    parser.add_argument("--largest", type=int, default=1_000_000, help="the most sequences of the scale suite")
    given = parser.parse_args(arguments)
    request = Request(
        suite=given.suite,
        peers=tuple(given.peers) if given.peers else None,
        rounds=given.rounds or (1 if given.suite == "quick" else 5),
        only=given.only,
        folder=given.data or None,
        patience=given.patience,
        largest=given.largest,
    )
    return request, given.output


def main() -> None:
    """Measure and write."""
    request, output = parse()
    run(request, output)
    print(f"written: {output / 'results.json'} and {output / 'table.md'}")
