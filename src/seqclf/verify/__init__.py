"""verify_batching: does a model give each sequence the answer, and the gradient, that it would give it alone?"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

from seqclf.checks import check_seed
from seqclf.data.batch import pad_collate
from seqclf.data.dataset import SequenceDataset
from seqclf.errors import InvalidArgumentError
from seqclf.inference.predict import encode_for
from seqclf.models.classifier import RNNClassifier
from seqclf.reading.columns import as_list
from seqclf.verify.examination import Examination
from seqclf.verify.report import BatchingReport, LawResult

__all__ = ["BatchingReport", "LawResult", "verify_batching"]

# The largest difference that rounding explains in logits and in gradients, as a part of the largest value, or of 1 if
# that is more. Measured on a CPU for names, hidden 64, up to three layers and all kinds of cells, they were up to 4e-15
# and 4e-14 in float64, 2e-6 and 2e-5 in float32, 1e-3 and 0.2 in float16, 6e-3 and 0.4 in bfloat16: sums of gradients
# lose most digits of the half types. Other devices have not been measured, and get the same.
TOLERANCES = {
    torch.float64: (1e-12, 1e-12),
    torch.float32: (1e-5, 1e-4),
    torch.float16: (5e-3, 0.5),
    torch.bfloat16: (0.02, 1.0),
}


def verify_batching(
    model: nn.Module,
    sequences: Sequence[Any] | SequenceDataset,
    *,
    context: Any = None,
    gradients: bool = True,
    tolerance: float | None = None,
    seed: int = 0,
) -> BatchingReport:
    """Check, on any model, that how sequences are batched changes neither logits nor gradients.

    Each sequence alone is the judge of the batch. The same batch again, its order, its size, more padding, other values
    in the padding, and, for an `RNNClassifier`, packing, the number of threads, the kernels, and whether `predict`, a
    `Predictor` or a stream is asked, must then change nothing. Where the compiled kernels run the whole model, not one
    bit of a logit may change; otherwise, and in gradients, only rounding. All is checked in eval mode and in training
    mode. The model is left as it is: copies of it are run.

    In training mode `nn.Dropout` is switched off, since what it drops does depend on the batch; an `RNNClassifier`'s
    own dropout does not, and stays on.

    Args:
        model: An `RNNClassifier`, or any module whose forward takes padded steps, (B, T) ids or (B, T, F) features,
            and lengths, and returns logits (B, C).
        sequences: At least two, and best of different lengths, the shortest not first: raw sequences for a model with
            a vocabulary, otherwise ids or float arrays (T, F); or a dataset. A dozen are enough; empty ones are left
            out.
        context: Facts about each sequence, for a model that takes them; a dataset has its own.
        gradients: Whether to compare the gradients of all weights too.
        tolerance: The largest difference that counts as rounding, in logits and gradients; None is by the type of the
            weights.
        seed: The seed of what a model draws in training mode, and of the weights given to the logits for gradients.

    Raises:
        InvalidArgumentError: There are fewer than two sequences, or the model has no weights, or it raises an error
            whatever it is given.
        InvalidDataError: A sequence does not fit the model.

    Example:
        >>> from seqclf import RNNClassifier, Vocabulary, verify_batching
        >>> model = RNNClassifier(2, vocab_size=4, vocabulary=Vocabulary("ab"), bidirectional=True, dropout=0.5, seed=0)
        >>> report = verify_batching(model, ["ab", "abbab", "b"])
        >>> report.passed
        True
        >>> print(report)  # doctest: +ELLIPSIS
              mode   what should change nothing                   logits  gradients
        ok    eval   a batch, not each alone                   same bits ...
    """
    check_seed("seed", seed)
    weights = list(model.parameters())
    tensors, facts = _tensors(model, sequences, context, weights[0].dtype) if weights else ([], None)
    if len(tensors) < 2:
        raise InvalidArgumentError(
            f"verify_batching must be given a model with weights and at least two sequences that are not empty; got "
            f"{len(weights)} weights and {len(tensors)} sequences. Pass a dozen sequences of different lengths."
        )
    dtype, device = weights[0].dtype, weights[0].device
    allowed = TOLERANCES.get(dtype, TOLERANCES[torch.float32]) if tolerance is None else (tolerance, tolerance)
    with _exact_products():
        results = [
            result
            for training in (False, True)
            for result in Examination(model, tensors, training, gradients, allowed, seed, facts).results()
        ]
    return BatchingReport(tuple(results), dtype, device)


def _tensors(
    model: nn.Module, sequences: Sequence[Any] | SequenceDataset, context: Any, dtype: torch.dtype
) -> tuple[list[Tensor], Tensor | None]:
    """Return the sequences that are not empty, as ids or features that the model takes, and their context, if any."""
    if not isinstance(sequences, SequenceDataset) and context is None:
        sequences = [item for item in as_list(sequences) if not hasattr(item, "__len__") or len(item)]
    if isinstance(model, RNNClassifier) and (model.vocabulary is not None or model.features is not None):
        store = encode_for(model, sequences, context)
    elif isinstance(sequences, SequenceDataset):
        store = sequences.sequences
    else:
        batch = pad_collate([(sequence, 0) for sequence in sequences]) if sequences else None  # which checks them
        rows = [] if batch is None else zip(cast(Tensor, batch.inputs), batch.lengths.tolist(), strict=True)
        return [_as_input(row[:length], dtype) for row, length in rows], None
    present = [index for index in range(len(store)) if store.lengths[index]]
    kept = isinstance(model, RNNClassifier) and model.fields is not None  # whose rows hold more than numbers
    tensors = [store[index] if kept else _as_input(store[index], dtype) for index in present]
    return tensors, None if store.context is None else store.context[present]


def _as_input(sequence: Tensor, dtype: torch.dtype) -> Tensor:
    return sequence.to(dtype) if sequence.is_floating_point() else sequence


@contextmanager
def _exact_products() -> Iterator[None]:
    """Switch off TF32, whose products round to ten bits, where there is CUDA."""
    flags = [(torch.backends.cuda.matmul, "allow_tf32"), (torch.backends.cudnn, "allow_tf32")]
    before = [getattr(place, name) for place, name in flags]
    try:
        for place, name in flags:
            setattr(place, name, False)
        yield
    finally:
        for (place, name), value in zip(flags, before, strict=True):
            setattr(place, name, value)
