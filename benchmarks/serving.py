"""A model behind the small server of `examples/serve_http.py`, under load: python -m benchmarks.serving [--seconds 60].

Trains a model of names, saves and exports it, and starts the server as a process of its own for each: with `Predictor`,
and with onnxruntime. Clients on the loopback address, each with a connection of its own, ask for one name, or for 64,
and ask again as soon as they have the answer. The first tenth of the time warms up; figures are of the rest. Every
answer is compared with that of `predict`: labels must be the same, and probabilities, too, to the last bit from
`Predictor` and to 1e-5 from onnxruntime. Memory and threads are the server's, after the warm-up, at half the time and
at the end. A load of /health tells what server and clients cost by themselves. Prints a table in Markdown, and fails if
an answer is wrong, or the server does not end in peace. Only Linux tells the memory.
"""

import asyncio
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.table import names_parser, publish
from seqclf import RNNClassifier, SequenceDataset, export, fit, predict, save
from seqclf.datasets import load_names

SERVER = Path(__file__).parent.parent / "examples" / "serve_http.py"
TOP = 3

Answers = list[list[tuple[str, float]]]


@dataclass
class Load:
    """Requests, what they must be answered with, and how exactly.

    Attributes:
        requests: The bytes of each.
        expected: The answers to each; None where they are not compared.
        tolerance: By how much a probability may differ.
    """

    requests: list[bytes]
    expected: list[Answers] | None
    tolerance: float


@dataclass
class Result:
    """What a load found: seconds of all answers, how many were wrong, and the server's bytes and threads over time."""

    seconds: list[float] = field(default_factory=list)
    wrong: int = 0
    memory: list[tuple[int, int]] = field(default_factory=list)


def make_loads(names: list[str], expected: Answers, size: int, tolerance: float) -> Load:
    """Return requests for `size` names each."""
    starts = range(0, len(names) - size + 1, size)
    bodies = [json.dumps({"sequences": names[start : start + size], "top": TOP}).encode() for start in starts]
    requests = [
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        for body in bodies
    ]
    return Load(requests, [expected[start : start + size] for start in starts], tolerance)


def is_right(body: bytes, expected: Answers, tolerance: float) -> bool:
    """Whether an answer has the labels and the probabilities that it must have."""
    try:
        answers = json.loads(body)["answers"]
        pairs = [
            (one, other)
            for found, own in zip(answers, expected, strict=True)
            for one, other in zip(found, own, strict=True)
        ]
    except (ValueError, KeyError, TypeError):
        return False
    return all(one[0] == other[0] and abs(one[1] - other[1]) <= tolerance for one, other in pairs)


async def ask(port: int, load: Load, first: int, times: tuple[float, float], result: Result) -> asyncio.StreamWriter:
    """Ask as one client, from a request on, until the time is over; return the connection, which stays open."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    place, (warm, end) = first, times
    while (start := time.perf_counter()) < end:
        place = (place + 1) % len(load.requests)
        writer.write(load.requests[place])
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
        if start >= warm:
            result.seconds.append(time.perf_counter() - start)
        right = load.expected is None or is_right(body, load.expected[place], load.tolerance)
        result.wrong += not (head.startswith(b"HTTP/1.1 200") and right)
    return writer


def memory_of(process: int) -> tuple[int, int]:
    """Return the bytes and the threads of a process; zeros where the system does not tell."""
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0, 0
    facts = dict(line.split(":", 1) for line in lines)
    return 1024 * int(facts["VmRSS"].split()[0]), int(facts["Threads"])


async def put_under_load(port: int, process: int, load: Load, clients: int, seconds: float) -> Result:
    """Let clients ask for some time, and look at the server: warm, at half the time, and before they go."""
    result, start = Result(), time.perf_counter()
    times = start + seconds / 10, start + seconds
    firsts = [number * len(load.requests) // clients for number in range(clients)]
    asking = [asyncio.create_task(ask(port, load, first, times, result)) for first in firsts]
    for until in (times[0], sum(times) / 2):
        await asyncio.sleep(max(0.0, until - time.perf_counter()))
        result.memory.append(memory_of(process))
    writers = await asyncio.gather(*asking)
    result.memory.append(memory_of(process))
    for writer in writers:
        writer.close()
    return result


@contextmanager
def serving(model: Path) -> Iterator[tuple[int, int]]:
    """Start the server for a model; yield its port and the number of its process, and end it."""
    command = [sys.executable, str(SERVER), str(model), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            yield int(line.rsplit(":", 1)[1]), process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            code = process.wait(60)
    if code:
        raise RuntimeError(f"the server must end in peace; got exit code {code}")


def row(name: str, size: int, clients: int, result: Result) -> str:
    """Return a row of the table."""
    seconds: npt.NDArray[Any] = np.array(result.seconds)
    rate = len(seconds) * clients / seconds.sum()
    p50, p99 = np.percentile(1e3 * seconds, [50, 99])
    memory = " | ".join(f"{size / 1e6:.0f}" for size, _ in result.memory)
    threads = ", ".join(str(count) for _, count in result.memory)
    return (
        f"| {name} | {clients} | {size} | {rate:,.0f} | {p50:.2f} | {p99:.2f} | {memory} | {threads} | {result.wrong} |"
    )


def train(data: str, epochs: int, folder: Path) -> tuple[list[str], Answers, dict[str, tuple[Path, float]]]:
    """Train; return names, what `predict` answers, and the files with what their answers may differ by."""
    pairs = load_names(data)
    names = [name for name, _ in pairs]
    dataset = SequenceDataset.from_pairs(pairs)
    model = RNNClassifier.for_dataset(dataset, seed=0)
    fit(model, dataset, epochs=epochs, seed=0, progress=False)
    files = {"seqclf's `Predictor`": folder / "names.safetensors", "onnxruntime": folder / "names.onnx"}
    save(model, files["seqclf's `Predictor`"])
    export(model, files["onnxruntime"])
    answers = predict(model, names, top=TOP)
    return names, answers, {name: (path, 0.0 if path.suffix != ".onnx" else 1e-5) for name, path in files.items()}


def table(data: str, seconds: float, clients: int, epochs: int) -> Iterator[str]:
    """Yield the lines of the table; raise where an answer was wrong."""
    yield (
        "| model by | clients | names a request | requests/s | p50 (ms) | p99 (ms) | memory, warm (MB) | at half time |"
        " at the end | threads, likewise | wrong answers |"
    )
    yield "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        names, expected, files = train(data, epochs, Path(folder))
        for name, (path, tolerance) in files.items():
            with serving(path) as (port, process):
                for size, count, share in ((1, 1, 0.2), (1, clients, 1), (64, clients, 1)):
                    load = make_loads(names, expected, size, tolerance)
                    result = asyncio.run(put_under_load(port, process, load, count, share * seconds))
                    wrong += result.wrong
                    yield row(name, size, count, result)
        with serving(path) as (port, process):
            load = Load([b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"], None, 0.0)
            result = asyncio.run(put_under_load(port, process, load, clients, 0.2 * seconds))
            yield row("none: GET /health", 0, clients, result)
    if wrong:
        raise RuntimeError(f"all answers must be those of predict; got {wrong} others")


if __name__ == "__main__":
    parser = names_parser("A model behind a small server, under load.")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each load")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=3, help="of training")
    arguments = parser.parse_args()
    publish(table(arguments.data, arguments.seconds, arguments.clients, arguments.epochs), arguments.output)
