"""Ways to run one encoder: each in its own file, all with one shape and one result.

A way is made for an encoder and one batch. It lays the steps out as it wants them (`inputs`, `positions`), runs all
layers (`run`) or one (`run_layer`), and gives back, in the order of the batch, all states (`pad`), as
(B, T, directions * H), or each direction's last ones (`last`), as (B, directions * H). What stands at padding positions
is finite and otherwise unspecified.
"""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from seqclf.models.dropout import Dropout
from seqclf.models.encoder import CellEncoder
from seqclf.models.execution.choice import ExecutionName, Shape, decide
from seqclf.models.execution.fused import Fused
from seqclf.models.execution.packed import Packed
from seqclf.models.execution.padded import Padded
from seqclf.models.execution.steps import Steps

# What turns steps, ids (...) or features (..., F), into the vectors (..., E) that an encoder reads.
Embed = Callable[[Tensor], Tensor]


def encode(
    encoder: nn.RNNBase | CellEncoder,
    embed: Embed,
    inputs: Tensor | PackedSequence,
    lengths: Tensor,
    *,
    execution: ExecutionName,
    vectors: Tensor | None = None,
    dropout: Dropout | None = None,
    truncate_steps: int | None = None,
    last_only: bool = False,
) -> Tensor:
    """Return the states of the last layer, (B, T, directions * H), or each direction's last ones, (B, directions * H).

    Args:
        encoder: The encoder.
        embed: What makes vectors of steps.
        inputs: The steps, padded or packed, as the caller had them.
        lengths: The true lengths.
        execution: The way in which torch's own encoders run; "auto" is the faster one by measurement.
        vectors: What stands for ids, (V, E), where steps are ids, and `embed` looks them up and does nothing else.
        dropout: What is dropped; None is nothing.
        truncate_steps: Between windows of so many steps no gradient flows.
        last_only: Whether only the last states are wanted.
    """
    drops_states = dropout is not None and bool(dropout.states)
    shape = shape_of(lengths)
    name = decide(encoder, shape, execution, drops_states=drops_states, truncate_steps=truncate_steps).way
    way: Steps | Packed | Padded | Fused
    if name == "steps" or isinstance(encoder, CellEncoder):
        way = Steps(encoder, inputs, lengths, truncate_steps)
    elif name == "fused":
        if dropout is not None and dropout.inputs:  # each step has a vector of its own
            vectors = None
        way = Fused(encoder, inputs, lengths, vectors=vectors, last_only=last_only)
    elif name == "packed":
        way = Packed(encoder, inputs, lengths)
    else:
        way = Padded(encoder, inputs, lengths, truncate_steps)
    x = _run(way, encoder, embed, dropout)
    return way.last(x) if last_only else way.pad(x)


def shape_of(lengths: Tensor) -> Shape:
    """Return the shape of a batch of such lengths."""
    return Shape(len(lengths), int(lengths.max()), int(lengths.sum()))


def _run(
    way: Steps | Packed | Padded | Fused, encoder: nn.RNNBase | CellEncoder, embed: Embed, dropout: Dropout | None
) -> Tensor:
    """Run all layers in the way chosen, with whatever is dropped before and between them."""
    if dropout is None:
        return way.run(way.inputs if way.reads_ids else embed(way.inputs))
    x = dropout.drop_symbols(way.inputs, way.positions)
    if not way.reads_ids:
        x = dropout.drop_inputs(embed(x), way.positions)
    if not dropout.acts_inside(encoder.num_layers):
        return way.run(x)
    for layer in range(encoder.num_layers):
        x = way.run_layer(x, layer, dropout)
        if layer < encoder.num_layers - 1:
            x = dropout.drop_between_layers(x, layer, way.positions)
    return x
