"""The machine: what it is, which of its cores a process may use, and how much memory that took."""

import os
import platform
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

try:
    import resource
except ImportError:  # Windows has none
    resource = None  # type: ignore[assignment]

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_tile")
_PROCESS = Path("/proc/self/status")
_ALL_PROCESSES = Path("/proc/stat")


def describe(packages: tuple[str, ...]) -> dict[str, Any]:
    """Return what figures depend on: the processor, its cores, and the versions of what ran."""
    model, flags = _processor()
    return {
        "cpu": model,
        "flags": flags,
        "cores": len(_allowed_cores()),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {package: _version(package) for package in ("seqclf", *packages)},
    }


@contextmanager
def surroundings(threads: int, environment: Mapping[str, str] | None = None) -> Iterator[None]:
    """Let processes that are started inside inherit `threads` cores, and variables that tell all libraries so.

    Libraries read both when they are imported, so setting them in the new process would come too late.
    """
    before, cores = dict(os.environ), _allowed_cores()
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, str(threads)) | dict(environment or {}))
    _pin(cores[:threads])
    try:
        yield
    finally:
        _pin(cores)
        os.environ.clear()
        os.environ.update(before)


def peak_memory() -> int | None:
    """Return the most bytes that this process has held at once; None where the system does not tell.

    Linux's own figure for the process goes first: that of `getrusage` starts at what the parent held.
    """
    try:
        lines = _PROCESS.read_text(encoding="ascii").splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        pass
    if resource is None:
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most  # bytes there, kilobytes elsewhere


def busy_seconds() -> float | None:
    """Return the seconds that all processes together have computed since the start; None where it is not told."""
    try:
        times = [int(part) for part in _ALL_PROCESSES.read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]]
    except (OSError, ValueError):
        return None
    idle, waiting = times[3:5]
    return (sum(times) - idle - waiting) / os.sysconf("SC_CLK_TCK")


def _allowed_cores() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _pin(cores: list[int]) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)


def _processor() -> tuple[str, list[str]]:
    """Return the model and those of its flags that matter here."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown", []
    facts = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    have = facts.get("flags", "").split()
    return facts.get("model name", "unknown"), [flag for flag in _FLAGS if flag in have]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
