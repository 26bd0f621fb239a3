"""run_study: train a grid of options, one run after another or several at once, and never the same one twice."""

import json
import multiprocessing
import os
import pickle
import signal
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from seqclf.checks import check_int
from seqclf.data.dataset import SequenceDataset
from seqclf.errors import FileFormatError, InvalidArgumentError, TrainingError
from seqclf.files import PathLike
from seqclf.inference.predict import check_is_dataset
from seqclf.progress import progress_bar
from seqclf.study.cache import RunCache
from seqclf.study.options import Grid, Point, expand, varying
from seqclf.study.result import StudyResult, label
from seqclf.study.run import StudyData, count_classes, rehearse, train_run
from seqclf.training.distributed import is_launched, process_rank
from seqclf.training.fit import resolve_device

__all__ = ["run_study"]


def run_study(
    train: SequenceDataset,
    grid: Grid,
    *,
    base: Mapping[str, Any] | None = None,
    validation_data: SequenceDataset | None = None,
    test_data: SequenceDataset | None = None,
    curves: bool = False,
    cache: PathLike | None = None,
    keep_models: bool = False,
    workers: int = 1,
    threads: int = 1,
    device: torch.device | str = "cpu",
    progress: bool = True,
) -> StudyResult:
    """Train one model for each point of a grid of options and seeds, and measure all in the same way.

    Options are those of `RNNClassifier` (`cell`, `hidden_size`, `num_layers`, `bidirectional`, `dropout`, `pooling`, …)
    and of `fit` (`epochs`, `batch_size`, `clip_grad_norm`, `class_weight`, `label_smoothing`, `early_stopping`), with
    the same defaults, and besides:

    - `optimizer`: `"adamw"` (the default), `"adam"` or `"sgd"`, with `learning_rate` (0.002), `weight_decay` (0.01)
      and, for SGD, `momentum` (0);
    - `schedule`: how the learning rate goes from update to update: `"constant"` (the default), `"cosine"` (down to 0)
      or `"one_cycle"` (up to `learning_rate`, and down);
    - `calibrate`: whether to scale the temperature on the validation data at the end; `priors`: the class frequencies
      to adjust the model to, as `adjust_priors` takes them;
    - `seed` (0): the seed of the weights, of the order of the batches and of dropout.

    With `cache`, each run is written down when it is finished, under a hash of its options, the data, and the versions
    of seqclf, torch and numpy. A study that was broken off goes on where it stopped when it is called again, and one
    that was extended trains only what is new. A cell of your own is known by its name, source text and defaults; what
    it calls in turn is not looked at.

    Every run has the same result for the same options, data and number of threads, however many workers there are.
    Runs whose loss is no longer finite are reported as broken off, and the others go on.

    Args:
        train: The training data.
        grid: The values to try of each option to be varied, as in `{"batch_size": [1, 10], "seed": range(3)}`; or
            several such mappings, whose points are put together.
        base: The options that are the same in all runs, where they differ from the defaults.
        validation_data: What choices are made on: measured after each epoch and at the end.
        test_data: What nothing is chosen on: measured at the end.
        curves: Whether to measure train and test data after each epoch as well.
        cache: A folder for finished runs; it is made where there is none.
        keep_models: Whether to keep the trained models in `cache`, for `Run.load_model`.
        workers: How many processes train at once. With several, a script must start its work under
            `if __name__ == "__main__":`, as Python asks of everything that starts processes.
        threads: How many threads torch uses for a run. It belongs to the options, for it may change the last bits.
        device: Where to train, as for `fit`.
        progress: Whether to show a progress bar on stderr.

    Returns:
        All runs, in the order of the grid.

    Raises:
        InvalidArgumentError: An option or argument is unknown or out of range. This shows before any training.
        InvalidDataError: The datasets do not fit each other, or have classes that a kept model could not be saved with.
        FileFormatError: `cache` cannot be written to, or a file in it is damaged.
        TrainingError: A worker process died. What was finished by then is in the cache.

    Example:
        >>> from seqclf import SequenceDataset, run_study
        >>> train = SequenceDataset.from_pairs([("aab", "a"), ("aba", "a"), ("bba", "b"), ("bab", "b")] * 8)
        >>> grid = {"batch_size": [2, 16], "seed": [0, 1, 2]}
        >>> base = {"hidden_size": 8, "epochs": 4, "learning_rate": 0.01}
        >>> result = run_study(train, grid, base=base, validation_data=train, progress=False)
        >>> result
        StudyResult(6 runs, varying batch_size, seed)
        >>> [(row.options, row.n) for row in result.summarise()]
        [({'batch_size': 2}, 3), ({'batch_size': 16}, 3)]
    """
    check_int("workers", workers)
    check_int("threads", threads)
    named = {"train": train, "validation": validation_data, "test": test_data}
    data = _gather_data({name: dataset for name, dataset in named.items() if dataset is not None}, curves)
    if keep_models and cache is None:
        raise InvalidArgumentError("keep_models must have a folder to keep them in; got cache=None. Pass cache=folder.")
    points = expand(grid, base or {})
    device = str(resolve_device(device))
    with nullcontext(cache) if cache is not None else tempfile.TemporaryDirectory() as folder:
        store = RunCache(_make_folder(folder), data, threads=threads, device=device, keep_models=keep_models)
        _rehearse_all(points, store, device)
        runs = {point.description: run for point in points if (run := store.load(point)) is not None}
        missing = [point for point in points if point.description not in runs]
        names = varying([point.options for point in points])
        is_shown = progress and process_rank() == 0
        with progress_bar(is_shown, "run", total=len(points), initial=len(runs)) as bar:
            for point in _train_all(missing, store, workers=workers, threads=threads, device=device):
                run = store.load(point)
                assert run is not None, "a run that was stored is found again"
                runs[point.description] = run
                bar.set_postfix_str(label(run, names))
                bar.update()
    return StudyResult(tuple(runs[point.description] for point in points))


