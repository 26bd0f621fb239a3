"""A dry run of the largest batch: better to run out of memory before the first epoch than in the midst of it."""

import numpy as np
import torch
from torch import Tensor

from seqclf.data.dataset import SequenceDataset
from seqclf.data.sampling import BucketBatchSampler
from seqclf.errors import TrainingError
from seqclf.seeding import Draws
from seqclf.training.steps import Steps

_SIGNS = ("out of memory", "can't allocate memory", "not enough memory")


def try_largest_batch(
    train: SequenceDataset,
    sampler: BucketBatchSampler,
    steps: Steps,
    original_indices: Tensor | None = None,
) -> None:
    """Compute the gradients of the largest batch that the sampler could make; nothing is kept of them.

    Args:
        train: The training data.
        sampler: Their batches.
        steps: What computes the gradients of a batch.
        original_indices: Where the sequences stand in what the user gave, where some of that are left out.

    Raises:
        TrainingError: Memory does not suffice; the message says what `max_tokens` would do.
    """
    sizes = train.sequences.sizes
    count = min(sampler.batch_size, len(train))
    longest = int(sizes.max())
    if sampler.max_tokens is not None:
        count = min(count, sampler.max_tokens // max(1, longest))
    indices = torch.topk(sizes, count).indices.numpy()
    wanted = count
    with Draws(sampler.seed):
        while not _fits(indices[:count], steps, sampler.seed):
            if count == 1:
                place = indices[0] if original_indices is None else int(original_indices[indices[0]])
                raise TrainingError(
                    f"memory must hold the longest sequence at least; it did not hold that of {longest} steps "
                    f"(sequence {place}). Cut long sequences, make the model smaller, or pass truncate_steps."
                )
            count = -(-count // 2)
    if count < wanted:
        raise TrainingError(
            f"memory must hold the largest batch; it did not hold {wanted} sequences of up to {longest} steps. "
            f"Pass max_tokens={count * longest}, which did fit, or a smaller batch_size."
        )


def _fits(indices: "np.typing.NDArray[np.int64]", steps: Steps, seed: int) -> bool:
    try:
        (data,) = steps.batches([indices])
        steps.compute_gradients(data, seed, 0)
    except (RuntimeError, MemoryError) as error:  # torch has an error of its own for GPUs only
        if isinstance(error, MemoryError) or any(sign in str(error) for sign in _SIGNS):
            return False
        raise
    finally:
        steps.release()
    return True
