"""Dropout does not depend on batching: what a sequence loses is decided by its key alone."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_sequence

from seqclf import RNNClassifier, SequenceDataset, fit, pad_collate
from seqclf.cells import MinGRUCell
from seqclf.engine.dropout import INPUTS, POOLED, choose, keys_for
from seqclf.engine.layout import Positions
from seqclf.errors import InvalidArgumentError
from tests import reference, strategies

RATES = ("dropout", "input_dropout", "symbol_dropout", "recurrent_dropout")


def make(**options: Any) -> RNNClassifier:
    return RNNClassifier(**({"num_classes": 3, "vocab_size": 7, "hidden_size": 4, "seed": 0} | options)).double()


def logits_of(model: RNNClassifier, sequences: list[Tensor], keys: list[int]) -> Tensor:
    batch = pad_collate([(sequence, 0) for sequence in sequences])
    return model(batch.inputs, batch.lengths, keys=torch.tensor(keys))


def gradients(model: RNNClassifier) -> Tensor:
    found = [torch.zeros_like(p) if p.grad is None else p.grad for p in model.parameters()]
    return torch.cat([gradient.flatten() for gradient in found]).clone()


@st.composite
def dropping_models(draw: st.DrawFn) -> RNNClassifier:
    cell = draw(st.sampled_from((*strategies.BUILT_IN_CELLS, nn.GRUCell, MinGRUCell)))
    rates = {rate: draw(st.sampled_from((0.0, 0.5))) for rate in RATES}
    if not isinstance(cell, str):
        rates["recurrent_dropout"] = 0.0
    return make(
        cell=cell,
        num_layers=draw(st.integers(1, 3)),
        bidirectional=draw(st.booleans()),
        pooling=draw(st.sampled_from(strategies.POOLINGS)),
        execution=draw(st.sampled_from(("padded", "packed"))),
        variational_dropout=draw(st.booleans()),
        seed=draw(strategies.seeds),
        **rates,
    ).train()


@given(dropping_models(), strategies.id_sequences(), strategies.seeds)
def test_gradients_of_single_examples_sum_to_those_of_the_batch(
    model: RNNClassifier, sequences: list[Tensor], seed: int
) -> None:
    keys = keys_for(torch.arange(len(sequences)), seed, 0).tolist()
    probe = torch.randn(len(sequences), 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    together = logits_of(model, sequences, keys)
    torch.autograd.backward((together * probe).sum())
    of_batch = gradients(model)
    model.zero_grad()
    alone = [logits_of(model, [sequence], [key])[0] for sequence, key in zip(sequences, keys, strict=True)]
    torch.autograd.backward((torch.stack(alone) * probe).sum())
    assert (torch.stack(alone) - together).abs().max() <= 1e-12
    assert (gradients(model) - of_batch).abs().max() <= 1e-12


@given(dropping_models(), strategies.id_sequences(), strategies.seeds)
def test_packed_sequences_lose_what_padded_ones_lose(model: RNNClassifier, sequences: list[Tensor], seed: int) -> None:
    keys = torch.arange(len(sequences)) + seed
    packed = model(pack_sequence(sequences, enforce_sorted=False), keys=keys)
    assert (packed - logits_of(model, sequences, keys.tolist())).abs().max() <= 1e-12


@pytest.mark.parametrize("rate", RATES)
def test_other_keys_lose_other_things(rate: str) -> None:
    model = make(**{rate: 0.5}, hidden_size=16).train()
    sequence = torch.tensor([2, 3, 4, 5, 6, 2, 3])
    one, same, other = (logits_of(model, [sequence], [key]) for key in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.allclose(one, other)
    model.eval()
    plain = make(hidden_size=16).eval()
    assert torch.equal(logits_of(model, [sequence], [1]), logits_of(plain, [sequence], [2]))


def test_without_keys_the_global_generator_decides() -> None:
    model = make(dropout=0.5, hidden_size=16).train()
    inputs, lengths = torch.tensor([[2, 3, 4], [2, 3, 4]]), torch.tensor([3, 3])
    torch.manual_seed(0)
    first, second = model(inputs, lengths), model(inputs, lengths)
    torch.manual_seed(0)
    assert torch.equal(model(inputs, lengths), first)
    assert not torch.allclose(first, second)
    assert not torch.allclose(first[0], first[1])  # equal sequences, but each has a key of its own


@pytest.mark.parametrize("per_sequence", [False, True])
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_as_much_is_kept_as_the_rate_says(rate: float, per_sequence: bool) -> None:
    keep = choose(torch.arange(500), INPUTS, Positions.of_padded(500, 20), 64, rate, per_sequence=per_sequence)
    rows = keep.expand(500, 20, 64)[:, 0] if per_sequence else keep.reshape(-1, 64)
    count = rows.numel()
    deviation = (rate * (1 - rate) / count) ** 0.5
    assert abs(float(rows.double().mean()) - (1 - rate)) < 5 * deviation
    assert (rows.double().mean(0) - (1 - rate)).abs().max() < 5 * (rate * (1 - rate) / len(rows)) ** 0.5


def test_choices_are_independent() -> None:
    """Neighbouring keys, steps, features and places agree as often as coins do."""
    keep, other = (
        choose(torch.arange(200), place, Positions.of_padded(200, 30), 32, 0.5) for place in (INPUTS, POOLED)
    )
    neighbours = [
        keep[1:] == keep[:-1],
        keep[:, 1:] == keep[:, :-1],
        keep[..., 1:] == keep[..., :-1],
        keep == other,
    ]
    for same in neighbours:
        assert abs(float(same.double().mean()) - 0.5) < 5 * 0.5 / same.numel() ** 0.5


def test_variational_dropout_is_the_same_for_all_steps() -> None:
    positions = Positions.of_padded(3, 9)
    assert choose(torch.arange(3), INPUTS, positions, 8, 0.5, per_sequence=True).shape == (3, 1, 8)
    model = make(
        vocab_size=None, input_size=50, input_dropout=0.5, variational_dropout=True, execution="padded"
    ).train()
    seen: list[Tensor] = []
    model.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    model(torch.ones(2, 6, 50, dtype=torch.float64), torch.tensor([6, 6]), keys=torch.tensor([1, 2]))
    (x,) = seen
    assert torch.equal(x, x[:, :1].expand(x.shape))
    assert set(x.flatten().tolist()) == {0.0, 2.0}
    assert not torch.equal(x[0], x[1])


@pytest.mark.parametrize("cell", strategies.BUILT_IN_CELLS)
def test_recurrent_dropout_drops_what_the_products_see(cell: Any) -> None:
    """Judged by the loop: the reference with columns of weight_hh scaled by the mask finds the same logits."""
    model = make(cell=cell, recurrent_dropout=0.5, bidirectional=True, hidden_size=8).train()
    sequence, key = torch.tensor([2, 3, 4, 5, 6]), torch.tensor([5])
    logits = model(sequence[None], torch.tensor([5]), keys=key)[0]
    dropout = model._dropout_for(key, 1)
    assert dropout is not None
    with torch.no_grad():
        for direction, suffix in enumerate(("", "_reverse")):
            weight = getattr(model.encoder, f"weight_hh_l0{suffix}")
            mask = dropout.state_mask(weight, 8, 0, direction, torch.tensor([0]))
            assert 0 < int((mask == 0).sum()) < 8
            weight *= mask
    assert torch.allclose(reference.logits_alone(model, sequence), logits, rtol=0, atol=1e-12)


def test_fit_gives_an_example_the_same_choices_in_any_batch() -> None:
    """One epoch of plain descent with a tiny learning rate sums the same gradients whatever the batch size."""
    data = SequenceDataset.from_pairs([("ab", "x"), ("bba", "y"), ("a", "x"), ("bb", "y"), ("abab", "x")])

    def trained(batch_size: int) -> Tensor:
        model = RNNClassifier.for_dataset(data, hidden_size=8, dropout=0.5, input_dropout=0.5, seed=0).double()
        before = torch.cat([p.detach().flatten() for p in model.parameters()])
        rate = 1e-9 * batch_size  # the loss is a mean over the batch
        sgd = torch.optim.SGD(model.parameters(), lr=rate)
        fit(model, data, epochs=1, batch_size=batch_size, optimizer=sgd, seed=3, progress=False)
        return (torch.cat([p.detach().flatten() for p in model.parameters()]) - before) / 1e-9

    assert torch.allclose(trained(1), trained(5), atol=1e-5)


def test_keys_differ_by_seed_epoch_and_index() -> None:
    found = [keys_for(torch.arange(50), seed, epoch) for seed in range(5) for epoch in range(5)]
    assert len(set(torch.cat(found).tolist())) == 50 * 25


@pytest.mark.parametrize("keys", [[1, 2], torch.tensor([1]), torch.tensor([1.0, 2.0])])
def test_wrong_keys_are_refused(keys: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"keys must be int64 of shape \(2,\), one for each sequence; got"):
        make(dropout=0.5)(torch.tensor([[2], [3]]), torch.tensor([1, 1]), keys=keys)
