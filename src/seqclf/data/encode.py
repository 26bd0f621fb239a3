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


def encode_tokens(sequences: Sequence[Any], vocabulary: Vocabulary, *, allow_empty: bool = False) -> Ragged:
    """Encode strings or token sequences into a compact store.

    Raises:
        InvalidDataError: A sequence is empty, is a float array or a list of floats, or is not of the vocabulary's kind.
    """
    if not _are_texts(sequences):
        for index, sequence in enumerate(sequences):
            _refuse_floats(sequence, index)
    values, offsets = vocabulary.encode_flat(sequences)
    store = Ragged(compact(values, len(vocabulary)), offsets)
    if not allow_empty:
        refuse_empty(store)
    return store


def encode_one(sequence: Any, vocabulary: Vocabulary) -> list[int]:
    """Return the ids of one string or token sequence, which may be empty.

    Raises:
        InvalidDataError: As `encode_tokens`.
    """
    _refuse_floats(sequence, 0)
    return vocabulary.to_ids(sequence)


def encode_features(
    sequences: Sequence[Any],
    input_size: int | None = None,
    *,
    channels_first: bool = False,
    allow_empty: bool = False,
    allow_missing: bool = False,
) -> Ragged:
    """Join float arrays of shape (T, F), or (T,) for one feature, into one store of torch's default float type.

    Args:
        sequences: Arrays or tensors, as many features wide as the first, or as `input_size` where given.
        input_size: The number of features F that every sequence must have.
        channels_first: Whether the arrays are (F, T) instead.
        allow_empty: Whether sequences may have no step.
        allow_missing: Whether features may be NaN.

    Raises:
        InvalidDataError: A sequence is empty, not a float array, of another width, or has NaN or infinite features.
    """
    tensors = []
    for index, sequence in enumerate(sequences):
        tensors.append(_feature_tensor(sequence, index, input_size, channels_first))
        input_size = tensors[0].shape[1] if input_size is None else input_size
    lengths = torch.tensor([len(tensor) for tensor in tensors])
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    store = Ragged(torch.cat(tensors), offsets)
    if not allow_empty:
        refuse_empty(store)
    refuse_non_finite(store, allow_missing=allow_missing)
    return store


def refuse_mixed_kinds(sequences: Sequence[Any]) -> None:
    """Raise where float arrays stand among strings or token sequences."""
    if _are_texts(sequences):
        return
    features = are_features(sequences)
    for index, sequence in enumerate(sequences):
        if _is_float_array(sequence) != features:
            raise InvalidDataError(
                "sequences must be all of one kind (strings, tokens, or float arrays); "
                f"got {type(sequences[0]).__name__} (sequence 0) and {type(sequence).__name__} (sequence {index}). "
                "Make one dataset for each kind."
            )


def _are_texts(sequences: Sequence[Any]) -> bool:
    """Tell whether all are plain strings, at a fraction of the cost of looking at each in turn."""
    return set(map(type, sequences)) == {str}


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


def _feature_tensor(sequence: Any, index: int, input_size: int | None, channels_first: bool) -> Tensor:
    if not _is_float_array(sequence):
        raise InvalidDataError(
            f"float sequences must be float arrays or tensors; got {type(sequence).__name__} (sequence {index}). "
            "Convert it, for instance with numpy.asarray(sequence, dtype='float32')."
        )
    if isinstance(sequence, np.ndarray) and not sequence.flags.writeable:
        sequence = sequence.copy()  # torch warns of others
    tensor = torch.as_tensor(sequence).detach().to("cpu", torch.get_default_dtype())
    tensor = tensor[:, None] if tensor.ndim == 1 else tensor
    if tensor.ndim != 2:
        raise InvalidDataError(
            f"float sequences must have the shape {'(F, T)' if channels_first else '(T, F)'}; got "
            f"{tuple(tensor.shape)} (sequence {index}). Give each sequence one row for each "
            f"{'feature' if channels_first else 'step'}."
        )
    tensor = tensor.T if channels_first and sequence.ndim == 2 else tensor
    if input_size is not None and tensor.shape[1] != input_size:
        raise InvalidDataError(
            f"float sequences must all have {input_size} features; got shape {tuple(sequence.shape)} "
            f"(sequence {index}). Give each sequence the shape {'(F, T)' if channels_first else '(T, F)'} with one F."
        )
    return tensor


def refuse_empty(store: Ragged) -> None:
    """Raise where a sequence has no step."""
    sizes = store.sizes.numpy()
    if not sizes.all():
        raise InvalidDataError(
            f"sequences must not be empty; got length 0 (sequence {int((sizes == 0).argmax())}). Remove it; or keep it "
            "with allow_empty=True in the dataset, and empty='zero' or 'skip' in the model."
        )


def refuse_non_finite(store: Ragged, *, allow_missing: bool) -> None:
    """Raise where a feature is infinite, or NaN where that is not allowed."""
    wrong = torch.nonzero(store.values.isinf() if allow_missing else ~store.values.isfinite())
    if len(wrong):
        row, feature = (int(number) for number in wrong[0])
        index = int(torch.searchsorted(store.offsets, row, right=True)) - 1
        raise InvalidDataError(
            f"features must be finite numbers; got {float(store.values[row, feature])} "
            f"(sequence {index}, step {row - int(store.offsets[index])}, feature {feature}). Correct it; or keep NaN "
            "with allow_missing=True in the dataset, and missing='mean', 'forward' or 'indicator' in the model."
        )
