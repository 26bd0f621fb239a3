"""predict and its like: what a model answers for raw sequences."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from seqclf.checks import check_int, check_probability
from seqclf.data.dataset import SequenceDataset
from seqclf.data.encode import (
    add_context,
    encode_features,
    encode_records,
    encode_tokens,
    find_unknown,
    refuse_empty,
    refuse_non_finite,
    warn_of_unknown,
)
from seqclf.data.ragged import Ragged
from seqclf.errors import InvalidArgumentError, InvalidDataError
from seqclf.inference.average import Doubles, Models, mean_probabilities, mean_thresholds, models_of, run_models
from seqclf.inference.logits import (
    Floats,
    answered,
    compute_logits,
    logits_of_tokens,
    pack,
    probabilities_of,
    run_batches,
)
from seqclf.models.classifier import RNNClassifier, check_is_model
from seqclf.reading.columns import as_list
from seqclf.reading.sequences import read_sequences

__all__ = ["predict", "predict_prefixes", "predict_proba"]

Result = TypeVar("Result")


def predict(
    model: Models,
    sequences: Iterable[Any] | SequenceDataset,
    *,
    top: int | None = None,
    reject_below: float | None = None,
    context: Any = None,
    batch_size: int = 256,
) -> list[Any]:
    """Return the most probable label of each sequence, in order.

    Args:
        model: A model that knows its vocabulary, such as one from `RNNClassifier.for_dataset` or `load`; for float
            sequences it needs none. Or a list of several, of the same classes and kind of input, which answer together:
            the mean of their probabilities decides. Raw sequences are encoded for each with its own vocabulary.
        sequences: Raw sequences (strings, token lists, float arrays (T, F), or records) in a list or whatever else
            `SequenceDataset.from_sequences` takes; or a dataset that was encoded with the model's vocabulary.
        top: How many of the likeliest labels to return for each sequence, with their probabilities; None is the best
            alone, without.
        reject_below: The least probability that an answer must have; where the best has less, the sequence gets None.
            `evaluate(model, validation).coverage(p)` says how many answers are left, and how many of them are right.
        context: Facts about each whole sequence, for a model that takes them, as for `from_sequences`; a dataset has
            its own.
        batch_size: How many sequences to run at once. It changes the speed alone.

    Returns:
        As many labels as there are sequences: those of `model.classes`, or class indices where the model has none. An
        empty sequence gets None where the model's `empty` is `"skip"`. A model of several labels gives tuples of those
        whose probability reaches its `thresholds`, of several models their mean, in the order of the classes. With
        `top`, each is a list of (label, probability) pairs, the likeliest first.

    Raises:
        InvalidDataError: A sequence is empty or does not fit the model; the message gives its index.
        InvalidArgumentError: The model has no vocabulary to encode with, several do not agree, or `reject_below` is no
            probability, or comes with `top` or for a model of several labels.

    Example:
        >>> from seqclf import RNNClassifier, SequenceDataset, fit, predict
        >>> train = SequenceDataset.from_pairs([("aab", "a"), ("aba", "a"), ("bba", "b"), ("bab", "b")] * 8)
        >>> model = RNNClassifier.for_dataset(train, hidden_size=8, seed=0)
        >>> _ = fit(model, train, epochs=20, batch_size=4, progress=False)
        >>> predict(model, ["aaab", "bbab"])
        ['a', 'b']
        >>> [label for label, probability in predict(model, ["aaab"], top=2)[0]]
        ['a', 'b']
        >>> predict(model, ["aaab", "b"], reject_below=0.999)
        [None, None]
    """
    models = models_of(model)
    check_int("batch_size", batch_size)
    least = check_rejection(models, reject_below, top)
    if top is not None:
        check_int("top", top)
        return likeliest(models[0], predict_proba(model, sequences, context=context, batch_size=batch_size), top)
    if len(models) > 1:
        return _predict_together(models, sequences, context, batch_size, least)
    only = models[0]
    alone = None if least or context is not None else _logits_of_lone_text(only, sequences)
    if alone is not None:
        return name_classes(only, answers_of(only, alone))
    store = encode_for(only, sequences, context)
    best = np.zeros((len(store), only.num_classes) if only.multi_label else len(store), np.int64)
    sure = np.ones(len(store), np.bool_)
    for indices, _, logits in run_batches(only, store, batch_size, answered(only, store)):
        best[indices] = answers_of(only, logits)  # at once, as all logits together may be large
        if least:
            sure[indices] = is_sure(probabilities_of(only, logits), least)
    return leave_open(labels_of(only, store, best), sure)


def predict_proba(
    model: Models,
    sequences: Iterable[Any] | SequenceDataset,
    *,
    context: Any = None,
    batch_size: int = 256,
) -> npt.NDArray[np.floating[Any]]:
    """Return the probability of each class for each sequence: shape (n, C), in order, columns as `model.classes`.

    They sum to 1, but for a model of several labels, each of which has a probability of its own.

    An empty sequence gets NaN where the model's `empty` is `"skip"`. Of several models, they are the arithmetic mean of
    what each gives, float64, the same bits in any batch and whatever the order of the models.

    Args:
        model: As for `predict`.
        sequences: As for `predict`.
        context: As for `predict`.
        batch_size: As for `predict`.

    Raises:
        InvalidDataError: As `predict`.
        InvalidArgumentError: As `predict`.

    Example:
        >>> import numpy as np
        >>> from seqclf import RNNClassifier, Vocabulary, predict_proba
        >>> model = RNNClassifier(2, vocab_size=4, vocabulary=Vocabulary("ab"), hidden_size=8, seed=0)
        >>> predict_proba(model, ["ab", "b", "aaa"]).shape
        (3, 2)
        >>> other = RNNClassifier(2, vocab_size=4, vocabulary=Vocabulary("ab"), hidden_size=8, seed=1)
        >>> mean = (predict_proba(model, ["ab"]) + predict_proba(other, ["ab"])) / 2
        >>> bool(np.allclose(predict_proba([model, other], ["ab"]), mean))
        True
    """
    models = models_of(model)
    check_int("batch_size", batch_size)
    if len(models) > 1:
        stores = _encode_for_each(models, sequences, context)
        found = np.empty((len(stores[0]), models[0].num_classes))
        for block, logits in run_models(models, stores, batch_size):
            found[block] = mean_probabilities(models, logits)
        return found
    only = models[0]
    alone = _logits_of_lone_text(only, sequences) if context is None else None
    if alone is not None:
        return probabilities_of(only, alone)
    return probabilities_of(only, compute_logits(only, encode_for(only, sequences, context), batch_size))


def check_rejection(models: Sequence[RNNClassifier], reject_below: float | None, top: int | None) -> float:
    """Return the least probability that an answer must have, 0 where any will do."""
    if reject_below is None:
        return 0.0
    if models[0].multi_label:
        raise InvalidArgumentError(
            f"reject_below must be None for a model of several labels; got {reject_below!r}. Which labels are sure "
            "enough is what its thresholds say: set model.thresholds."
        )
    if top is not None:
        raise InvalidArgumentError(
            f"reject_below must be None beside top; got {reject_below!r} and {top!r}. The probabilities of the "
            "likeliest labels say how sure they are."
        )
    return check_probability("reject_below", reject_below)


def is_sure(probabilities: Floats, least: float) -> npt.NDArray[np.bool_]:
    """Tell of which rows of probabilities (n, C) the best reaches a number, (n,); in float64, as `evaluate` does."""
    found: npt.NDArray[np.bool_] = probabilities.max(1).astype(np.float64) >= least
    return found


def leave_open(labels: list[Any], sure: npt.NDArray[np.bool_]) -> list[Any]:
    """Return labels, with None in place of those that are not sure."""
    return labels if sure.all() else [label if one else None for label, one in zip(labels, sure.tolist(), strict=True)]


def answer_all(
    models: Sequence[RNNClassifier], sequences: list[Any], context: Any, batch_size: int
) -> tuple[list[Any], Floats, npt.NDArray[np.int64]]:
    """Return what `predict` and `predict_proba` give at once, and of which sequences no symbol is known.

    What is unknown is not warned of, as these may be a part of the sequences only.
    """
    first = models[0]
    stores = [encode_for(model, sequences, context, warns=False) for model in models]
    known = first.vocabulary is None or first.fields is not None or first.input_size is not None
    unknown = np.zeros(0, np.int64) if known else find_unknown(stores[0])
    if len(models) == 1:
        logits = compute_logits(first, stores[0], batch_size)
        return labels_of(first, stores[0], answers_of(first, logits)), probabilities_of(first, logits), unknown
    probabilities = np.empty((len(stores[0]), first.num_classes))
    for block, parts in run_models(models, stores, batch_size):
        probabilities[block] = mean_probabilities(models, parts)
    return labels_of(first, stores[0], answers_together(models, probabilities)), probabilities, unknown


def _predict_together(
    models: Sequence[RNNClassifier], sequences: Any, context: Any, batch_size: int, least: float
) -> list[Any]:
    """Return the labels that the mean of the models' probabilities decides for."""
    first, stores = models[0], _encode_for_each(models, sequences, context)
    count = len(stores[0])
    best = np.zeros((count, first.num_classes) if first.multi_label else count, np.int64)
    sure = np.ones(count, np.bool_)
    for block, logits in run_models(models, stores, batch_size):
        probabilities = mean_probabilities(models, logits)
        best[block] = answers_together(models, probabilities)
        if least:
            sure[block] = is_sure(probabilities, least)
    return leave_open(labels_of(first, stores[0], best), sure)


