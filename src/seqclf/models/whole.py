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

# Steps of all layers and directions, after which torch's kernel for whole LSTMs is faster; its others never are.
_MOST_STEPS = {"LSTM": 64}


def reads_whole(model: RNNClassifier) -> bool:
    """Tell whether `WholeSequences` can stand for a model."""
    knows_all = model.vectors is None or len(model.vectors) == model.vocab_size
    return has_plain_encoder(model) and type(model.head) is nn.Linear and knows_all


class WholeSequences:
    """A model over single sequences, with the weights that it has when this is made.

    Args:
        model: One that `reads_whole`, in eval mode.

    Attributes:
        longest: How many steps a sequence may have for this to pay.
    """

    def __init__(self, model: RNNClassifier) -> None:
        encoder = cast(nn.RNNBase, model.encoder)
        self.model = model
        self.encoder = NumpyEncoder(encoder, model.vectors)
        self.head = NumpyHead(model.head)
        self.longest = _MOST_STEPS.get(encoder.mode, sys.maxsize) // sum(map(len, self.encoder.layers))

    @torch.inference_mode()
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
