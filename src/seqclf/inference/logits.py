"""Logits of the sequences of a store: by the compiled kernels in large blocks, otherwise batch by batch."""

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqclf.checks import check_int
from seqclf.data.batch import Batch
from seqclf.data.encode import encode_one
from seqclf.data.packing import pack_batches
from seqclf.data.ragged import Ragged
from seqclf.data.sampling import BucketBatchSampler
from seqclf.engine.kernels import NativeBatch, Packed, as_values, softmax_
from seqclf.engine.plan import is_watched
from seqclf.forks import leave_lost_threads
from seqclf.models.classifier import RNNClassifier
from seqclf.modes import evaluating, has_modes, without_autocast

IndexArray = npt.NDArray[np.int64]
Floats = npt.NDArray[np.floating[Any]]

_BLOCK_STEPS = 1 << 18  # how many steps go to the kernels at once: enough for all threads, and a few MiB of memory
_BLOCK_SEQUENCES, _BLOCK_LOGITS = 1 << 14, 1 << 22  # likewise, and for many classes

_ONE_STEP = torch.ones(1, dtype=torch.int64)  # the length of a sequence; whether kernels can run all depends on none

_NUMPY_TYPES = {torch.float64: np.float64, torch.float32: np.float32}  # narrower models answer in float32


def compute_logits(model: RNNClassifier, sequences: Ragged, batch_size: int) -> Floats:
    """Return the logits (n, C), in the order of the sequences, NaN for those that the model skips."""
    check_int("batch_size", batch_size)
    logits = np.full((len(sequences), model.num_classes), np.nan, _NUMPY_TYPES.get(model.head.weight.dtype, np.float32))
    for indices, _, found in run_batches(model, sequences, batch_size, answered(model, sequences)):
        logits[indices] = found
    return logits


def answered(model: RNNClassifier, sequences: Ragged) -> IndexArray:
    """Return which sequences get an answer: all but empty ones, unless these are classified too."""
    return np.flatnonzero(sequences.sizes.numpy() >= (0 if model.empty == "zero" else 1))


def pack(model: RNNClassifier, *, full_table: bool) -> Packed | None:
    """Return the weights as they are now, packed for the compiled kernels; None where these cannot do all of it."""
    leave_lost_threads()
    with without_autocast():
        plan = model.plan_inference(_ONE_STEP)
        return Packed(model.parts, full_table=full_table) if plan.scope == "classifier" else None


def run_batches(
    model: RNNClassifier, sequences: Ragged, batch_size: int, wanted: IndexArray, *, prefixes: bool = False
) -> Iterator[tuple[IndexArray, IndexArray, Floats]]:
    """Yield indices (B,), lengths (B,) and logits (B, C), or logits after each step (B, T, C), of those wanted."""
    if len(wanted) == 0:
        return
    lengths = sequences.sizes.numpy()
    packed = pack(model, full_table=sequences.total > (model.vocab_size or 0))
    if packed is not None:
        run = packed.run_prefixes if prefixes else packed.run
        for indices in blocks(wanted, lengths, model.num_classes):
            logits = add_context(model, run(native_batch(model, sequences, indices)), sequences, indices)
            yield indices, lengths[indices].astype(np.int64), logits
        return
    arrays = BucketBatchSampler(sequences.sizes[wanted], batch_size, shuffle=False).arrays()
    for batch in pack_batches(sequences, None, (wanted[indices] for indices in arrays), model.device):
        assert batch.indices is not None
        yield batch.indices.numpy(), batch.lengths.numpy(), _run(model, batch, prefixes)


def _run(model: RNNClassifier, batch: Batch, prefixes: bool) -> Floats:
    """Return the logits of a batch: as in eval mode, which only models that must be called are put into."""
    must_be_called = type(model) is not RNNClassifier or is_watched(model) or has_modes(model)
    with evaluating(model) if must_be_called else nullcontext(), torch.no_grad(), without_autocast():
        call = model.prefix_logits if prefixes else model if must_be_called else model.infer
        known = {} if batch.context is None else {"context": batch.context}  # a subclass may know of none
        logits = call(batch.inputs, batch.lengths, **known).cpu()
    found: Floats = (logits if logits.dtype in _NUMPY_TYPES else logits.float()).numpy()
    return found


def blocks(wanted: IndexArray, lengths: npt.NDArray[Any], num_classes: int) -> Iterator[IndexArray]:
    """Cut indices into blocks of about as many steps as go to the kernels at once."""
    if len(wanted) == 1:
        yield wanted
        return
    ends = lengths[wanted].astype(np.int64).cumsum()
    start = 0
    while start < len(wanted):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + _BLOCK_STEPS, side="right")))
        stop = min(stop, start + _BLOCK_SEQUENCES, start + max(1, _BLOCK_LOGITS // num_classes))
        yield wanted[start:stop]
        start = stop


def logits_of_tokens(model: RNNClassifier, packed: Packed | None, sequence: Any) -> Floats | None:
    """Return the logits (C,) of one text or list of tokens, at a fraction of what a batch costs; or None."""
    if packed is None or model.vocabulary is None or model.context_logits is not None:
        return None
    ids = encode_one(sequence, model.vocabulary)
    return packed.run_one(ids) if ids else None


def native_batch(model: RNNClassifier, sequences: Ragged, indices: IndexArray) -> NativeBatch:
    """Return some sequences as the kernels take them: ids where they lie, features standardised and filled in."""
    lengths = sequences.sizes.numpy()[indices].astype(np.int64)
    if model.features is None:
        return NativeBatch(as_values(sequences.values), sequences.offsets.numpy()[indices].astype(np.int64), lengths)
    chosen = sequences.select(indices)
    with torch.no_grad():
        values = model.features.prepare(chosen.values, chosen.lengths, model.head.weight.dtype)
    return NativeBatch(as_values(values), chosen.offsets[:-1].numpy().astype(np.int64), lengths)


@torch.no_grad()
def add_context(model: RNNClassifier, logits: Tensor, sequences: Ragged, indices: IndexArray) -> Floats:
    """Return logits (B, C), or those after each step (B, T, C), with what facts about the sequences add."""
    context = None if sequences.context is None else sequences.context[torch.from_numpy(indices)]
    found: Floats = model.add_context(logits, context).numpy()
    return found


def probabilities_of(model: RNNClassifier, logits: Floats) -> Floats:
    """Return probabilities (..., C), each for itself where there may be several labels; the same bits in any batch."""
    if model.multi_label:  # the sigmoid, as the softmax of a logit beside 0
        pairs = np.stack([logits.reshape(-1), np.zeros(logits.size, logits.dtype)], axis=1)
        return softmax_(pairs)[:, 0].reshape(logits.shape)
    flat = np.array(logits.reshape(-1, logits.shape[-1]), order="C")
    return softmax_(flat).reshape(logits.shape)
