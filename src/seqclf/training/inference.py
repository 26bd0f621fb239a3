"""Inference: logits of many sequences, and what users make of them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from seqclf.checks import check_int
from seqclf.data.dataset import SequenceDataset
from seqclf.data.encode import encode_features, encode_tokens
from seqclf.data.ragged import Ragged
from seqclf.data.sampling import BucketBatchSampler
from seqclf.errors import InvalidArgumentError, InvalidDataError
from seqclf.models.classifier import RNNClassifier

__all__ = ["predict", "predict_proba"]


def predict(model: RNNClassifier, sequences: Sequence[Any] | SequenceDataset, *, batch_size: int = 256) -> list[Any]:
    """Return the most probable label of each sequence, in order.

    Args:
        model: A model that knows its vocabulary, such as one from `RNNClassifier.for_dataset` or `load`; for float
            sequences it needs none.
        sequences: Raw sequences (strings, token lists, or float arrays (T, F)), or a dataset that was encoded with the
            model's vocabulary.
        batch_size: How many sequences to run at once. It changes the speed alone.

    Returns:
        As many labels as there are sequences: those of `model.classes`, or class indices where the model has none.

    Raises:
        InvalidDataError: A sequence is empty or does not fit the model; the message gives its index.
        InvalidArgumentError: The model has no vocabulary to encode with.

    Example:
        >>> from seqclf import RNNClassifier, SequenceDataset, fit, predict
        >>> train = SequenceDataset.from_pairs([("aab", "a"), ("aba", "a"), ("bba", "b"), ("bab", "b")] * 8)
        >>> model = RNNClassifier.for_dataset(train, hidden_size=8, seed=0)
        >>> _ = fit(model, train, epochs=20, batch_size=4, progress=False)
        >>> predict(model, ["aaab", "bbab"])
        ['a', 'b']
    """
    best = compute_logits(model, encode_for(model, sequences), batch_size).argmax(1).tolist()
    return best if model.classes is None else [model.classes[index] for index in best]


def predict_proba(
    model: RNNClassifier, sequences: Sequence[Any] | SequenceDataset, *, batch_size: int = 256
) -> npt.NDArray[np.floating[Any]]:
    """Return the probability of each class for each sequence: shape (n, C), in order, columns as `model.classes`.

    Args:
        model: As for `predict`.
        sequences: As for `predict`.
        batch_size: As for `predict`.

    Raises:
        InvalidDataError: As `predict`.
        InvalidArgumentError: As `predict`.

    Example:
        >>> from seqclf import RNNClassifier, Vocabulary, predict_proba
        >>> model = RNNClassifier(2, vocab_size=4, vocabulary=Vocabulary("ab"), hidden_size=8, seed=0)
        >>> predict_proba(model, ["ab", "b", "aaa"]).shape
        (3, 2)
    """
    probabilities: npt.NDArray[np.floating[Any]]
    probabilities = compute_logits(model, encode_for(model, sequences), batch_size).softmax(1).numpy()
    return probabilities


def compute_logits(model: RNNClassifier, sequences: Ragged, batch_size: int) -> Tensor:
    """Return the logits (n, C) on the CPU, in the order of the sequences; batches are made of like lengths."""
    check_int("batch_size", batch_size)
    logits = torch.empty(len(sequences), model.num_classes, dtype=model.head.weight.dtype)
    if len(sequences) == 0:
        return logits
    with evaluating(model), torch.no_grad():
        for indices in BucketBatchSampler(sequences.lengths, batch_size, shuffle=False):
            inputs, lengths = sequences.pad(indices)
            logits[indices] = model(inputs.to(model.device), lengths).cpu()
    return logits


def encode_for(model: RNNClassifier, sequences: Sequence[Any] | SequenceDataset) -> Ragged:
    """Return raw sequences, or those of a dataset, as ids or features that `model` takes."""
    if isinstance(sequences, SequenceDataset):
        check_dataset(model, sequences)
        return sequences.sequences
    if isinstance(sequences, str) or not isinstance(sequences, Sequence | np.ndarray):
        raise InvalidDataError(
            f"sequences must be a list of sequences; got {type(sequences).__name__}. "
            "Put a single sequence into a list, and pass an iterator as list(...)."
        )
    if len(sequences) == 0:
        width = () if model.input_size is None else (model.input_size,)
        return Ragged(
            torch.empty(0, *width, dtype=torch.int64 if not width else None), torch.zeros(1, dtype=torch.int64)
        )
    if model.input_size is not None:
        return encode_features(sequences, model.input_size)
    if model.vocabulary is None:
        raise InvalidArgumentError(
            "model must have a vocabulary to encode raw sequences; got none. "
            "Make it with RNNClassifier.for_dataset, or pass vocabulary=."
        )
    return encode_tokens(sequences, model.vocabulary)


def check_is_dataset(name: str, dataset: Any) -> None:
    """Raise unless `dataset` is one."""
    if not isinstance(dataset, SequenceDataset):
        raise InvalidArgumentError(
            f"{name} must be a SequenceDataset; got {type(dataset).__name__}. Make it with from_pairs."
        )


def check_dataset(model: RNNClassifier, dataset: SequenceDataset) -> None:
    """Raise unless `dataset` was encoded as `model` expects."""
    if dataset.input_size != model.input_size:
        raise InvalidDataError(
            f"dataset must have the model's {_width(model.input_size)}; got {_width(dataset.input_size)}. "
            "Make the model with RNNClassifier.for_dataset(train)."
        )
    if model.vocabulary is not None and dataset.vocabulary != model.vocabulary:
        raise InvalidDataError(
            f"dataset must be encoded with the model's vocabulary, {model.vocabulary!r}; got {dataset.vocabulary!r}. "
            "Make it with SequenceDataset.from_pairs(..., vocabulary=model.vocabulary)."
        )
    if model.vocab_size is not None and dataset.vocabulary is not None and len(dataset.vocabulary) > model.vocab_size:
        raise InvalidDataError(
            f"dataset must have at most the model's {model.vocab_size} ids; got {len(dataset.vocabulary)}. "
            "Make the model with RNNClassifier.for_dataset(train)."
        )


def check_labels(model: RNNClassifier, dataset: SequenceDataset) -> None:
    """Raise unless the classes of `dataset` are the model's."""
    if len(dataset.classes) != model.num_classes or (model.classes is not None and dataset.classes != model.classes):
        known = model.classes if model.classes is not None else f"{model.num_classes} classes"
        raise InvalidDataError(
            f"dataset must have the model's classes, {known!s:.200}; got {dataset.classes!s:.200}. "
            "Make it with SequenceDataset.from_pairs(..., classes=model.classes)."
        )


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put every part of `model` into eval mode inside the block, and each back into its own mode afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def _width(input_size: int | None) -> str:
    return "symbols" if input_size is None else f"{input_size} features a step"
