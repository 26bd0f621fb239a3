"""Law 7: several processes equal one with the same batches; and where one is lost, nothing else is."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from seqclf.errors import TrainingError
from seqclf.training import distributed
from seqclf.training.distributed import Group, Signals
from seqclf.training.objective import Objective

PLAIN: dict[str, Any] = {"model": {"cell": "gru"}, "epochs": 8, "batch_size": 16}  # 56 updates
_LEFT_OUT = ("seconds", "padding_waste")
RUNS: dict[str, dict[str, Any]] = {
    "plain": PLAIN,
    "weighted": PLAIN
    | {"fit": {"class_weight": [1.0, 3.0], "label_smoothing": 0.1, "clip_grad_norm": 0.5}, "sample_weights": True},
    "both ways, few tokens": PLAIN | {"model": {"cell": "lstm", "bidirectional": True}, "fit": {"max_tokens": 40}},
    "fewer than processes": PLAIN | {"batch_size": 7, "epochs": 4, "model": {"cell": "gru", "pooling": "mean"}},
}


def start(processes: int, options: dict[str, Any], output: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    arguments = ["-m", "tests.shared_run", json.dumps(options | {"output": str(output)})]
    alone = [sys.executable]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    whole = (alone if processes == 1 else command) + arguments
    return subprocess.run(whole, capture_output=True, text=True, timeout=600, env=environment, check=False)


def start_without_launcher(processes: int, options: dict[str, Any], output: Path) -> list[str]:
    """Start processes that nobody watches, and return what each wrote of errors.

    A launcher ends the others as soon as it sees that one is gone, which may be before they have said anything.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where = {"OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    command = [sys.executable, "-m", "tests.shared_run", json.dumps(options | {"output": str(output)})]
    started = []
    for rank in range(processes):
        numbers = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes)}
        environment = os.environ | where | numbers
        started.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment))
    said = [process.communicate(timeout=600)[1] for process in started]
    assert all(process.returncode for process in started)
    return said


def run(processes: int, options: dict[str, Any], output: Path) -> list[dict[str, Any]]:
    """Run to the end, and return what each process found."""
    finished = start(processes, options, output)
    assert finished.returncode == 0, finished.stderr
    return [json.loads(Path(f"{output}.{rank}").read_text()) for rank in range(processes)]


def difference(one: dict[str, Any], other: dict[str, Any]) -> float:
    """Return the largest difference of two runs in weights and in measures.

    Seconds are left out, and padding: the longest sequence of a batch is in one share only.
    """
    assert one["measures"].keys() == other["measures"].keys()
    pairs = [(one["weights"][name], other["weights"][name]) for name in one["weights"]]
    pairs += [(one["measures"][name], other["measures"][name]) for name in one["measures"] if name not in _LEFT_OUT]
    return max(float(np.abs(np.array(first) - np.array(second)).max()) for first, second in pairs)


@pytest.mark.processes
@pytest.mark.parametrize("name", RUNS)
def test_several_processes_equal_one(name: str, tmp_path: Path) -> None:
    (alone,) = run(1, RUNS[name], tmp_path / "1")
    for processes in (2, 4) if name in ("plain", "fewer than processes") else (2,):
        found = run(processes, RUNS[name], tmp_path / str(processes))
        assert all(difference(one, found[0]) == 0 for one in found)
        largest = difference(alone, found[0])
        print(f"{name}: {processes} processes, largest difference {largest:.1e}")
        assert largest < 1e-10


@pytest.mark.processes
def test_all_begin_with_the_weights_of_the_first_and_stop_together(tmp_path: Path) -> None:
    options = PLAIN | {"unseeded": True, "stop": 2}
    found = run(2, options, tmp_path / "out")
    assert difference(*found) == 0
    assert [(len(one["measures"]["loss"]), one["stopped_by"]) for one in found] == [(3, "callback")] * 2
    (alone,) = run(1, PLAIN | {"epochs": 3}, tmp_path / "alone")
    assert difference(alone, found[0]) < 1e-10


@pytest.mark.processes
def test_a_process_that_dies_ends_the_run_and_any_number_goes_on(tmp_path: Path) -> None:
    (whole,) = run(1, PLAIN, tmp_path / "whole")
    options = PLAIN | {"folder": str(tmp_path / "run")}
    told, _ = start_without_launcher(2, options | {"die": [1, 20]}, tmp_path / "dying")
    assert "TrainingError: all processes must go on together; another one is gone" in told
    assert not list(tmp_path.glob("dying.*"))
    again = start(2, options | {"die": [0, 9]}, tmp_path / "dying")
    assert again.returncode != 0
    (alone,) = run(1, options, tmp_path / "alone")
    assert difference(whole, alone) < 1e-10
    assert len(list((tmp_path / "run").iterdir())) == 2


@pytest.mark.processes
def test_what_one_process_began_two_go_on_with(tmp_path: Path) -> None:
    (whole,) = run(1, PLAIN, tmp_path / "whole")
    options = PLAIN | {"folder": str(tmp_path / "run")}
    assert start(1, options | {"die": [0, 17]}, tmp_path / "dying").returncode != 0
    assert difference(whole, run(2, options, tmp_path / "two")[0]) < 1e-10


def test_a_share_that_counts_wrongly_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted bug: means of means, where the shares of a batch are not of one size."""
    group = Group(torch.device("cpu"))
    group.rank, group.count = 0, 2
    indices = np.arange(5)
    parts = []
    for rank in range(2):
        group.rank = rank
        parts.append(Objective(None, 0.0).total(own := torch.from_numpy(group.share(indices)), own) / 5)
    assert parts == [0.6, 0.4]
    assert parts != [0.5, 0.5]
    group.rank = 1
    assert group.share(np.array([7])).tolist() == [7]
    assert not group.has_share(np.array([7]))


def test_alone_nothing_is_done() -> None:
    group = Group(torch.device("cpu"))
    assert (group.rank, group.count) == (0, 1)
    assert group.sum_gradients([], 1.0, Signals(write=True)) == Signals(write=True)
    assert group.any(True)
    assert distributed.process_rank() == 0


def test_an_error_of_the_connection_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Any) -> None:
        raise RuntimeError("Connection closed by peer\nmore")

    group = Group(torch.device("cpu"))
    group.count = 2
    monkeypatch.setattr("torch.distributed.all_reduce", broken)
    with pytest.raises(TrainingError, match=r"another one is gone: Connection closed by peer\. See its own error"):
        group.barrier()