def _gather_data(datasets: Mapping[str, Any], curves: bool) -> StudyData:
    for name, dataset in datasets.items():
        argument = name if name == "train" else f"{name}_data"
        check_is_dataset(argument, dataset)
        if len(dataset) == 0:
            raise InvalidArgumentError(f"{argument} must hold at least one sequence; got none. Check the split.")
    train = datasets["train"]
    measured = {name: datasets[name] for name in datasets if name != "train"}
    return StudyData(train, measured, count_classes(train), curves)


def _make_folder(folder: PathLike) -> Path:
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileFormatError(
            f"cache must be a folder that can be written to; got {error.strerror} at {folder}. Choose another path."
        ) from None
    return Path(folder)


def _rehearse_all(points: Sequence[Point], store: RunCache, device: str) -> None:
    """Try every combination of options once, whatever its seed."""
    done: set[str] = set()
    for point in points:
        seed = check_int("seed", point.options["seed"], minimum=0)
        if seed >= 2**63:
            raise InvalidArgumentError(f"seed must be below 2**63; got {seed}. Choose a smaller one.")
        described = json.dumps(json.loads(point.description) | {"seed": 0})
        if described not in done:
            rehearse(point.options, store.data, device=device, to_be_saved=store.keep_models)
            done.add(described)


def _train_all(points: Sequence[Point], store: RunCache, *, workers: int, threads: int, device: str) -> Iterator[Point]:
    """Train and store every run, and yield its point when it is finished."""
    if workers == 1 or len(points) <= 1 or is_launched():  # processes that train one model together are workers enough
        for point in points:
            with _threads(threads):
                _train_and_store(point, store, device)
            yield point
        return
    settings = _WorkerSettings(pickle.dumps(store), threads, device, torch.get_default_dtype())
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(min(workers, len(points)), context, _start_worker, (settings,)) as pool:
            yield from _keep_busy(pool, points, workers)
    except (BrokenProcessPool, BrokenPipeError):
        raise TrainingError(
            "every worker process must live to the end of its runs; one died, perhaps for want of memory, or as its "
            "script starts the study outside of `if __name__ == '__main__':`, or as a cell of yours stands in a "
            "notebook. Finished runs are in the cache; call again with fewer workers."
        ) from None


def _keep_busy(pool: ProcessPoolExecutor, points: Sequence[Point], workers: int) -> Iterator[Point]:
    """Hand out as many runs as there are workers, and a new one whenever one is finished.

    No more are handed out than are being worked on, so that an error or Ctrl-C waits for these alone.
    """
    waiting = iter(points)
    busy = {pool.submit(_work, point): point for point in islice(waiting, workers)}
    while busy:
        done, _ = wait(busy, return_when=FIRST_COMPLETED)
        for task in done:
            point = busy.pop(task)
            task.result()
            busy |= {pool.submit(_work, following): following for following in islice(waiting, 1)}
            yield point


def _train_and_store(point: Point, store: RunCache, device: str) -> None:
    run, model = train_run(point.options, store.data, device=device)
    store.store(point, run, model)


@contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True)
class _WorkerSettings:
    """What a worker process starts with; the store is pickled plainly, as torch would put tensors in shared memory."""

    store: bytes
    threads: int
    device: str
    dtype: torch.dtype


# The store and the device of a worker process.
_worker: tuple[RunCache, str] | None = None


def _start_worker(settings: _WorkerSettings) -> None:
    global _worker  # noqa: PLW0603  # a pool hands its workers their data once, by a global
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends a worker at once; the parent tells of it
    torch.set_num_threads(settings.threads)
    torch.set_default_dtype(settings.dtype)
    _worker = pickle.loads(settings.store), settings.device
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process when the one that started it has: nobody else would."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(point: Point) -> None:
    assert _worker is not None
    _train_and_store(point, *_worker)
