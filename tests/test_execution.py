"""Ways to run: what the fused way, direct steps, layouts and packed batches must hold beside the batching law."""

import copy
import gc
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from seqclf.models.direct import goes_directly, step_directly
from seqclf.models.execution.fused import arena, sharing
from seqclf.models.execution.fused.arena import Arena
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import parametrizations
from torch.nn.utils.rnn import PackedSequence, pack_sequence

from seqclf import InvalidDataError, RNNClassifier, SequenceDataset, explain_execution, pack_collate, pad_collate
from seqclf.data.packing import pack_batches
from seqclf.engine.layout import Layout, Positions, layout_of
from seqclf.models import execution
from seqclf.training.objective import Objective
from tests import strategies

BUILT_IN = ("lstm", "gru", "rnn", "rnn_relu")


def batch_of(sequences: list[Tensor]) -> PackedSequence:
    """Pack sequences, the longest first."""
    return pack_sequence(sorted(sequences, key=len, reverse=True))


def gradients(model: RNNClassifier, inputs: PackedSequence, labels: Tensor) -> list[Tensor]:
    model.zero_grad()
    torch.autograd.backward(cross_entropy(model(inputs), labels))
    return [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]


def as_padded(model: RNNClassifier) -> RNNClassifier:
    """Return a copy of a model that runs in torch's own padded kernels."""
    other = copy.deepcopy(model)
    other.execution = "padded"
    return other


def small(**options: Any) -> RNNClassifier:
    options = {"vocab_size": 7, "hidden_size": 4, "embedding_dim": 3, "execution": "fused", "seed": 0} | options
    return RNNClassifier(3, **options).double()


IDS = [torch.tensor(ids) for ids in ([2, 3, 4, 5], [6, 2, 2], [5, 1], [3])]
LABELS = torch.tensor([0, 1, 2, 1])


@given(strategies.models(cells=BUILT_IN), st.data())
def test_without_a_gradient_the_answers_are_the_same(model: RNNClassifier, data: st.DataObject) -> None:
    features = model.input_size is not None
    sequences = data.draw(strategies.feature_sequences() if features else strategies.id_sequences())
    packed = batch_of(sequences)
    for context in (torch.no_grad, torch.inference_mode):
        with context():
            found = model(packed)
        assert torch.allclose(found, model(packed), atol=1e-12)


@given(st.data())
def test_direct_steps_give_the_gradients_of_autograd(data: st.DataObject) -> None:
    model = data.draw(strategies.models(cells=BUILT_IN))
    model = RNNClassifier(
        3,
        vocab_size=model.vocab_size,
        input_size=model.input_size,
        embedding_dim=3,
        cell=model.cell,
        hidden_size=model.hidden_size,
        num_layers=model.num_layers,
        bidirectional=model.bidirectional,
        seed=0,
    ).double()
    features = model.input_size is not None
    sequences = data.draw(strategies.feature_sequences() if features else strategies.id_sequences())
    packed = batch_of(sequences * data.draw(st.integers(1, 3)))  # so that beginnings are shared
    labels = torch.arange(int(packed.batch_sizes[0])) % 3
    weight = data.draw(st.sampled_from([None, torch.tensor([1.0, 2.0, 0.5]).double()]))
    objective = Objective(weight, data.draw(st.sampled_from([0.0, 0.1])))
    judge = as_padded(model)
    expected = judge(packed)
    torch.autograd.backward(objective(expected, labels))
    assert goes_directly(model)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)  # replaced, not added to
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sharing, "_LEAST_ROWS", data.draw(st.sampled_from([0, 4096])))
        found = step_directly(model, packed, partial(objective.gradient, labels=labels))
    assert torch.allclose(found, expected, atol=1e-12)
    for (name, own), other in zip(model.named_parameters(), judge.parameters(), strict=True):
        assert own.grad is not None
        assert torch.allclose(own.grad, other.grad, atol=1e-12), name


@given(st.data())
def test_shared_beginnings_give_the_gradients_of_the_batch(data: st.DataObject) -> None:
    cell, layers = data.draw(st.sampled_from(BUILT_IN)), data.draw(st.integers(1, 2))
    sequences = data.draw(strategies.id_sequences()) * data.draw(st.integers(2, 4))
    check_shared_beginnings(cell, layers, sequences)


def test_many_equal_sequences_of_one_step() -> None:
    check_shared_beginnings("lstm", 1, [torch.tensor([1])] * 8)


