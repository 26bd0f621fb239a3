"""Callbacks for `fit`, and what they are given: early stopping, checkpoints, the best model, TensorBoard."""

from typing import Any

from seqclf.errors import MissingDependencyError
from seqclf.files import PathLike, as_path, check_writable
from seqclf.persistence import describe_model, save
from seqclf.training.checkpoint import Checkpoint
from seqclf.training.distributed import process_rank
from seqclf.training.hooks import Callback, FitState
from seqclf.training.stopping import Best, EarlyStopping, Mode

__all__ = ["Callback", "Checkpoint", "EarlyStopping", "FitState", "SaveBest", "TensorBoard"]


class SaveBest(Callback):
    """Saves the model whenever an epoch was the best up to then, so that the file holds the best model.

    Args:
        path: The file, as for `save`.
        monitor: The measure to go by, as for `EarlyStopping`.
        mode: Whether less is better, `"min"`, or more, `"max"`; `"auto"` is less for losses and errors.

    Example:
        >>> import tempfile
        >>> from seqclf import RNNClassifier, SequenceDataset, fit, load
        >>> from seqclf.callbacks import SaveBest
        >>> train = SequenceDataset.from_pairs([("aab", "a"), ("bba", "b")] * 8)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     best = SaveBest(f"{folder}/best.safetensors", monitor="loss")
        ...     _ = fit(RNNClassifier.for_dataset(train), train, epochs=3, callbacks=best, progress=False)
        ...     load(f"{folder}/best.safetensors").classes
        ('a', 'b')
    """

    def __init__(self, path: PathLike, monitor: str = "val_loss", mode: Mode = "auto") -> None:
        self.path, self.monitor = as_path(path), monitor
        self._best = Best(monitor, mode)

    def on_fit_start(self, state: FitState) -> None:
        """Find out now whether the model can be saved; a file that stands there stays until an epoch has ended."""
        describe_model(state.model)
        if process_rank() == 0:
            check_writable(self.path)

    def on_epoch_end(self, state: FitState) -> None:
        """Save the model, if the epoch was the best."""
        if self._best.improves(state) and process_rank() == 0:
            save(state.model, self.path)

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` goes on from."""
        return self._best.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self._best.load_state_dict(state)


class TensorBoard(Callback):
    """Writes the measures of each epoch for TensorBoard, by torch's own writer.

    Args:
        folder: The folder of this run; `tensorboard --logdir` on the one above shows all runs side by side.

    Raises:
        MissingDependencyError: tensorboard is not installed.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from seqclf import RNNClassifier, SequenceDataset, fit
        >>> from seqclf.callbacks import TensorBoard
        >>> train = SequenceDataset.from_pairs([("aab", "a"), ("bba", "b")])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     callback = TensorBoard(folder)
        ...     history = fit(RNNClassifier.for_dataset(train), train, epochs=2, callbacks=[callback], progress=False)
        ...     callback.close()
        ...     files = sorted(path.name.split(".")[0] for path in Path(folder).iterdir())
        >>> files
        ['events']
    """

    def __init__(self, folder: PathLike) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415  # optional
        except ImportError as error:
            raise MissingDependencyError(
                f"TensorBoard must have tensorboard; got {error}. Install it with: pip install tensorboard"
            ) from error
        self.writer: Any = SummaryWriter(folder) if process_rank() == 0 else None

    def on_epoch_end(self, state: FitState) -> None:
        """Write the measures of an epoch."""
        if self.writer is not None:
            for name, value in state.measures.items():
                self.writer.add_scalar(name, value, state.epoch + 1)
            self.writer.flush()

    def close(self) -> None:
        """Close the file."""
        if self.writer is not None:
            self.writer.close()
