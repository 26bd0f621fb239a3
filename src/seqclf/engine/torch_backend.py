"""Everything that does not go through the compiled kernels: torch's own, padded or packed, and the loop over cells.

A backend is made for an encoder and one batch. It lays the steps out as it wants them (`inputs`, `positions`), runs all
layers (`run`) or one (`run_layer`), and gives back, in the order of the batch, all states (`pad`), as
(B, T, directions * H), or each direction's last ones (`last`), as (B, directions * H). What stands at padding positions
is finite and otherwise unspecified.
"""

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from seqclf.engine.cell_loop import CellLoop
from seqclf.engine.dropout import Dropout
from seqclf.engine.encoder import CellEncoder
from seqclf.engine.plan import Backend
from seqclf.engine.torch_kernels import Packed, Padded


def encode(
    backend: Backend,
    encoder: nn.RNNBase | CellEncoder,
    inputs: Tensor | PackedSequence,
    lengths: Tensor,
    *,
    dropout: Dropout | None = None,
    truncate_steps: int | None = None,
    last_only: bool = False,
) -> Tensor:
    """Return the states of the last layer, (B, T, directions * H), or each direction's last ones, (B, directions * H).

    Args:
        backend: What runs the layers.
        encoder: The encoder.
        inputs: The vectors or features of the steps, (B, T, E) or packed.
        lengths: The true lengths.
        dropout: What is dropped; None is nothing.
        truncate_steps: Between windows of so many steps no gradient flows.
        last_only: Whether only the last states are wanted.
    """
    run: CellLoop | Packed | Padded
    if backend == "cells" or isinstance(encoder, CellEncoder):
        run = CellLoop(encoder, inputs, lengths, truncate_steps)
    elif backend == "packed":
        run = Packed(encoder, inputs, lengths)
    else:
        run = Padded(encoder, inputs, lengths, truncate_steps)
    x = _run_layers(run, encoder.num_layers, dropout)
    return run.last(x) if last_only else run.pad(x)


def _run_layers(run: CellLoop | Packed | Padded, num_layers: int, dropout: Dropout | None) -> Tensor:
    """Run all layers, with whatever is dropped before and between them."""
    if dropout is None:
        return run.run(run.inputs)
    x = dropout.drop_inputs(run.inputs, run.positions)
    if not dropout.acts_inside(num_layers):
        return run.run(x)
    for layer in range(num_layers):
        x = run.run_layer(x, layer, dropout)
        if layer < num_layers - 1:
            x = dropout.drop_between_layers(x, layer, run.positions)
    return x
