"""Predictor: a trained model that answers one sequence at a time, or a stream of them."""

import copy
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from seqclf.checks import check_int
from seqclf.data.ragged import Ragged
from seqclf.errors import InvalidDataError
from seqclf.inference.logits import (
    Floats,
    add_context,
    compute_logits,
    logits_of_tokens,
    native_batch,
    pack,
    probabilities_of,
)
from seqclf.inference.predict import answers_of, check_encodes, encode_for, labels_of, name_classes
from seqclf.models.classifier import RNNClassifier, check_is_model

__all__ = ["Predictor"]

Probabilities = npt.NDArray[np.floating[Any]]

_MOST_TABLE_NUMBERS = 1 << 23  # times the gates, of what symbols give to them: up to 128 MiB in float32


class Predictor:
    r"""Predicts for sequences as they come: single ones quickly, or an endless stream in bounded memory.

    It takes a copy of the model, and so does not follow if the model is trained on. For models of built-in cells the
    weights are packed once, and what symbols give to the gates is computed beforehand; others go by a forward call.
    The answers are those of `predict` and `predict_proba`, bit for bit. Several threads may ask one predictor.

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
        check_is_model("model", model)
        check_encodes(model)
        self._model = copy.deepcopy(model).eval()
        rows = (self._model.vocab_size or 0) * self._model.hidden_size
        self._packed = pack(self._model, full_table=rows <= _MOST_TABLE_NUMBERS)

    def predict(self, sequence: Any, *, context: Any = None) -> Any:
        """Return the most probable label of one sequence; otherwise as the function `predict`.

        Args:
            sequence: A raw sequence.
            context: Facts about it, for a model that takes them: a mapping from names to values.
        """
        logits = self._logits(sequence, context)
        if self._model.empty == "skip" and np.isnan(logits).all() and not len(self._encode(sequence, context).values):
            return None
        return name_classes(self._model, answers_of(self._model, logits[None]))[0]

    def predict_proba(self, sequence: Any, *, context: Any = None) -> Probabilities:
        """Return the probability of each class for one sequence, (C,); otherwise as the function `predict_proba`."""
        logits = self._logits(sequence, context)
        probabilities: Probabilities = probabilities_of(self._model, logits[None])[0]
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
            yield from labels_of(self._model, store, answers_of(self._model, logits))

    def predict_proba_iter(self, sequences: Iterable[Any], *, chunk_size: int = 4096) -> Iterator[Probabilities]:
        """Yield the probabilities (C,) of each sequence of a stream, in order; otherwise as `predict_iter`."""
        for _, logits in self._chunks(sequences, chunk_size):
            yield from probabilities_of(self._model, logits)

    def _chunks(self, sequences: Iterable[Any], chunk_size: int) -> Iterator[tuple[Ragged, Floats]]:
        check_int("chunk_size", chunk_size)
        remaining, start = iter(sequences), 0
        while chunk := list(islice(remaining, chunk_size)):
            try:
                store = encode_for(self._model, chunk)
            except InvalidDataError as error:
                where = f" (Counted from sequence {start} of the stream.)" if start else ""
                raise InvalidDataError(f"{error}{where}") from None
            yield store, compute_logits(self._model, store, batch_size=256)
            start += len(chunk)

    def _encode(self, sequence: Any, context: Any) -> Ragged:
        return encode_for(self._model, [sequence], None if context is None else [context])

    def _logits(self, sequence: Any, context: Any) -> Floats:
        """Return the logits (C,) of one sequence."""
        alone = None if context is not None else logits_of_tokens(self._model, self._packed, sequence)
        if alone is not None:
            return alone
        logits: Floats
        store = self._encode(sequence, context)
        if self._packed is None or not len(store.values):  # an empty one is refused, skipped or taken for zeros
            logits = compute_logits(self._model, store, 1)[0]
            return logits
        first = np.zeros(1, np.int64)
        answer = self._packed.run(native_batch(self._model, store, first))
        logits = add_context(self._model, answer, store, first)[0]
        return logits

    def __repr__(self) -> str:
        return f"Predictor({self._model.num_classes} classes, {'compiled' if self._packed else 'by forward calls'})"
