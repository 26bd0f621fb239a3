"""explain: which steps of a sequence a prediction rests on."""

import copy
from collections.abc import Iterable
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from seqclf.attribution.explanation import Explanation
from seqclf.checks import check_choice
from seqclf.data.ragged import Ragged
from seqclf.errors import InvalidArgumentError, InvalidDataError, did_you_mean
from seqclf.inference.predict import encode_for
from seqclf.models.classifier import RNNClassifier
from seqclf.modes import evaluating

__all__ = ["Explanation", "explain"]

Method = Literal["integrated_gradients", "occlusion"]

_FEWEST, _MOST = 32, 1024  # points of the integral
_TOLERANCE = 1e-3  # of its value, where more points bring it
_CHUNK = 64  # how many variants of a sequence run at once


def explain(
    model: RNNClassifier,
    sequence: Any,
    *,
    context: Any = None,
    label: Any = None,
    method: Method = "integrated_gradients",
) -> Explanation:
    """Attribute an answer to the steps of a sequence: how much of the logit of a class comes from each.

    Both methods compare a step with one that says nothing: for symbols, a vector of zeros, which is that of padding;
    for features, their training mean where the model keeps it, else zeros.

    `"integrated_gradients"` goes from a sequence of such steps to the real one in a straight line, and adds up each
    step's part of the way. The scores sum to the difference of the logits at both ends. `"occlusion"` replaces one step
    at a time, and takes the fall of the logit; steps that can stand in for one another then all have low scores.

    Args:
        model: The trained model; its dropout is off, and no gradient is left in it.
        sequence: One raw sequence, as for `predict`, with one step at least.
        context: Facts about it, for a model that takes them; they are the same at both ends, and get no score.
        label: The class to explain: a label, or an index where the model has no labels. None is the predicted one.
        method: `"integrated_gradients"` or `"occlusion"`.

    Raises:
        InvalidArgumentError: The label or the method is unknown, or the model has no vocabulary.
        InvalidDataError: The sequence is empty or does not fit the model.

    References:
        Sundararajan, Taly and Yan, Axiomatic Attribution for Deep Networks, ICML 2017, equation 1, with the nodes of
        Gauss and Legendre; Zeiler and Fergus, Visualizing and Understanding Convolutional Networks, ECCV 2014, section
        4.2, for occlusion.

    Example:
        >>> from seqclf import RNNClassifier, SequenceDataset, explain, fit
        >>> train = SequenceDataset.from_pairs([("aab", "a"), ("aba", "a"), ("bba", "b"), ("bab", "b")] * 8)
        >>> model = RNNClassifier.for_dataset(train, hidden_size=8, dropout=0.0, ngrams=None, seed=0)
        >>> _ = fit(model, train, epochs=20, batch_size=4, progress=False)
        >>> explanation = explain(model, "abb")  # words that begin with an a
        >>> explanation.label, int(explanation.scores.argmax())
        ('a', 0)
        >>> abs(explanation.residual) < 0.01
        True
    """
    check_choice("method", method, get_args(Method))
    store = encode_for(model, [sequence], None if context is None else [context])
    if not len(store.values):
        raise InvalidDataError("sequence must have one step at least to be explained; got none.")
    symbols = _symbols(model, sequence) if model.input_size is None else range(len(store.values))
    return explain_stored(model, store, symbols, label=label, method=method)


def explain_stored(
    model: RNNClassifier,
    store: Ragged,
    symbols: Iterable[Any],
    *,
    label: Any = None,
    method: Method = "integrated_gradients",
    most_points: int = _MOST,
) -> Explanation:
    """Explain the one sequence that `store` holds, as the model reads it; `symbols` are what to call its steps.

    `most_points` bounds the points of the integral, and so the time; whether they were enough the residual tells.
    """
    with evaluating(model), torch.backends.cudnn.flags(enabled=False):  # cuDNN has no gradient in eval mode
        vectors, baseline = _vectors(model, store)
        reader = _vector_reader(model, vectors.shape[1])
        with torch.no_grad():
            both = _logits(reader, torch.stack([vectors, baseline]))
            logits, none = model.add_context(both, None if store.context is None else store.context.expand(2, -1))
        index = int(logits.argmax()) if label is None else _index_of(model, label)
        if method == "occlusion":
            scores = _occlude(reader, vectors, baseline, index)
        else:
            scores = _integrate(reader, vectors, baseline, index, float(logits[index] - none[index]), most=most_points)
    by_step = scores if scores.ndim == 1 else scores.sum(1)
    by_feature = None
    if model.features is not None and scores.ndim == 2:
        owners = torch.tensor(model.features.owners, device=scores.device)
        summed = scores.new_zeros(len(scores), model.input_size or 0).index_add(1, owners, scores)
        by_feature = summed.double().cpu().numpy()
    return Explanation(
        sequence=tuple(symbols),
        label=index if model.classes is None else model.classes[index],
        probability=float(logits.sigmoid()[index] if model.multi_label else logits.softmax(0)[index]),
        scores=by_step.double().cpu().numpy(),
        feature_scores=by_feature,
        logit=float(logits[index]),
        baseline_logit=float(none[index]),
        method=method,
    )


