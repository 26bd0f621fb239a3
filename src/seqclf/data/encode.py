"""From raw sequences (strings, token lists, float arrays) to the ragged store, each checked on the way."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seqclf.data.ragged import Ragged, compact
from seqclf.errors import InvalidDataError
from seqclf.vocabulary import Vocabulary


def are_features(sequences: Sequence[Any]) -> bool:
    """Tell by the first sequence whether all should be float arrays (T, F), not strings or tokens."""
    return _is_float_array(sequences[0])


def encode_tokens(sequences: Sequence[Any], vocabulary: Vocabulary) -> Ragged:
    """Encode strings or token sequences into a compact store.

    Raises:
        InvalidDataError: A sequence is empty, is a float array or a list of floats, or is not of the vocabulary's kind.
    """
    for index, sequence in enumerate(sequences):
        _refuse_floats(sequence, index)
    values, offsets = vocabulary.encode_flat(sequences)
    _refuse_empty(offsets)
    return Ragged(compact(values, len(vocabulary)), offsets)


def encode_features(sequences: Sequence[Any], input_size: int | None = None) -> Ragged:
    """Join float arrays of shape (T, F), or (T,) for one feature, into one store of torch's default float type.

    Args:
        sequences: Arrays or tensors, as many features wide as the first, or as `input_size` where given.
        input_size: The number of features F that every sequence must have.

    Raises:
        InvalidDataError: A sequence is empty, not a float array, of another width, or has NaN or infinite features.
    """
    tensors = []
    for index, sequence in enumerate(sequences):
        tensors.append(_feature_tensor(sequence, index, input_size))
        input_size = tensors[0].shape[1] if input_size is None else input_size
    lengths = torch.tensor([len(tensor) for tensor in tensors])
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    _refuse_empty(offsets)
    values = torch.cat(tensors)
    _refuse_non_finite(values, offsets)
    return Ragged(values, offsets)


def refuse_mixed_kinds(sequences: Sequence[Any]) -> None:
    """Raise where float arrays stand among strings or token sequences."""
    features = are_features(sequences)
    for index, sequence in enumerate(sequences):
        if _is_float_array(sequence) != features:
            raise InvalidDataError(
                "sequences must be all of one kind (strings, tokens, or float arrays); "
                f"got {type(sequences[0]).__name__} (sequence 0) and {type(sequence).__name__} (sequence {index}). "
                "Make one dataset for each kind."
            )


def _is_float_array(sequence: Any) -> bool:
    if isinstance(sequence, Tensor):
        return sequence.is_floating_point()
    return isinstance(sequence, np.ndarray) and bool(np.issubdtype(sequence.dtype, np.floating))


def _refuse_floats(sequence: Any, index: int) -> None:
    """Refuse lists of floats: they are features that have not been said to be features."""
    first = sequence[0] if isinstance(sequence, list | tuple) and sequence else None
    if isinstance(first, float):
        raise InvalidDataError(
            f"token sequences must hold hashable symbols other than floats; got {type(sequence).__name__} of "
            f"float (sequence {index}). Pass features as a float array of shape (T, F)."
        )


def _feature_tensor(sequence: Any, index: int, input_size: int | None) -> Tensor:
    if not _is_float_array(sequence):
        raise InvalidDataError(
            f"float sequences must be float arrays or tensors; got {type(sequence).__name__} (sequence {index}). "
            "Convert it, for instance with numpy.asarray(sequence, dtype='float32')."
        )
    tensor = torch.as_tensor(sequence).detach().to("cpu", torch.get_default_dtype())
    tensor = tensor[:, None] if tensor.ndim == 1 else tensor
    if tensor.ndim != 2:
        raise InvalidDataError(
            f"float sequences must have the shape (T, F); got {tuple(tensor.shape)} (sequence {index}). "
            "Give each sequence one row for each step."
        )
    if input_size is not None and tensor.shape[1] != input_size:
        raise InvalidDataError(
            f"float sequences must all have {input_size} features; got shape {tuple(tensor.shape)} (sequence {index}). "
            "Give each sequence the shape (T, F) with one F."
        )
    return tensor


def _refuse_empty(offsets: Tensor) -> None:
    empty = torch.nonzero(offsets[1:] == offsets[:-1])
    if len(empty):
        raise InvalidDataError(
            f"sequences must not be empty; got length 0 (sequence {int(empty[0])}). Remove it first."
        )


def _refuse_non_finite(values: Tensor, offsets: Tensor) -> None:
    wrong = torch.nonzero(~torch.isfinite(values))
    if len(wrong):
        row, feature = (int(number) for number in wrong[0])
        index = int(torch.searchsorted(offsets, row, right=True)) - 1
        raise InvalidDataError(
            f"features must be finite numbers; got {float(values[row, feature])} "
            f"(sequence {index}, step {row - int(offsets[index])}, feature {feature}). "
            "Fill or drop missing values first."
        )
