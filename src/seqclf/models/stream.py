"""Streaming: a sequence comes step by step, and is classified after each."""

from contextlib import nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqclf.checks import check_int
from seqclf.engine.cell_loop import advance
from seqclf.engine.kernels import NativeStream, Packed, softmax_
from seqclf.engine.library import MOST_NGRAM
from seqclf.errors import InvalidArgumentError, InvalidDataError
from seqclf.modes import evaluating, has_modes, without_autocast
from seqclf.reading.records import join, read_context, read_records
from seqclf.reading.sequences import read_row


class Stream:
    """Reads one sequence, a step at a time, and gives after each step what `predict_proba` gives for the prefix.

    It keeps the states of all layers and what the pooling needs: memory and time of a step do not grow with the length.
    Make one with `RNNClassifier.stream`. The model is taken in eval mode, with the weights that it has when the
    sequence begins. The answers of built-in cells are those of `predict_proba`, bit for bit. Push measurements as
    float32 for that: of float64 a stream keeps all digits, and a whole sequence those that it needs.

    Attributes:
        length: How many steps were read.
    """

    def __init__(self, model: Any, context: Any = None) -> None:  # an RNNClassifier, whose module imports this one
        self._model = model
        self._added = self._read_context(context)
        self.reset()

    @torch.no_grad()
    def _read_context(self, context: Any) -> npt.NDArray[Any] | None:
        """Return what facts about the sequence add to the logits, (C,), if anything."""
        fields = self._model.context_fields
        if (context is None) != (fields is None):
            wanted = "None" if fields is None else f"a mapping with {fields.names}"
            raise InvalidArgumentError(f"context must be {wanted} for this model; got {context!r:.60}.")
        if context is None:
            return None
        rows = fields.encode(read_context([context], 1, fields.names), allow_missing=True)
        added: Tensor = self._model.context_logits(torch.from_numpy(rows).to(self._model.device))[0]
        return added.cpu().numpy()

    def reset(self) -> None:
        """Start a new sequence."""
        self.length = 0
        self._state: Any = None
        self._pooled: Any = None
        self._latest = torch.zeros(0, dtype=torch.int64)  # the ids read last
        self._known: Tensor | None = None  # the last known value of each feature
        self._native: NativeStream | None = None
        with without_autocast():
            if self._model.plan_inference(torch.ones(1, dtype=torch.int64)).scope == "classifier":
                self._native = NativeStream(Packed(self._model.parts, full_table=False))

    @torch.inference_mode()
    def push(self, step: Any) -> npt.NDArray[np.floating[Any]]:
        """Read one step, and return the probability of each class for the sequence up to here: (C,).

        Args:
            step: A symbol; for a model without a vocabulary, its id; for float sequences, a row of F features; for
                records, one of them.

        Raises:
            InvalidDataError: The step does not fit the model.
        """
        model = self._model
        given = self._read_symbol(step) if model.features is None else self._read_features(step)
        logits = self._advance(given) if self._native is None else self._native.push(given)
        logits = logits if self._added is None else logits + self._added
        self.length += 1
        if model.multi_label:  # the sigmoid, as the softmax of a logit beside 0
            return softmax_(np.stack([logits, np.zeros_like(logits)], axis=1))[:, 0]
        probabilities: npt.NDArray[np.floating[Any]] = softmax_(logits[None])[0]
        return probabilities

    def _advance(self, given: Tensor) -> npt.NDArray[np.floating[Any]]:
        """Take a step by torch: an id (1,), or a row of features ready for the encoder (1, E)."""
        model = self._model
        with evaluating(model) if has_modes(model) else nullcontext(), without_autocast():
            x = given if model.embedding is None else self._read_latest(given)
            states, self._state = advance(model.encoder, x, self._state)
            pooled, self._pooled = model.pooling.prefixes(states[:, None], self._pooled)
            logits: Tensor = model.head(pooled[0, 0]).cpu()
        found: npt.NDArray[np.floating[Any]] = (logits if logits.dtype == torch.float64 else logits.float()).numpy()
        return found

    def _read_latest(self, latest: Tensor) -> Tensor:
        """Return the vector (1, E) of the id that came last, (1,), with what those before it add."""
        self._latest = torch.cat([self._latest, latest])[-MOST_NGRAM:]
        ids = self._latest[None].to(self._model.device)
        first = self.length + 1 - len(self._latest)
        vectors: Tensor = self._model.read_steps(ids, torch.tensor([ids.shape[1]]), first=first)[:, -1]
        return vectors

    def _read_symbol(self, symbol: Any) -> Tensor:
        """Return the id of a symbol, (1,); where there is no vocabulary it is an id already."""
        model = self._model
        assert model.vocab_size is not None
        if model.vocabulary is None:
            ids = [check_int("step", symbol, minimum=0)]
        else:
            ids = model.vocabulary.to_ids(symbol if model.vocabulary.is_text else [symbol])
        if len(ids) != 1 or ids[0] >= model.vocab_size:
            raise InvalidDataError(
                f"step must be one symbol that the model knows how to read; got {symbol!r} (step {self.length}). "
                "Push the symbols of a sequence one by one."
            )
        return torch.tensor(ids)

    def _read_features(self, row: Any) -> Tensor:
        """Return a row of features ready for the encoder, (1, E)."""
        model = self._model
        assert model.features is not None
        values = self._read_row(row).to(model.device)
        if model.missing == "error" and bool(values.isnan().any()):
            raise InvalidDataError(
                f"features must be finite numbers; got {values.tolist()} (step {self.length}). "
                "Correct them; or make the model with missing='mean', 'forward' or 'indicator' for NaN."
            )
        if model.missing == "forward" and self._known is not None:
            values = torch.where(values.isnan(), self._known, values)
        self._known = values.clone()  # the caller may use the row again
        prepared: Tensor = model.features(values[None, None], model.head.weight.dtype)[0]
        return prepared

    def _read_row(self, row: Any) -> Tensor:
        """Return one step of measurements, or one record as a row: (F,)."""
        fields = self._model.fields
        if fields is None:
            return read_row(row, self._model.input_size, self.length)
        table = join([read_records([row], 0, fields.names)])
        return torch.from_numpy(fields.encode(table, allow_missing=self._model.missing != "error")[0])

    def __repr__(self) -> str:
        return f"Stream({self.length} steps read)"
