"""Single sequences whose states do not outlive them: all layers over the whole of one, without torch."""

import sys
from typing import cast

import numpy as np
import torch
from torch import nn

from seqclf.models.classifier import RNNClassifier
from seqclf.models.execution.numpy_steps import Array, NumpyEncoder, NumpyHead
from seqclf.models.plain import has_plain_encoder
from seqclf.models.pooling import LastPooling

# Steps of all layers and directions, after which torch's kernel for whole LSTMs is faster; its others are not, up to
# the 512 features that were measured.
_MOST_STEPS = {"LSTM": 64}


def most_steps(model: RNNClassifier) -> int:
    """Return how long a sequence may be for single steps in NumPy to stand for a forward call; 0 if they cannot."""
    knows_all = model.vectors is None or len(model.vectors) == model.vocab_size
    has_head = type(model.head) is nn.Linear and model.head.bias is not None
    if not (knows_all and has_head and has_plain_encoder(model)):
        return 0
    most = _MOST_STEPS.get(cast(nn.RNNBase, model.encoder).mode, sys.maxsize)
    return most // (model.num_layers * (2 if model.bidirectional else 1))


class WholeSequences:
    """A model over single sequences, with the weights that it has when this is made.

    Args:
        model: One that has `most_steps`, in eval mode.
    """

    def __init__(self, model: RNNClassifier) -> None:
        self.model = model
        self.encoder = NumpyEncoder(cast(nn.RNNBase, model.encoder), model.vectors)
        self.head = NumpyHead(model.head)

    @torch.no_grad()
    def logits(self, steps: Array) -> Array:
        """Return the logits (C,) of one sequence, which is not empty: ids (T,) or features (T, F)."""
        if self.model.features is not None:
            given = torch.from_numpy(steps)[None].to(self.model.head.weight.dtype)
            steps = self.model.features(given)[0].numpy()
        return self.head(self._pool(self.encoder.states(steps)))

    def _pool(self, states: Array) -> Array:
        if type(self.model.pooling) is not LastPooling:
            pooled: Array = self.model.pooling(torch.from_numpy(states)[None], torch.tensor([len(states)]))[0].numpy()
            return pooled
        if not self.model.bidirectional:
            last: Array = states[-1]
            return last
        half = states.shape[1] // 2
        return np.concatenate([states[-1, :half], states[0, half:]])
