"""Checkpoints: the whole state of a training run, written while it goes on, and read to go on from it."""

import json
import time
import warnings
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seqclf._version import __version__
from seqclf.checks import check_int, check_positive
from seqclf.errors import FileFormatError, InvalidArgumentError
from seqclf.files import PathLike
from seqclf.tensor_file import read_tensor_file, write_tensor_file
from seqclf.training.hooks import Callback, FitState
from seqclf.training.nested import flatten, unflatten

__all__ = ["Checkpoint"]

_VERSION = 2
_KIND = "seqclf_checkpoint"
_SUFFIX = ".safetensors"
_KEPT = 2  # the one that was written last, and the one before it, should a disk go bad


@dataclass(frozen=True)
class Checkpoint:
    """Where `fit` writes its state, and how often; passing a path instead means these defaults.

    The state is written at the end of each epoch, and within epochs as often as is said here. The files are written in
    the background; if one is not finished when the next is due, that one is left out.

    Attributes:
        folder: A folder for this run alone. It is made if need be.
        every_seconds: After how many seconds to write again within an epoch; None is never.
        every_steps: After how many updates to write again within an epoch; None is never.

    Raises:
        InvalidArgumentError: A number is out of its range.

    Example:
        >>> Checkpoint("runs/names", every_steps=1000)
        Checkpoint(folder='runs/names', every_seconds=60.0, every_steps=1000)
    """

    folder: PathLike
    every_seconds: float | None = 60.0
    every_steps: int | None = None

    def __post_init__(self) -> None:
        if self.every_seconds is not None:
            check_positive("every_seconds", self.every_seconds)
        if self.every_steps is not None:
            check_int("every_steps", self.every_steps)


