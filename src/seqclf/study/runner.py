"""run_study: train a grid of options, one run after another or several at once, and never the same one twice."""

import multiprocessing
import os
import pickle
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from seqclf.checks import check_int
from seqclf.data.dataset import SequenceDataset
from seqclf.errors import InvalidArgumentError, TrainingError
from seqclf.files import PathLike
from seqclf.study.cache import RunCache
from seqclf.study.options import Grid, Options, describe, expand, varying
from seqclf.study.result import StudyResult, label
from seqclf.study.run import Run, StudyData, rehearse, train_run

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
    device: str = "cpu",
    progress: bool = True,
) -> StudyResult:
    """Train one model for each point of a grid of options, and measure them all in the same way.

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
    of seqclf and torch. A study that was broken off goes on where it stopped when it is called again, and one that was
    extended trains only what is new. A cell of your own is known by its name and source text; what it calls in turn is
    not looked at.

    Every run has the same result for the same options, data and number of threads, however many workers there are.
    Runs whose loss is no longer finite are reported as such, and the others go on.

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
        FileFormatError: A file of the cache is damaged.
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
    _check_call(train, validation_data, test_data, cache, keep_models)
    named = {"validation": validation_data, "test": test_data}
    data = StudyData(
        train,
        {name: dataset for name, dataset in named.items() if dataset is not None},
        tuple(torch.bincount(train.labels, minlength=len(train.classes)).tolist()),
        curves,
    )
    check_int("workers", workers)
    check_int("threads", threads)
    points = expand(grid, base or {})
    _rehearse_all(points, data, device)
    with nullcontext(cache) if cache is not None else tempfile.TemporaryDirectory() as folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        store = RunCache(Path(folder), data, threads=threads, device=device, keep_models=keep_models)
        found = [store.load(options) for options in points]
        missing = [options for options, run in zip(points, found, strict=True) if run is None]
        names = varying(points)
        with tqdm(total=len(points), initial=len(points) - len(missing), disable=not progress, unit="run") as bar:
            for run in _train_all(missing, store, workers=workers, threads=threads, device=device):
                bar.set_postfix_str(label(run, names))
                bar.update()
        finished = [store.load(options) if run is None else run for options, run in zip(points, found, strict=True)]
    return StudyResult(tuple(run for run in finished if run is not None))


def _check_call(train: Any, validation_data: Any, test_data: Any, cache: PathLike | None, keep_models: bool) -> None:
    for name, dataset in (("train", train), ("validation_data", validation_data), ("test_data", test_data)):
        if not isinstance(dataset, SequenceDataset) and not (dataset is None and name != "train"):
            raise InvalidArgumentError(
                f"{name} must be a SequenceDataset; got {type(dataset).__name__}. Make it with from_pairs."
            )
    if keep_models and cache is None:
        raise InvalidArgumentError("keep_models must have a folder to keep them in; got cache=None. Pass cache=folder.")


def _rehearse_all(points: Sequence[Options], data: StudyData, device: str) -> None:
    """Try every combination of options once, whatever its seed."""
    done: list[Any] = []
    for options in points:
        check_int("seed", options["seed"], minimum=0)
        if (described := describe(options | {"seed": 0})) not in done:
            rehearse(options, data, device)
            done.append(described)


def _train_all(points: Sequence[Options], store: RunCache, *, workers: int, threads: int, device: str) -> Iterator[Run]:
    """Train and store every run, and yield each when it is finished."""
    if workers == 1 or len(points) <= 1:
        for options in points:
            with _threads(threads):
                run = _train_and_store(options, store, device)
            yield run
        return
    start = partial(_start_worker, pickle.dumps(store), threads, device)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(points)), context, start) as pool:
        tasks = [pool.submit(_work, options) for options in points]
        try:
            for task in as_completed(tasks):
                yield task.result()
        except BrokenProcessPool:
            raise TrainingError(
                "every worker process must live to the end of its runs; one died, perhaps for want of memory, or as "
                "its script starts the study outside of `if __name__ == '__main__':`. Finished runs are in the cache; "
                "call again with fewer workers."
            ) from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _train_and_store(options: Options, store: RunCache, device: str) -> Run:
    run, model = train_run(options, store.data, device=device)
    store.store(run, model)
    return run


@contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


# What a worker process was started with: its store, and the device.
_worker: tuple[RunCache, str] | None = None


def _start_worker(store: bytes, threads: int, device: str) -> None:
    global _worker  # noqa: PLW0603  # a pool hands its workers their data once, by a global
    _worker = pickle.loads(store), device
    torch.set_num_threads(threads)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process when the one that started it has: nobody else would."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(options: Options) -> Run:
    assert _worker is not None
    return _train_and_store(options, *_worker)
