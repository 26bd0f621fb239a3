"""embed: the pooled vectors of sequences, for whatever compares, clusters or draws them."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from seqclf.checks import check_int
from seqclf.data.dataset import SequenceDataset
from seqclf.data.packing import pack_batches
from seqclf.data.sampling import BucketBatchSampler
from seqclf.engine.kernels import Packed
from seqclf.inference.logits import Floats, answered, blocks, native_batch
from seqclf.inference.predict import encode_for
from seqclf.models.classifier import RNNClassifier, check_is_model
from seqclf.modes import evaluating, without_autocast

__all__ = ["embed"]


def embed(
    model: RNNClassifier,
    sequences: Iterable[Any] | SequenceDataset,
    *,
    context: Any = None,
    batch_size: int = 256,
) -> npt.NDArray[np.floating[Any]]:
    """Return the pooled vector of each sequence, (n, S): what the head sees of it, in order.

    Args:
        model: As for `predict`.
        sequences: As for `predict`.
        context: As for `predict`; it does not change the vectors.
        batch_size: As for `predict`.

    Returns:
        Float32 (n, S), or float64 for such a model; the same bits in any batch where the compiled kernels run. Zeros
        for empty sequences that the model takes for zeros, NaN for those that it skips.

    Raises:
        InvalidDataError: As `predict`.
        InvalidArgumentError: As `predict`.

    Example:
        >>> from seqclf import RNNClassifier, Vocabulary, embed
        >>> model = RNNClassifier(2, vocab_size=4, vocabulary=Vocabulary("ab"), hidden_size=8, seed=0)
        >>> embed(model, ["ab", "b", "aaa"]).shape
        (3, 8)
    """
    check_is_model("model", model)
    check_int("batch_size", batch_size)
    store = encode_for(model, sequences, context)
    dtype = np.float64 if model.head.weight.dtype == torch.float64 else np.float32
    vectors = np.full((len(store), model.head.in_features), np.nan, dtype)
    wanted, lengths = answered(model, store), store.sizes.numpy()
    vectors[wanted[lengths[wanted] == 0]] = 0
    wanted = wanted[lengths[wanted] > 0]
    if not len(wanted):
        return vectors
    with evaluating(model), torch.no_grad(), without_autocast():
        if model.plan_inference(store.lengths[wanted[:1]]).scope == "classifier":
            packed = Packed(replace(model.parts, head=None), full_table=False)
            for indices in blocks(wanted, lengths, model.num_classes):
                vectors[indices] = packed.run(native_batch(model, store, indices)).numpy()
            return vectors
        arrays = BucketBatchSampler(store.sizes[wanted], batch_size, shuffle=False).arrays()
        for batch in pack_batches(store, None, (wanted[indices] for indices in arrays), model.device):
            assert batch.indices is not None
            found: Floats = model.pool(batch.inputs, batch.lengths).cpu().to(torch.from_numpy(vectors).dtype).numpy()
            vectors[batch.indices.numpy()] = found
    return vectors
