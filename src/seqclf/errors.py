"""The family of errors: everything that seqclf raises on purpose is a `SeqclfError`."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

__all__ = [
    "DownloadError",
    "FileFormatError",
    "InvalidArgumentError",
    "InvalidDataError",
    "InvalidIndexError",
    "MissingDependencyError",
    "SeqclfError",
    "SeqclfWarning",
    "TrainingError",
]


class SeqclfError(Exception):
    """The base of every error of this library.

    Example:
        >>> from seqclf import SeqclfError, Vocabulary
        >>> try:
        ...     Vocabulary.build([])
        ... except SeqclfError as error:
        ...     print(error)
        sequences must hold at least one sequence; got none. Pass the training sequences.
    """


class SeqclfWarning(UserWarning):
    """What this library warns of, so that it can be told from other warnings, silenced or made an error.

    Example:
        >>> import warnings
        >>> from seqclf import RNNClassifier, SequenceDataset, predict
        >>> from seqclf.errors import SeqclfWarning
        >>> model = RNNClassifier.for_dataset(SequenceDataset.from_pairs([("aab", "a"), ("bba", "b")]), seed=0)
        >>> with warnings.catch_warnings():  # doctest: +ELLIPSIS
        ...     warnings.simplefilter("error", SeqclfWarning)
        ...     try:
        ...         predict(model, ["xyz"])
        ...     except SeqclfWarning as warning:
        ...         print(warning)
        no symbol is known of 1 of 1 sequences, such as sequence 0: ...
    """


class InvalidArgumentError(SeqclfError, ValueError):
    """An argument is out of its range, of the wrong kind, or at odds with another.

    Example:
        >>> from seqclf import RNNClassifier
        >>> RNNClassifier(2, vocab_size=9, hidden_size=0)
        Traceback (most recent call last):
        seqclf.errors.InvalidArgumentError: hidden_size must be an integer of at least 1; got 0.
    """


class InvalidDataError(SeqclfError, ValueError):
    """A sequence or a label cannot be used; the message says which one and why.

    Example:
        >>> from seqclf import SequenceDataset
        >>> SequenceDataset.from_pairs([("Satoshi", "Japanese"), ("", "Greek")])  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        seqclf.errors.InvalidDataError: sequences must not be empty; got length 0 (sequence 1). Remove it...
    """


class InvalidIndexError(InvalidArgumentError, IndexError):
    """An index is beyond the end, or none at all.

    Example:
        >>> from seqclf import SequenceDataset
        >>> SequenceDataset.from_pairs([("ab", "x")])[1]
        Traceback (most recent call last):
        seqclf.errors.InvalidIndexError: an index must be from -1 to 0; got 1.
    """


class FileFormatError(SeqclfError):
    """A file or folder is missing, damaged, or not what it should be; the message names it.

    Example:
        >>> from seqclf import load
        >>> load("no-such-model.safetensors")
        Traceback (most recent call last):
        seqclf.errors.FileFormatError: model file must exist; got no file at no-such-model.safetensors. ...
    """


class DownloadError(SeqclfError):
    """A download failed, or what came is not what was expected.

    Example:
        >>> from seqclf.datasets import download_names
        >>> from seqclf.errors import DownloadError
        >>> try:
        ...     download_names("/tmp/never-made", url="http://127.0.0.1:9/data.zip")
        ... except DownloadError as error:
        ...     print(str(error)[:62])
        the names data could not be fetched from http://127.0.0.1:9/da
    """


class MissingDependencyError(SeqclfError, ImportError):
    """An optional package is not installed; the message names the extra that brings it.

    Example:
        >>> from seqclf.errors import MissingDependencyError
        >>> issubclass(MissingDependencyError, ImportError)
        True
    """


class TrainingError(SeqclfError, ArithmeticError):
    """Training cannot go on, for instance because a gradient is no longer finite.

    Attributes:
        epoch: The index of the epoch, from 0, where it matters.
        update: The index of the update in that epoch, from 0, likewise.
        indices: Where the sequences of the batch stand in the training data, likewise.

    Example:
        >>> from seqclf.errors import TrainingError
        >>> TrainingError("the loss must stay finite", epoch=2).epoch
        2
    """

    def __init__(
        self, message: str, *, epoch: int | None = None, update: int | None = None, indices: Sequence[int] = ()
    ) -> None:
        super().__init__(message)
        self.epoch, self.update, self.indices = epoch, update, list(indices)


class BatchingError(SeqclfError, AssertionError):
    """A model's answers depend on how sequences are batched; the message is the report.

    Example:
        >>> from seqclf.errors import BatchingError
        >>> issubclass(BatchingError, AssertionError)
        True
    """


def did_you_mean(word: object, known: Iterable[object]) -> str:
    """Return `" Did you mean 'lstm'?"` for the nearest known word, or nothing."""
    names = {str(other).lower(): str(other) for other in known}
    near = [names[one] for one in get_close_matches(str(word).lower(), names, n=1)]
    return f" Did you mean {near[0]!r}?" if near else ""