class Checkpoints(Callback):
    """The checkpoints of one run.

    Args:
        checkpoint: Where and how often.
        about: What the run is of, by name: its data and its configuration, as values ready for JSON. A checkpoint of
            another run is refused.
        writes: Whether this process writes; of several that train together only one does.
    """

    def __init__(self, checkpoint: Checkpoint, about: Mapping[str, Any], *, writes: bool = True) -> None:
        self.settings = checkpoint
        self.folder = Path(checkpoint.folder)
        self.writes = writes
        self.about = json.loads(json.dumps(about))
        self.environment = {"torch": torch.__version__, "threads": torch.get_num_threads()}
        self._pool = ThreadPoolExecutor(1, "seqclf-checkpoint")
        self._writing: Future[None] | None = None
        self._latest = time.monotonic()

    def begin(self, *, resume: bool) -> Any:
        """Make the folder fit for writing; return the state to go on from, or None where the run is a new one.

        Raises:
            InvalidArgumentError: There is a checkpoint, and `resume` is False; or it is of another run.
            FileFormatError: The folder cannot be made, or all checkpoints in it are damaged.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileFormatError(
                f"checkpoint must be a folder that can be made; got {error.strerror} at {self.folder}. Choose another."
            ) from None
        if self.writes:
            for left in self.folder.glob(".*.tmp"):  # by a process that was killed while it wrote
                left.unlink(missing_ok=True)
        found = self._files()
        if found and not resume:
            raise InvalidArgumentError(
                f"checkpoint must be a folder without the checkpoints of another run; got {found[0].name} in "
                f"{self.folder}. Pass resume=True to go on from there, or another folder."
            )
        return self._read_newest(found) if found else None

    def wants_state(self, updates: int) -> bool:
        """Whether the state should be written after so many updates of an epoch."""
        settings = self.settings
        if not self.writes:
            return False
        if settings.every_steps is not None and updates % settings.every_steps == 0:
            return self._is_idle()
        in_time = settings.every_seconds is not None and time.monotonic() - self._latest >= settings.every_seconds
        return in_time and self._is_idle()

    def on_state(self, state: FitState, snapshot: dict[str, Any]) -> None:
        """Begin to write a state, which is copied at once."""
        if not self.writes:
            return
        self.wait()
        tensors: dict[str, Tensor] = {}
        content = {
            "version": _VERSION,
            "seqclf": __version__,
            "about": self.about,
            "environment": self.environment,
            "state": flatten(snapshot, "state", tensors),
        }
        self._latest = time.monotonic()
        self._writing = self._pool.submit(
            self._write, self.folder / f"step-{state.update:012d}{_SUFFIX}", content, tensors
        )

    def wait(self) -> None:
        """Wait until the last state is on the disk; a full disk ends no run, but there is a warning."""
        writing, self._writing = self._writing, None
        try:
            if writing is not None:
                writing.result()
        except FileFormatError as error:
            warnings.warn(f"a checkpoint could not be written, and training goes on without: {error}", stacklevel=2)

    def on_fit_end(self, state: FitState) -> None:
        """Wait, end the thread that writes, and say where a run that was interrupted lies."""
        try:
            self.wait()
        finally:
            self._pool.shutdown()
        if state.error is None and state.history.stopped_by == "interrupted":
            warnings.warn(
                f"training was interrupted in epoch {state.history.epochs + 1}. What it had come to is in "
                f"{self.folder}, and resume=True goes on from there.",
                stacklevel=2,
            )

    def _write(self, path: Path, content: Any, tensors: Mapping[str, Tensor]) -> None:
        write_tensor_file(path, _KIND, content, tensors)
        for old in self._files()[_KEPT:]:
            old.unlink(missing_ok=True)

    def _is_idle(self) -> bool:
        return self._writing is None or self._writing.done()

    def _files(self) -> list[Path]:
        """Return the checkpoints in the folder, the newest first."""
        return sorted(self.folder.glob(f"step-*{_SUFFIX}"), reverse=True)

    def _read_newest(self, found: list[Path]) -> Any:
        """Return the newest state that is whole."""
        for path, older in pairwise(found):
            try:
                return self._read(path)
            except FileFormatError as error:
                warnings.warn(f"going on from an older checkpoint, {older.name}: {error}", stacklevel=4)
        return self._read(found[-1])

    def _read(self, path: Path) -> Any:
        content, tensors = read_tensor_file(path, _KIND, "checkpoint file")
        try:
            version, about, state = content["version"], content["about"], content["state"]
            if not isinstance(version, int) or version > _VERSION:
                raise FileFormatError(
                    f"checkpoint file must be of version {_VERSION} or older; got {version!r} in {path}. "
                    f"Upgrade seqclf: {content.get('seqclf')!r} wrote it."
                )
            if version < _VERSION:
                raise InvalidArgumentError(
                    f"checkpoint file must be of version {_VERSION}; got {version} in {path}. Let seqclf "
                    f"{content.get('seqclf')}, which wrote it, end the run; or begin anew in another folder."
                )
            self._refuse_others(about, path)
            self._warn_of_changes(content["environment"])
            return unflatten(state, tensors)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, InvalidArgumentError):
                raise
            raise FileFormatError(f"checkpoint file must hold the state of a run; got {error!r} in {path}.") from None

    def _refuse_others(self, about: Mapping[str, Any], path: Path) -> None:
        """Raise unless a checkpoint is of this run."""
        for name, own in self.about.items():
            if about[name] != own:
                raise InvalidArgumentError(
                    f"checkpoint must be of a run of the same {name}; got {about[name]!r:.200} in {path}, and now "
                    f"{own!r:.200}. Go on with what it was begun with, or choose another folder."
                )

    def _warn_of_changes(self, environment: Mapping[str, Any]) -> None:
        changes = [
            f"{name} {environment.get(name)!r}, now {own!r}"
            for name, own in self.environment.items()
            if environment.get(name) != own
        ]
        if changes:
            warnings.warn(
                f"the run that goes on was begun with {', '.join(changes)}; it need not equal, bit for bit, one that "
                "was never interrupted",
                stacklevel=5,
            )