def _symbols(model: RNNClassifier, sequence: Any) -> list[Any]:
    tokenizer = None if model.vocabulary is None else model.vocabulary.tokenizer
    if tokenizer is not None and isinstance(sequence, str):
        return tokenizer([sequence])[0]
    return [symbol.item() if isinstance(symbol, np.generic | Tensor) else symbol for symbol in sequence]


def _index_of(model: RNNClassifier, label: Any) -> int:
    classes = range(model.num_classes) if model.classes is None else model.classes
    if label not in classes:
        raise InvalidArgumentError(
            f"label must be one of the model's {model.num_classes} classes; got {label!r}."
            f"{did_you_mean(label, classes)}"
        )
    return classes.index(label)


def _vectors(model: RNNClassifier, store: Ragged) -> tuple[Tensor, Tensor]:
    """Return what the encoder reads of a sequence, (T, E), and of one whose steps say nothing."""
    inputs = store.values.to(model.device)
    with torch.no_grad():
        if model.embedding is not None:
            vectors = model.read_steps(inputs.long()[None], torch.tensor([len(inputs)]))[0]
            return vectors, torch.zeros_like(vectors)
        assert model.features is not None
        inputs = inputs[None]
        vectors = model.features(inputs, model.head.weight.dtype)[0]
        return vectors, model.features.nothing(inputs, model.head.weight.dtype)[0]


def _vector_reader(model: RNNClassifier, size: int) -> RNNClassifier:
    """Return the same model, with the very same weights, reading vectors in place of symbols or raw features."""
    reader = copy.copy(model)
    reader._modules = dict(model._modules)
    reader.embedding = reader.features = reader.position_vectors = reader.ngram_vectors = None
    reader.vocab_size, reader.input_size = None, size
    reader.fields = reader.context_fields = reader.context_logits = None
    reader.truncate_steps = None  # or gradients would end midway
    return reader


def _logits(reader: RNNClassifier, vectors: Tensor) -> Tensor:
    """Return the logits (n, C) of variants (n, T, E) of one sequence."""
    logits: Tensor = reader(vectors, torch.full((len(vectors),), vectors.shape[1]))
    return logits


@torch.no_grad()
def _occlude(reader: RNNClassifier, vectors: Tensor, baseline: Tensor, index: int) -> Tensor:
    """Return by how much the logit falls when a step says nothing, (T,)."""
    whole = _logits(reader, vectors[None])[0, index]
    falls = []
    for positions in torch.split(torch.arange(len(vectors)), _CHUNK):
        variants = vectors.repeat(len(positions), 1, 1)
        variants[torch.arange(len(positions)), positions] = baseline[positions]
        falls.append(whole - _logits(reader, variants)[:, index])
    return torch.cat(falls)


def _integrate(
    reader: RNNClassifier, vectors: Tensor, baseline: Tensor, index: int, total: float, *, most: int
) -> Tensor:
    """Return the integral of the gradients from the baseline, times the way, (T, E); its sum is `total`, or nearly."""
    points = _FEWEST
    while True:
        scores = (vectors - baseline) * _mean_gradient(reader, vectors, baseline, index, points)
        if points >= most or abs(float(scores.sum()) - total) <= _TOLERANCE * abs(total):
            return scores
        points *= 2


def _mean_gradient(reader: RNNClassifier, vectors: Tensor, baseline: Tensor, index: int, points: int) -> Tensor:
    """Return the mean gradient along the straight line, by the quadrature of Gauss and Legendre."""
    nodes, shares = (torch.from_numpy(array).to(vectors) for array in np.polynomial.legendre.leggauss(points))
    mean = torch.zeros_like(vectors)
    for at, share in zip(torch.split((nodes + 1) / 2, _CHUNK), torch.split(shares / 2, _CHUNK), strict=True):
        between = (baseline + at[:, None, None] * (vectors - baseline)).requires_grad_()
        with torch.enable_grad():
            logits = _logits(reader, between)[:, index]
        (gradients,) = torch.autograd.grad(logits @ share, between)
        mean += gradients.sum(0)
    return mean
