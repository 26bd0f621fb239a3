"""Long sequences: truncated back-propagation leaves logits as they are, and cuts gradients where it says."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from seqclf import RNNClassifier, pad_collate
from seqclf.cells import MinGRUCell, PeepholeLSTMCell
from tests import reference, strategies

CELLS = (*strategies.BUILT_IN_CELLS, nn.LSTMCell, nn.GRUCell, PeepholeLSTMCell, MinGRUCell)


def gradients(model: RNNClassifier, logits: Tensor) -> list[Tensor]:
    probe = torch.randn(logits.shape, dtype=logits.dtype, generator=torch.Generator().manual_seed(0))
    return list(
        torch.autograd.grad((logits * probe).sum(), list(model.parameters()), allow_unused=True, materialize_grads=True)
    )


def truncated_reference(model: RNNClassifier, sequence: Tensor, window: int) -> Tensor:
    """Return the states (T, D) by loops; no gradient flows between windows, from each direction's own start."""
    assert model.embedding is not None
    x = model.embedding.weight[sequence]
    directions = 2 if model.bidirectional else 1
    for layer in range(model.num_layers):
        halves = []
        for direction in range(directions):
            state, outputs = None, []
            for number, x_t in enumerate(x.flip(0) if direction else x):
                if state is not None and number % window == 0:
                    state = state.detach() if isinstance(state, Tensor) else tuple(part.detach() for part in state)
                state = step(model, layer, direction, x_t, state)
                outputs.append(state[0] if isinstance(state, Tensor) else state[0][0])
            stacked = torch.stack(outputs)
            halves.append(stacked.flip(0) if direction else stacked)
        x = torch.cat(halves, dim=1)
    return x


def step(model: RNNClassifier, layer: int, direction: int, x_t: Tensor, state: Any) -> Any:
    if not isinstance(model.encoder, nn.RNNBase):
        return model.encoder.cell(layer, direction)(x_t[None], state)
    suffix = f"l{layer}_reverse" if direction else f"l{layer}"
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    weights = {name: getattr(model.encoder, f"{name}_{suffix}") for name in names}
    zeros = x_t.new_zeros(model.hidden_size)
    start = (zeros, zeros) if model.encoder.mode == "LSTM" else (zeros,)
    before = start if state is None else tuple(part[0] for part in state)
    return tuple(part[None] for part in reference.STEPS[model.encoder.mode](x_t, before, weights))


@pytest.mark.parametrize("cell", CELLS)
@given(
    bidirectional=st.booleans(),
    num_layers=st.integers(1, 2),
    window=st.integers(1, 9),
    pooling=st.sampled_from(["last", "mean"]),
    sequences=strategies.id_sequences(4),
)
def test_truncation_cuts_gradients_between_windows(
    cell: Any, bidirectional: bool, num_layers: int, window: int, pooling: Any, sequences: list[Tensor]
) -> None:
    options = {"cell": cell, "bidirectional": bidirectional, "num_layers": num_layers, "pooling": pooling, "seed": 0}
    model = RNNClassifier(3, vocab_size=7, hidden_size=3, truncate_steps=window, **options).double()
    whole = RNNClassifier(3, vocab_size=7, hidden_size=3, **options).double()
    batch = pad_collate([(sequence, 0) for sequence in sequences])
    logits = model(batch.inputs, batch.lengths)
    assert (logits - whole(batch.inputs, batch.lengths)).abs().max() <= 1e-12
    pooled = [reference.pool(model, truncated_reference(model, sequence, window)) for sequence in sequences]
    expected = gradients(model, model.head(torch.stack(pooled)))
    for got, wanted in zip(gradients(model, logits), expected, strict=True):
        assert (got - wanted).abs().max() <= 1e-12


def test_truncation_is_not_without_effect() -> None:
    """The check above would catch a truncation that does nothing."""
    sequence = torch.tensor([2, 3, 4, 5, 6, 2])
    model = RNNClassifier(3, vocab_size=7, hidden_size=3, seed=0).double()
    window = RNNClassifier(3, vocab_size=7, hidden_size=3, seed=0, truncate_steps=2).double()
    first, second = (gradients(one, one(sequence[None], torch.tensor([6]))) for one in (model, window))
    assert (first[0] - second[0]).abs().max() > 1e-6


@pytest.mark.parametrize("cell", ["lstm", MinGRUCell])
def test_a_very_long_sequence_beside_a_very_short_one(cell: Any) -> None:
    model = RNNClassifier(2, vocab_size=7, hidden_size=4, embedding_dim=3, cell=cell, seed=0).double().eval()
    generator = torch.Generator().manual_seed(0)
    long, short = torch.randint(1, 7, (20_000,), generator=generator), torch.tensor([3])
    batch = pad_collate([(long, 0), (short, 1)])
    with torch.no_grad():
        logits = model(batch.inputs, batch.lengths)
        alone = model(short[None], torch.tensor([1]))
        assert (logits[1] - alone[0]).abs().max() <= 1e-12
        stream = model.stream()
        for symbol in long.tolist():
            probabilities = stream.push(symbol)
    assert torch.allclose(torch.tensor(probabilities), logits[0].softmax(0), rtol=0, atol=1e-12)
