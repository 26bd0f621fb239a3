"""The fused way: recurrences with a gradient of their own, and embedding and input product folded into one table."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from seqclf.models.dropout import Dropout
from seqclf.models.execution.fused.reading import Reading
from seqclf.models.execution.fused.sharing import share
from seqclf.models.execution.fused.stack import Recurrence, Stack, without_autocast
from seqclf.models.execution.packed import PackedBatch
from seqclf.models.execution.weights import layer_weights
from seqclf.models.inputs import unknown_ids


class Fused(PackedBatch):
    """One packed batch for one of torch's encoders.

    Args:
        encoder: The encoder.
        inputs: The steps, padded or packed.
        lengths: The true lengths.
        vectors: Those that stand for ids, (V, E), where the steps are ids and each id has one vector.
        last_only: Whether only the last outputs are wanted.
    """

    encoder: nn.RNNBase

    def __init__(
        self,
        encoder: nn.RNNBase,
        inputs: Tensor | PackedSequence,
        lengths: Tensor,
        *,
        vectors: Tensor | None,
        last_only: bool,
    ) -> None:
        super().__init__(inputs, lengths)
        self.encoder = encoder
        self.vectors = vectors if vectors is not None and len(vectors) <= len(self.inputs) else None
        self.last_only = last_only

    @property
    def reads_ids(self) -> bool:
        """Whether the first layer looks up its part of the gates by id."""
        return self.vectors is not None

    def run(self, x: Tensor) -> Tensor:
        """Run all layers over (N, E), or over ids (N,) where they are read; return (N, directions * H).

        Where only the last outputs are wanted, these are returned, (B, directions * H).
        """
        return self._run_layers(range(self.encoder.num_layers), x, 0.0)

    def run_layer(self, x: Tensor, layer: int, dropout: Dropout | None) -> Tensor:
        """Run one layer; otherwise as `run`."""
        return self._run_layers(range(layer, layer + 1), x, dropout.weights if dropout else 0.0)

    def last(self, x: Tensor) -> Tensor:
        """Return each direction's last outputs (B, directions * H), in the order of the batch."""
        return self.unsort(x) if self.last_only else super().last(x)

    def _run_layers(self, layers: range, x: Tensor, weight_dropout: float) -> Tensor:
        encoder = self.encoder
        weights = [
            part
            for layer in layers
            for direction in range(2 if encoder.bidirectional else 1)
            for part in layer_weights(encoder, layer, direction, weight_dropout)
        ]
        last_only = self.last_only and layers.stop == encoder.num_layers
        ids, vectors = (x, self.vectors) if self.vectors is not None and layers.start == 0 else (None, x)
        layout = self.layout
        if ids is not None and last_only and not encoder.bidirectional and torch.is_grad_enabled():
            layout, ids = share(layout, ids)
        reading = Reading(encoder.mode, encoder.bidirectional, layout, ids, last_only)
        apply: Callable[..., Tensor] = Recurrence.apply
        try:
            if torch.is_grad_enabled():
                return apply(reading, vectors, *weights)
            with without_autocast(vectors):
                return Stack(reading, with_gradient=False).forward(vectors, weights)
        except IndexError as error:
            raise unknown_ids(len(vectors), error) from error