def check_shared_beginnings(cell: Any, layers: int, sequences: list[Tensor]) -> None:
    model = small(cell=cell, num_layers=layers)
    packed = batch_of(sequences)
    labels = torch.arange(int(packed.batch_sizes[0])) % 3
    expected = gradients(as_padded(model), packed, labels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sharing, "_LEAST_ROWS", 0)
        shared, ids = sharing.share(layout_of(packed), packed.data)
        found = gradients(model, packed, labels)
    assert len(ids) == shared.total <= len(packed.data) / 2 or len(ids) == len(packed.data)
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, atol=1e-12)


def test_beginnings_are_shared_in_large_batches_alone() -> None:
    small_batch, large_batch = (batch_of([torch.tensor([2, 3, 4])] * count) for count in (10, 1500))
    for packed, rows in ((small_batch, 30), (large_batch, 3)):
        assert sharing.share(layout_of(packed), packed.data)[0].total == rows
    packed = batch_of(list(torch.split(torch.arange(6000), 4)))  # of which none begin alike
    assert sharing.share(layout_of(packed), packed.data)[0].total == 6000


@pytest.mark.parametrize("pooling", ["last", "mean"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", BUILT_IN)
def test_batches_of_one(cell: Any, bidirectional: bool, pooling: Any) -> None:
    model = small(cell=cell, num_layers=2, bidirectional=bidirectional, pooling=pooling)
    for ids in ([2, 3, 4, 2], [5], list(range(1, 7)) * 5):  # the last is longer than there are symbols
        packed = batch_of([torch.tensor(ids)])
        expected = gradients(as_padded(model), packed, torch.tensor([1]))
        for one, other in zip(gradients(model, packed, torch.tensor([1])), expected, strict=True):
            assert torch.allclose(one, other, atol=1e-12)


@given(st.data())
def test_the_gradient_of_the_objective_is_that_of_autograd(data: st.DataObject) -> None:
    weights = data.draw(st.sampled_from([None, torch.tensor([1.0, 0.0, 2.5]).double()]))
    own = data.draw(st.sampled_from([None, torch.arange(1, 6).double()]))
    objective = Objective(weights, data.draw(st.floats(0, 0.9)), own)
    labels = torch.tensor(data.draw(st.lists(st.integers(0, 2), min_size=1, max_size=5)))
    if weights is not None and not bool(weights[labels].sum()):
        labels[0] = 0  # without any weight there is no mean
    logits = torch.randn(len(labels), 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    leaf, indices = logits.clone().requires_grad_(), torch.arange(len(labels)).flip(0)
    torch.autograd.backward(objective(leaf, labels, indices))
    assert leaf.grad is not None
    assert torch.allclose(objective.gradient(logits, labels, indices), leaf.grad, atol=1e-14)


def test_a_direct_step_shares_no_memory_between_gradients() -> None:
    model = small()
    step_directly(model, batch_of(IDS), torch.ones_like)
    pointers = [parameter.grad.data_ptr() for parameter in model.parameters() if parameter.grad is not None]
    assert len(set(pointers)) == len(list(model.parameters()))


class Subclass(RNNClassifier):
    """A model of the user's own."""


def hooked(model: RNNClassifier) -> RNNClassifier:
    model.head.register_forward_hook(lambda *_: None)
    return model


def watched(model: RNNClassifier) -> RNNClassifier:
    model.head.weight.register_hook(lambda gradient: gradient)  # type: ignore[no-untyped-call]
    return model


def observed(model: RNNClassifier) -> RNNClassifier:
    model.head.weight.register_post_accumulate_grad_hook(lambda parameter: None)  # type: ignore[no-untyped-call]
    return model


def frozen(model: RNNClassifier) -> RNNClassifier:
    assert model.embedding is not None
    model.embedding.weight.requires_grad_(False)
    return model


def normed(model: RNNClassifier) -> RNNClassifier:
    parametrizations.weight_norm(model.head)
    return model


def mixed(model: RNNClassifier) -> RNNClassifier:
    model.head.float()
    return model


def limited(model: RNNClassifier) -> RNNClassifier:
    assert model.embedding is not None
    model.embedding.max_norm = 1.0
    return model


@pytest.mark.parametrize("change", [hooked, watched, observed, frozen, normed, mixed, limited])
def test_what_a_direct_step_would_miss_keeps_it_away(change: Callable[[RNNClassifier], RNNClassifier]) -> None:
    assert goes_directly(small())
    assert not goes_directly(change(small()))


@pytest.mark.parametrize(
    "options",
    [
        {"pooling": "mean"},
        {"dropout": 0.1},
        {"weight_dropout": 0.1},
        {"truncate_steps": 3},
        {"execution": "padded"},
        {"cell": nn.LSTMCell},
    ],
)
def test_what_a_direct_step_cannot_do_keeps_it_away(options: dict[str, Any]) -> None:
    assert not goes_directly(small(**options))


def test_subclasses_half_types_and_autocast_keep_direct_steps_away() -> None:
    assert not goes_directly(Subclass(3, vocab_size=7))
    assert goes_directly(small().float())
    assert not goes_directly(small().half())
    assert not goes_directly(small().bfloat16())
    with torch.autocast("cpu"):
        assert not goes_directly(small().float())
    with pytest.warns(UserWarning, match="Anomaly Detection"), torch.autograd.detect_anomaly():
        assert not goes_directly(small())


@pytest.mark.parametrize("cell", BUILT_IN)
def test_two_graphs_at_once_do_not_share_their_memory(cell: Any) -> None:
    model, judge = small(cell=cell, num_layers=2), as_padded(small(cell=cell, num_layers=2))
    packed, other = batch_of(IDS), batch_of(IDS[1:])
    expected = gradients(judge, packed, LABELS)
    loss = cross_entropy(model(packed), LABELS)
    torch.autograd.backward(cross_entropy(model(other), LABELS[1:]))  # between forward and backward of the first
    model.zero_grad()
    torch.autograd.backward(loss, retain_graph=True)
    model.zero_grad()
    torch.autograd.backward(loss)  # and a second time
    for own, one in zip(model.parameters(), expected, strict=True):
        assert torch.allclose(own.grad, one, atol=1e-12)


def test_arenas_come_back() -> None:
    model = small()
    gradients(model, batch_of(IDS), LABELS)
    gc.collect()
    free = Arena._free[torch.float64, torch.device("cpu")]
    before = len(free)
    logits = model(batch_of(IDS))
    assert len(free) == before - 1
    del logits
    assert len(free) == before


def test_arenas_forget_layouts_and_grow() -> None:
    model, judge = small(), as_padded(small())
    for length in [*range(1, 60), 400, *range(1, 5)]:  # more steps of views than an arena keeps, and more memory
        for rows in (1, 3):
            packed = batch_of([torch.arange(length) % 5 + 2] * rows)
            labels = LABELS[:rows]
            for own, one in zip(gradients(model, packed, labels), gradients(judge, packed, labels), strict=True):
                assert torch.allclose(own, one, atol=1e-12)
    free = Arena._free[torch.float64, torch.device("cpu")]
    assert all(one.steps == sum(len(layout.sizes) for _, layout, _ in one.buffers) for one in free)
    assert all(one.steps <= arena._KEPT_STEPS or len(one.buffers) == 1 for one in free)


def test_a_large_block_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arena, "_KEPT_FLOATS", 0)
    free = Arena._free.setdefault((torch.float64, torch.device("cpu")), [])
    before = len(free)
    logits = small()(batch_of(IDS))
    assert len(free) == max(before - 1, 0)
    del logits
    assert len(free) == max(before - 1, 0)


@pytest.mark.parametrize("cell", BUILT_IN)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_views_of_long_sequences_are_made_in_windows(cell: Any, bidirectional: bool) -> None:
    model = small(cell=cell, bidirectional=bidirectional, num_layers=2)
    lengths = (2 * arena._WINDOW + 3, arena._WINDOW + 1, arena._WINDOW, 2)
    packed = batch_of([torch.arange(length) % 5 + 2 for length in lengths])
    judge = as_padded(model)
    assert torch.allclose(model(packed), judge(packed), atol=1e-12)
    for own, one in zip(gradients(model, packed, LABELS), gradients(judge, packed, LABELS), strict=True):
        assert torch.allclose(own, one, atol=1e-11)


def test_training_after_inference_mode() -> None:
    model = small(bidirectional=True, hidden_size=5)
    with torch.inference_mode():
        model(batch_of(IDS))
        with torch.enable_grad():
            model(batch_of(IDS))
    expected = gradients(as_padded(model), batch_of(IDS), LABELS)
    for own, one in zip(gradients(model, batch_of(IDS), LABELS), expected, strict=True):
        assert torch.allclose(own, one, atol=1e-12)


def test_weights_that_change_between_forward_and_backward_are_noticed() -> None:
    model = small()
    loss = model(batch_of(IDS)).sum()
    with torch.no_grad():
        model.encoder.weight_hh_l0.mul_(2)  # type: ignore[operator]
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        torch.autograd.backward(loss)


def test_a_second_derivative_is_refused() -> None:
    model = small()
    weight = model.encoder.weight_hh_l0
    assert isinstance(weight, Tensor)
    (gradient,) = torch.autograd.grad(model(batch_of(IDS)).square().sum(), weight, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        torch.autograd.backward(gradient.sum())


def test_frozen_weights_get_no_gradient() -> None:
    model = frozen(small())
    found = gradients(model, batch_of(IDS), LABELS)
    assert model.embedding is not None
    assert model.embedding.weight.grad is None
    assert len(found) == len(list(model.parameters())) - 1


@pytest.mark.parametrize("ids", [[9, 2, 2, 2, 2, 2, 2], [9]])  # looked up in a table of gates; and one by one
def test_unknown_ids(ids: list[int]) -> None:
    packed = batch_of([torch.tensor(ids)])
    for context in (torch.enable_grad, torch.no_grad):
        with context(), pytest.raises(InvalidDataError, match=r"ids must be from 0 to 6; got others: .* Encode with"):
            small()(packed)
    with pytest.raises(InvalidDataError, match=r"ids must be from 0 to 6; got others: .* Encode with"):
        step_directly(small(), packed, torch.ones_like)


def test_auto_leaves_hooks_to_torch() -> None:
    model = small(execution="auto").float()
    calls: list[int] = []
    model.encoder.register_forward_hook(lambda *_: calls.append(1))
    model(batch_of(IDS))
    assert calls


def test_autocast_leaves_the_fused_way_as_it_is() -> None:
    model = small(num_layers=2).float()
    packed = batch_of(IDS)
    expected = gradients(model, packed, LABELS)
    with torch.autocast("cpu"):
        loss = cross_entropy(model(packed).float(), LABELS)
        model.zero_grad()
        torch.autograd.backward(loss)
        with torch.no_grad():
            assert model(packed).dtype == torch.bfloat16  # of the head
    for parameter, one in zip(model.parameters(), expected, strict=True):
        assert torch.allclose(parameter.grad, one, atol=1e-2)


@given(strategies.lengths)
def test_layouts(lengths: list[int]) -> None:
    lengths = sorted(lengths, reverse=True)
    packed = pack_sequence([torch.full((length,), number) for number, length in enumerate(lengths)])
    layout = layout_of(packed)
    grid = [(step, rank) for step in range(lengths[0]) for rank, length in enumerate(lengths) if step < length]
    row = {place: number for number, place in enumerate(grid)}
    assert list(zip(layout.steps.tolist(), layout.ranks.tolist(), strict=True)) == grid
    assert layout.ranks.tolist() == packed.data.tolist()
    assert layout.lengths.tolist() == lengths
    assert layout.last.tolist() == [row[length - 1, rank] for rank, length in enumerate(lengths)]
    assert layout.previous.tolist() == [row[step - 1, rank] for step, rank in grid if step]
    assert layout.reversal.tolist() == [row[lengths[rank] - 1 - step, rank] for step, rank in grid]
    assert layout.is_level == (len(set(lengths)) == 1)
    assert (layout.batch, layout.total) == (len(lengths), sum(lengths))
    assert torch.equal(Positions.of_packed(packed).sequence, layout.ranks)


def test_a_long_layout_is_not_kept() -> None:
    packed = pack_sequence([torch.zeros(300, dtype=torch.int64)])
    assert layout_of(packed) is not layout_of(packed)
    short = pack_sequence([torch.zeros(3, dtype=torch.int64)])
    assert layout_of(short) is layout_of(short)


@settings(deadline=None)
@given(st.data())
def test_packed_batches_are_those_of_collated_samples(data: st.DataObject) -> None:
    features = data.draw(st.booleans())
    sequences = data.draw(strategies.feature_sequences() if features else strategies.id_sequences())
    if features:
        dataset = SequenceDataset.from_sequences([one.numpy() for one in sequences], list(range(len(sequences))))
    else:
        dataset = SequenceDataset.from_sequences([one.tolist() for one in sequences], list(range(len(sequences))))
    order = np.array(data.draw(st.permutations(range(len(dataset)))))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(order)))) - {len(order)})
    batches = list(pack_batches(dataset.sequences, dataset.labels, np.split(order, cuts)))
    assert sorted(index for batch in batches for index in batch.indices.tolist()) == list(range(len(dataset)))
    for batch, wanted in zip(batches, np.split(order, cuts), strict=True):
        assert sorted(batch.indices.tolist()) == sorted(wanted.tolist())
        assert batch.lengths.tolist() == sorted(batch.lengths.tolist(), reverse=True)
        judge = pack_collate([dataset[index] for index in batch.indices.tolist()])
        assert torch.equal(batch.inputs.data, judge.inputs.data)
        assert torch.equal(batch.inputs.batch_sizes, judge.inputs.batch_sizes)
        assert torch.equal(batch.lengths, judge.lengths)
        assert torch.equal(batch.labels, judge.labels)