def answers_together(models: Sequence[RNNClassifier], probabilities: Doubles) -> npt.NDArray[np.int64]:
    """Return the most probable class of mean probabilities (n, C), (n,); or 0 and 1 for each class, (n, C)."""
    if models[0].multi_label:
        return (probabilities >= mean_thresholds(models)).astype(np.int64)
    best: npt.NDArray[np.int64] = probabilities.argmax(1)
    return best


def _encode_for_each(models: Sequence[RNNClassifier], sequences: Any, context: Any) -> list[Ragged]:
    """Return sequences as each of several models takes them."""
    sequences = sequences if isinstance(sequences, SequenceDataset) else as_list(sequences)  # which may come but once
    return [_for_one_of_several(place, encode_for, one, sequences, context) for place, one in enumerate(models)]


def _for_one_of_several(place: int, function: Callable[..., Result], *given: Any) -> Result:
    """Call a function for one of several models; an error about data then says for which."""
    try:
        return function(*given)
    except InvalidDataError as error:
        raise InvalidDataError(f"{error} (for model[{place}])") from None


def predict_prefixes(
    model: RNNClassifier,
    sequences: Iterable[Any] | SequenceDataset,
    *,
    context: Any = None,
    batch_size: int = 256,
) -> list[npt.NDArray[np.floating[Any]]]:
    """Return the probabilities after each step of each sequence, in one pass, to see how early one could decide.

    Args:
        model: As for `predict`; it must read forwards only, and its pooling have a method `prefixes`.
        sequences: As for `predict`.
        context: As for `predict`.
        batch_size: As for `predict`.

    Returns:
        For each sequence, in order, an array (T, C): row t is what `predict_proba` gives for its first t + 1 steps.

    Raises:
        InvalidArgumentError: The model reads backwards, or its pooling has no `prefixes`; or as `predict`.
        InvalidDataError: As `predict`.

    Example:
        >>> from seqclf import RNNClassifier, Vocabulary, predict_prefixes
        >>> model = RNNClassifier(2, vocab_size=4, vocabulary=Vocabulary("ab"), hidden_size=8, seed=0)
        >>> [prefixes.shape for prefixes in predict_prefixes(model, ["abba", "b"])]
        [(4, 2), (1, 2)]
    """
    check_is_model("model", model)
    model.check_prefixes()
    check_int("batch_size", batch_size)
    store = encode_for(model, sequences, context)
    curves: list[npt.NDArray[np.floating[Any]]] = [np.empty((0, model.num_classes), np.float32)] * len(store)
    present = np.flatnonzero(store.sizes.numpy())  # an empty sequence has no prefix
    for indices, lengths, logits in run_batches(model, store, batch_size, present, prefixes=True):
        probabilities = probabilities_of(model, logits)
        for row, (index, length) in enumerate(zip(indices.tolist(), lengths.tolist(), strict=True)):
            curves[index] = probabilities[row, :length]
    return curves


