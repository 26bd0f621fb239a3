"""One step of an encoder, from the states of all its layers: for sequences that come step by step."""

from typing import Any

from torch import Tensor, nn

from seqclf.models.encoder import CellEncoder
from seqclf.models.execution.steps import output_of


def advance(encoder: nn.RNNBase | CellEncoder, x: Tensor, states: Any) -> tuple[Tensor, Any]:
    """Take one step in all layers of an encoder of one direction.

    Args:
        encoder: The encoder.
        x: The inputs, (n, E).
        states: What was returned for the step before; None at the first step.

    Returns:
        The outputs of the last layer, (n, H), and the states for the next step.
    """
    if not isinstance(encoder, CellEncoder):
        outputs, states = encoder(x[:, None], states)
        return outputs[:, 0], states
    states = states or [None] * encoder.num_layers
    following = []
    for layer, before in enumerate(states):
        state = encoder.cell(layer, 0)(x, before)
        following.append(state)
        x = output_of(state, len(x), encoder.hidden_size)
    return x, following
