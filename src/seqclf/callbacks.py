"""Callbacks for `fit`, and what they are given: early stopping, checkpoints, TensorBoard."""

from typing import Any

from seqclf.errors import MissingDependencyError
from seqclf.files import PathLike
from seqclf.training.checkpoint import Checkpoint
from seqclf.training.distributed import process_rank
from seqclf.training.run import EpochEnd
from seqclf.training.stopping import EarlyStopping

__all__ = ["Checkpoint", "EarlyStopping", "EpochEnd", "TensorBoard"]


class TensorBoard:
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

    def __call__(self, end: EpochEnd) -> None:
        """Write the measures of an epoch that has ended."""
        if self.writer is not None:
            for name, values in end.history.measures.items():
                self.writer.add_scalar(name, values[-1], end.epoch + 1)
            self.writer.flush()

    def close(self) -> None:
        """Close the file."""
        if self.writer is not None:
            self.writer.close()