def likeliest(model: RNNClassifier, probabilities: Floats, top: int) -> list[Any]:
    """Return the likeliest labels of rows of probabilities (n, C), with these; None for what the model skips."""
    classes = range(model.num_classes) if model.classes is None else model.classes
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
    return [
        None if np.isnan(row).all() else [(classes[place], float(row[place])) for place in places]
        for row, places in zip(probabilities, best.tolist(), strict=True)
    ]


def _logits_of_lone_text(model: RNNClassifier, sequences: Any) -> Floats | None:
    """Return the logits (1, C) for a list of one text, which needs nothing that only batches need; None for others."""
    is_lone_text = type(sequences) is list and len(sequences) == 1 and type(sequences[0]) is str
    if not is_lone_text or model.vocabulary is None or model.context_fields is not None:
        return None
    logits = logits_of_tokens(model, pack(model, full_table=False), sequences[0])
    return None if logits is None else logits[None]


def answers_of(model: RNNClassifier, logits: Floats) -> npt.NDArray[np.int64]:
    """Return the most probable class of logits (n, C), (n,); or 0 and 1 for each class, (n, C)."""
    if not model.multi_label:
        best: npt.NDArray[np.int64] = logits.argmax(1)
        return best
    return (probabilities_of(model, logits) >= model.thresholds.cpu().numpy()).astype(np.int64)