def test_packed_batches_come_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seqclf.data.packing._CHUNK_STEPS", 5)
    dataset = SequenceDataset.from_pairs([("abc", 0), ("ab", 1), ("a", 0), ("abcd", 1)])
    batches = list(pack_batches(dataset.sequences, None, [np.array([1, 0]), np.array([2]), np.array([3])]))
    assert [batch.indices.tolist() for batch in batches] == [[0, 1], [2], [3]]
    assert all(batch.labels is None for batch in batches)


def test_batches_with_empty_sequences_are_padded() -> None:
    dataset = SequenceDataset.from_pairs([("abc", 0), ("", 1), ("a", 0)], allow_empty=True)
    (batch,) = pack_batches(dataset.sequences, dataset.labels, [np.array([2, 1, 0])])
    judge = pad_collate([dataset[index] for index in (2, 1, 0)], allow_empty=True)
    assert torch.equal(batch.inputs, judge.inputs)
    assert batch.lengths.tolist() == [1, 0, 3]
    assert Layout((1,)).is_level


def test_explanations() -> None:
    batch = pad_collate([(sequence, 0) for sequence in IDS])
    model = small(execution="auto", num_layers=2, bidirectional=True)
    for training in (True, False):
        decision = explain_execution(model.train(training), batch)
        assert decision.way == min(decision.costs, key=lambda way: decision.costs[way])
        assert set(decision.costs) == {"fused", "padded", "packed"}
        single = explain_execution(small(execution="auto", num_layers=1).train(training), batch)
        assert decision.costs["fused"] == pytest.approx(4 * single.costs["fused"], abs=0.01)
    model.encoder.register_forward_hook(lambda *_: None)
    assert "fused" not in explain_execution(model, batch).costs
    for way in ("fused", "padded", "packed"):
        decision = explain_execution(small(execution=way), batch)
        assert (decision.way, decision.reason, decision.costs) == (way, "it was asked for", {})
    assert explain_execution(small(cell=nn.LSTMCell), batch).way == "steps"
    dropping = small(recurrent_dropout=0.5)
    assert explain_execution(dropping, batch).way == "steps"
    assert explain_execution(dropping.eval(), batch).way == "fused"
    truncating = small(truncate_steps=2)
    assert explain_execution(truncating, batch).way == "padded"
    assert explain_execution(truncating.eval(), batch).way == "fused"


def test_other_devices_take_what_suits_cudnn() -> None:
    batch = pad_collate([(sequence, 0) for sequence in IDS])
    for bidirectional, way in ((False, "padded"), (True, "packed")):
        model = small(execution="auto", bidirectional=bidirectional).to("meta")
        assert explain_execution(model, batch).way == way


@pytest.mark.parametrize("cell", BUILT_IN)
def test_what_is_explained_is_what_runs(cell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[str] = []
    for name in ("Fused", "Padded", "Packed"):
        real = getattr(execution, name)

        def spy(*args: Any, real: Any = real, name: str = name, **options: Any) -> Any:
            taken.append(name.lower())
            return real(*args, **options)

        monkeypatch.setattr(execution, name, spy)
    for count, length, hidden_size in ((1, 1, 4), (1, 40, 64), (300, 2, 4), (30, 12, 128)):
        batch = pad_collate([([2] * length, 0), *([([3], 0)] * (count - 1))])
        for training in (True, False):
            model = small(execution="auto", cell=cell, hidden_size=hidden_size).train(training)
            with torch.set_grad_enabled(training):
                model(batch.inputs, batch.lengths)
            assert explain_execution(model, batch).way == taken.pop()
