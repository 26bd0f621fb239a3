"""What a stack of layers reads, what is wanted of it, and the gradients of what it reads."""

from dataclasses import dataclass

import torch
from torch import Tensor

from seqclf.models.layout import Layout


@dataclass(frozen=True, eq=False)
class Reading:
    """What some layers read, and what is wanted of them.

    Attributes:
        mode: The kind of recurrence: `encoder.mode`.
        bidirectional: Whether each layer also reads backwards.
        layout: The layout of the N rows.
        ids: The ids of the steps, (N,), which choose among vectors; None where each step has a vector of its own.
        last_only: Whether only each direction's last outputs are wanted.
    """

    mode: str
    bidirectional: bool
    layout: Layout
    ids: Tensor | None
    last_only: bool


def input_gradients(
    of_gates: Tensor, vectors: Tensor, ids: Tensor | None, weight_ih: Tensor, *, of_vectors: bool
) -> tuple[Tensor | None, Tensor, Tensor]:
    """Return the gradients of the vectors, if wanted, of weight_ih and of the bias, from that of the inputs' part.

    Args:
        of_gates: The gradient of the inputs' part of the gates, (N, gates * H).
        vectors: The vectors of the steps, (N, E), or those that stand for ids, (V, E).
        ids: The ids, (N,), where they are read.
        weight_ih: The weight, (gates * H, E).
        of_vectors: Whether the vectors' is wanted.
    """
    if ids is not None:
        of_gates = of_gates.new_zeros(len(vectors), of_gates.shape[1]).index_add_(0, ids, of_gates)
    found = torch.mm(of_gates, weight_ih) if of_vectors else None
    if found is not None and ids is not None:
        found[0].zero_()  # the vector of the padding is no weight
    return found, torch.mm(of_gates.t(), vectors), of_gates.sum(0)
