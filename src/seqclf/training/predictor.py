"""Predictor: a trained model that answers one sequence at a time, or a stream of them."""

import copy
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqclf.checks import check_int
from seqclf.data.encode import encode_one
from seqclf.data.ragged import Ragged
from seqclf.errors import InvalidDataError
from seqclf.models.cached import CachedPrefixes
from seqclf.models.classifier import RNNClassifier
from seqclf.models.shared import shares_prefixes
from seqclf.models.whole import WholeSequences, most_steps
from seqclf.training.inference import check_encodes, compute_logits, encode_for, labels_of

__all__ = ["Predictor"]

Probabilities = npt.NDArray[np.floating[Any]]


class Predictor:
    r"""Predicts for sequences as they come: single ones quickly, or an endless stream in bounded memory.

    It takes a copy of the model, and so does not follow if the model is trained on. A model of a built-in cell answers
    a single short sequence two to five times as fast as by a forward call, mostly: what symbols give to the gates is
    computed beforehand, and single steps go without torch. One of symbols that reads forwards, or in one layer both
    ways, and pools `"last"`, also keeps states after beginnings that were seen lately. Long sequences of an LSTM, and
    models of other cells, go by a forward call.
    The answers are those of `predict` and `predict_proba`. Several threads may ask one predictor.

    Args:
        model: A model as `predict` takes it: one that knows its vocabulary, or reads float sequences.

    Raises:
        InvalidArgumentError: The model has no vocabulary to encode with.

    Example:
        >>> from seqclf import Predictor, RNNClassifier, SequenceDataset, fit
        >>> train = SequenceDataset.from_pairs([("aab", "a"), ("aba", "a"), ("bba", "b"), ("bab", "b")] * 8)
        >>> model = RNNClassifier.for_dataset(train, hidden_size=8, seed=0)
        >>> _ = fit(model, train, epochs=20, batch_size=4, progress=False)
        >>> predictor = Predictor(model)
        >>> predictor.predict("aaab")
        'a'
        >>> predictor.predict_proba("aaab").shape
        (2,)
        >>> for label in predictor.predict_iter(line.strip() for line in ["abab\\n", "bbab\\n"]):
        ...     print(label)
        a
        b
    """

    def __init__(self, model: RNNClassifier) -> None:
        check_encodes(model)
        self._model = copy.deepcopy(model).eval()
        self._longest = most_steps(self._model)
        self._steps: CachedPrefixes | WholeSequences | None = None
        if self._longest:
            self._steps = (CachedPrefixes if shares_prefixes(self._model) else WholeSequences)(self._model)

    def predict(self, sequence: Any) -> Any:
        """Return the most probable label of one sequence; otherwise as the function `predict`."""
        logits = self._logits(sequence)
        if (
            self._model.empty == "skip"
            and np.isnan(logits).all()
            and not len(encode_for(self._model, [sequence]).values)
        ):
            return None
        best = int(logits.argmax())
        return best if self._model.classes is None else self._model.classes[best]

    def predict_proba(self, sequence: Any) -> Probabilities:
        """Return the probability of each class for one sequence, (C,); otherwise as the function `predict_proba`."""
        logits = self._logits(sequence)
        exponentials = np.exp(logits - logits.max())
        probabilities: Probabilities = exponentials / exponentials.sum()
        return probabilities

    def predict_iter(self, sequences: Iterable[Any], *, chunk_size: int = 4096) -> Iterator[Any]:
        """Yield the label of each sequence of a stream, in order.

        Args:
            sequences: Raw sequences, of which no more than `chunk_size` are taken before their answers are given.
            chunk_size: How many sequences to run at once. More are faster, and take more memory.

        Raises:
            InvalidDataError: A sequence is empty or does not fit the model; the message says where.
            InvalidArgumentError: `chunk_size` is not a number from 1 up.
        """
        for store, logits in self._chunks(sequences, chunk_size):
            yield from labels_of(self._model, store, logits)

    def predict_proba_iter(self, sequences: Iterable[Any], *, chunk_size: int = 4096) -> Iterator[Probabilities]:
        """Yield the probabilities (C,) of each sequence of a stream, in order; otherwise as `predict_iter`."""
        for _, logits in self._chunks(sequences, chunk_size):
            yield from logits.softmax(1).numpy()

    def _chunks(self, sequences: Iterable[Any], chunk_size: int) -> Iterator[tuple[Ragged, Tensor]]:
        check_int("chunk_size", chunk_size)
        remaining, start = iter(sequences), 0
        while chunk := list(islice(remaining, chunk_size)):
            try:
                store = encode_for(self._model, chunk)
            except InvalidDataError as error:
                raise InvalidDataError(f"{error} (Counted from sequence {start} of the stream.)") from None
            yield store, compute_logits(self._model, store, batch_size=256)
            start += len(chunk)

    def _logits(self, sequence: Any) -> Probabilities:
        if self._steps is None:
            return self._forward(encode_for(self._model, [sequence]))
        if self._model.vocabulary is not None:
            ids = encode_one(sequence, self._model.vocabulary)
            if 0 < len(ids) <= self._longest:
                return self._compute(ids if isinstance(self._steps, CachedPrefixes) else np.array(ids))
            if ids:
                return self._forward(Ragged(torch.tensor(ids), torch.tensor([0, len(ids)])))
        store = encode_for(self._model, [sequence])
        if self._model.vocabulary is None and 0 < len(store.values) <= self._longest:
            return self._compute(store.values.numpy())
        return self._forward(store)

    def _compute(self, steps: Any) -> Probabilities:
        assert self._steps is not None
        with np.errstate(over="ignore", invalid="ignore"):  # torch says nothing of numbers without bound either
            return self._steps.logits(steps)

    def _forward(self, store: Ragged) -> Probabilities:
        logits: Probabilities = compute_logits(self._model, store, 1)[0].numpy()
        return logits

    def __repr__(self) -> str:
        return f"Predictor({self._model.num_classes} classes, {'fast' if self._longest else 'by forward calls'})"