def name_classes(model: RNNClassifier, best: npt.NDArray[np.int64]) -> list[Any]:
    """Return the labels of class indices; tuples of them where there may be several."""
    if model.multi_label:
        classes = range(model.num_classes) if model.classes is None else model.classes
        return [tuple(classes[place] for place in np.flatnonzero(row)) for row in best]
    return best.tolist() if model.classes is None else [model.classes[index] for index in best.tolist()]


def labels_of(model: RNNClassifier, sequences: Ragged, best: npt.NDArray[np.int64]) -> list[Any]:
    """Return the labels of class indices, one for each sequence; None for those that the model skips."""
    labels = name_classes(model, best)
    if model.empty != "skip":
        return labels
    return [label if length else None for label, length in zip(labels, sequences.lengths.tolist(), strict=True)]


def encode_for(
    model: RNNClassifier, sequences: Iterable[Any] | SequenceDataset, context: Any = None, *, warns: bool = True
) -> Ragged:
    """Return raw sequences, or those of a dataset, as ids or features that `model` takes, with their context."""
    if isinstance(sequences, SequenceDataset):
        if context is not None:
            raise InvalidArgumentError("context must be None beside a dataset, which has its own; got some.")
        check_dataset(model, sequences)
        return sequences.sequences
    if (context is None) != (model.context_fields is None):
        wanted = "None" if model.context_fields is None else f"a row for each sequence, with {model.context_fields}"
        raise InvalidArgumentError(
            f"context must be {wanted}, for this model; got {'None' if context is None else 'some'}."
        )
    sequences = as_list(sequences)
    if len(sequences) == 0:
        width = () if model.input_size is None else (model.input_size,)
        return Ragged(
            torch.empty(0, *width, dtype=torch.int64 if not width else None), torch.zeros(1, dtype=torch.int64)
        )
    allow_empty = model.empty != "error"
    check_encodes(model)
    names = None if model.fields is None else model.fields.names
    read = read_sequences(sequences, channels_first=model.channels_first, names=names)
    allow_missing = model.missing != "error"
    if model.fields is not None:
        store = encode_records(read, model.fields, allow_empty=allow_empty, allow_missing=allow_missing)
    elif model.input_size is not None:
        store = encode_features(read, model.input_size, allow_empty=allow_empty, allow_missing=allow_missing)
    else:
        assert model.vocabulary is not None
        store = encode_tokens(read, model.vocabulary, allow_empty=allow_empty)
        if warns:
            warn_of_unknown(store)
    return add_context(store, context, model.context_fields)[0] if context is not None else store


