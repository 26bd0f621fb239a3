"""What the small benchmarks share: ways that take turns, and tables that are printed line by line and written."""

import argparse
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path


def take_turns(ways: Mapping[str, Callable[[], object]], rounds: int, *, warm_up: int = 1) -> dict[str, float]:
    """Return the median seconds of each way, over rounds in which each is taken once.

    Args:
        ways: What to time, by name.
        rounds: How many rounds count.
        warm_up: How many rounds go before them.
    """
    found: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(warm_up + rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            if number >= warm_up:
                found[name].append(time.perf_counter() - start)
    return {name: statistics.median(seconds) for name, seconds in found.items()}


def names_parser(description: str) -> argparse.ArgumentParser:
    """Return the options of a benchmark on names: where they lie, and where the table goes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", default="sample", help="'sample', 'download', or a folder of text files")
    parser.add_argument("--output", type=Path, help="a file to write the table to as well")
    return parser


def publish(lines: Iterable[str], output: Path | None) -> None:
    """Print lines as they come, and write all of them to a file where one is named."""
    kept = []
    for line in lines:
        print(line, flush=True)
        kept.append(line)
    if output:
        output.write_text("\n".join(kept) + "\n", encoding="utf-8")