def check_encodes(model: RNNClassifier) -> None:
    """Raise unless a model takes float sequences, or has a vocabulary to encode others with."""
    if model.vocabulary is None and model.input_size is None:
        raise InvalidArgumentError(
            "model must have a vocabulary to encode raw sequences; got none. "
            "Make it with RNNClassifier.for_dataset, or pass vocabulary=."
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
    for name in ("fields", "context_fields"):
        if getattr(dataset, name) != getattr(model, name):
            raise InvalidDataError(
                f"dataset must have the model's {name}, {getattr(model, name)}; got {getattr(dataset, name)}. Make it "
                f"with {name}=model.{name}."
            )
    if model.empty == "error":
        refuse_empty(dataset.sequences)
    if model.input_size is not None:
        refuse_non_finite(dataset.sequences, allow_missing=model.missing != "error")


def check_is_dataset(name: str, dataset: Any) -> None:
    """Raise unless `dataset` is one."""
    if not isinstance(dataset, SequenceDataset):
        raise InvalidArgumentError(
            f"{name} must be a SequenceDataset; got {type(dataset).__name__}. Make it with "
            "SequenceDataset.from_pairs(pairs, vocabulary=model.vocabulary, classes=model.classes)."
        )


def validate_dataset(name: str, model: RNNClassifier, dataset: SequenceDataset) -> SequenceDataset:
    """Return the labelled sequences that `model` trains on or is measured on; raise where they do not fit it."""
    check_is_model("model", model)
    check_is_dataset(name, dataset)
    check_dataset(model, dataset)
    check_labels(model, dataset)
    admitted = dataset.drop_empty() if model.empty == "skip" else dataset
    if len(admitted) == 0:
        raise InvalidDataError(f"{name} must hold at least one sequence; got none. Check where the data come from.")
    return admitted


def validate_for_each(name: str, models: Sequence[RNNClassifier], dataset: SequenceDataset) -> SequenceDataset:
    """Return the labelled sequences that one model, or several, are measured on; raise where they do not fit them."""
    admitted = validate_dataset(name, models[0], dataset)
    for place, model in enumerate(models[1:], start=1):
        _for_one_of_several(place, validate_dataset, name, model, admitted)
    return admitted


def check_labels(model: RNNClassifier, dataset: SequenceDataset) -> None:
    """Raise unless the classes of `dataset` are the model's."""
    if dataset.multi_label != model.multi_label:
        raise InvalidDataError(
            f"dataset must have multi_label={model.multi_label}, as the model; got {dataset.multi_label}. Make the "
            "model with RNNClassifier.for_dataset(train)."
        )
    if len(dataset.classes) != model.num_classes or (model.classes is not None and dataset.classes != model.classes):
        known = model.classes if model.classes is not None else f"{model.num_classes} classes"
        raise InvalidDataError(
            f"dataset must have the model's classes, {known!s:.200}; got {dataset.classes!s:.200}. "
            "Make it with SequenceDataset.from_pairs(..., classes=model.classes)."
        )


def _width(input_size: int | None) -> str:
    return "symbols" if input_size is None else f"{input_size} features a step"
