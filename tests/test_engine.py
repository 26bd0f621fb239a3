"""The compiled engine: the same bits in any batch, the gradients of autograd, and nothing missed that it leaves out."""

import copy
import gc
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import parametrizations
from torch.nn.utils.rnn import PackedSequence, pack_sequence, pad_sequence

from seqclf import Predictor, RNNClassifier, SequenceDataset, explain_execution, fit, pad_collate, predict_proba
from seqclf.data.ragged import Ragged
from seqclf.engine import kernels as engine_kernels
from seqclf.engine.kernels import NativeBatch, Packed
from seqclf.engine.library import Library, library
from seqclf.engine.parts import NativeModel
from seqclf.engine.plan import plan_training
from seqclf.errors import InvalidArgumentError, InvalidDataError
from seqclf.inference.logits import compute_logits, native_batch
from seqclf.training.objective import Objective
from seqclf.training.steps import AutogradSteps, NativeSteps
from tests import strategies

BUILT_IN = strategies.BUILT_IN_CELLS
POOLINGS: tuple[Any, ...] = (*strategies.POOLINGS, ("last", "mean", "max"))
IDS = [torch.tensor(ids) for ids in ([2, 3, 4, 5], [6, 2, 2], [5, 1], [3])]
LABELS = torch.tensor([0, 1, 2, 1])


def kernels() -> Library:
    found = library()
    assert found is not None, "the tests need the compiled kernels: install the package anew"
    return found


@contextmanager
def instruction_set(name: str) -> Iterator[None]:
    before = kernels().set
    kernels().use(name)
    try:
        yield
    finally:
        kernels().use(before)


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@st.composite
def native_models(draw: st.DrawFn, **fixed: Any) -> RNNClassifier:
    """A small model of any built-in cell, depth, direction, pooling, size and type of floats."""
    features = draw(st.booleans())
    options: dict[str, Any] = {
        "vocab_size": None if features else strategies.VOCAB_SIZE,
        "input_size": strategies.INPUT_SIZE if features else None,
        "embedding_dim": draw(st.integers(1, 5)),
        "cell": draw(st.sampled_from(BUILT_IN)),
        "hidden_size": draw(st.one_of(st.integers(1, 6), st.integers(15, 18), st.integers(31, 33))),
        "num_layers": draw(st.integers(1, 3)),
        "bidirectional": draw(st.booleans()),
        "pooling": draw(st.sampled_from(POOLINGS)),
        "seed": draw(strategies.seeds),
    }
    if not features:
        options |= draw(strategies.symbol_options(is_forward=not (options | fixed)["bidirectional"]))
    model = RNNClassifier(draw(st.integers(2, 18)), **(options | fixed))
    strategies.know_ngrams(model, draw(strategies.seeds))
    return model.to(draw(st.sampled_from([torch.float32, torch.float64]))).eval()


def sequences_for(data: st.DataObject, model: RNNClassifier) -> list[Tensor]:
    """Sequences of which many begin alike, so that beginnings are shared."""
    if model.input_size is None:
        return data.draw(strategies.id_sequences(max_count=12)) * data.draw(st.integers(1, 3))
    return [one.to(model.head.weight.dtype) for one in data.draw(strategies.feature_sequences())]


def store_of(sequences: list[Tensor]) -> Ragged:
    lengths = torch.tensor([0, *(len(sequence) for sequence in sequences)])
    return Ragged(torch.cat(sequences), lengths.cumsum(0))


def run_batch(model: RNNClassifier, sequences: list[Tensor], extra: int = 0) -> Tensor:
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    padded = pad_sequence(
        [*sequences, torch.zeros(int(lengths.max()) + extra, *sequences[0].shape[1:]).to(sequences[0])], True
    )
    return model(padded[:-1], lengths).detach()


def ways(model: RNNClassifier, sequences: list[Tensor]) -> dict[str, Tensor]:
    """Return the logits of all sequences by every way to them."""
    store, everything = store_of(sequences), np.arange(len(sequences))
    packed = Packed(model.parts, full_table=True)
    found = {
        "reversed": run_batch(model, sequences[::-1]).flip(0),
        "more padding": run_batch(model, sequences, extra=3),
        "packed": model(pack_sequence(sequences, enforce_sorted=False)).detach(),
        "alone": torch.cat([run_batch(model, [sequence]) for sequence in sequences]),
        "predict": torch.from_numpy(compute_logits(model, store, 2)),
        "Predictor": torch.cat([packed.run(native_batch(model, store, everything[i : i + 1])) for i in everything]),
    }
    with torch.no_grad():
        found["without gradients"] = run_batch(model, sequences)
    for count in (1, 3):
        with threads(count):
            found[f"{count} threads"] = run_batch(model, sequences)
            found[f"predict, {count} threads"] = torch.from_numpy(compute_logits(model, store, 2))
    if not model.bidirectional:
        every = packed.run_prefixes(native_batch(model, store, everything))
        found["prefixes"] = every[torch.from_numpy(everything), store.lengths - 1]
    return found


# Law 5: bit for bit.


@settings(deadline=None)
@given(native_models(), st.data())
def test_every_way_gives_the_same_bits(model: RNNClassifier, data: st.DataObject) -> None:
    sequences = sequences_for(data, model)
    assert explain_execution(model, pad_collate([(sequence, 0) for sequence in sequences])).scope == "classifier"
    expected = run_batch(model, sequences)
    for name, found in ways(model, sequences).items():
        assert torch.equal(found, expected), name


@settings(deadline=None)
@given(native_models(bidirectional=False), st.data())
def test_a_stream_gives_the_bits_of_each_prefix(model: RNNClassifier, data: st.DataObject) -> None:
    sequence = sequences_for(data, model)[0]
    packed = Packed(model.parts, full_table=False)
    every = packed.run_prefixes(native_batch(model, store_of([sequence]), np.zeros(1, np.int64)))[0]
    stream = model.stream()
    for step in range(len(sequence)):
        found = stream.push(int(sequence[step]) if model.input_size is None else sequence[step])
        for logits in (compute_logits(model, store_of([sequence[: step + 1]]), 1), every[step : step + 1].numpy()):
            assert np.array_equal(found, engine_kernels.softmax_(logits.copy())[0])


def test_memory_that_waits_is_never_freed_whatever_order_garbage_goes_in(monkeypatch: pytest.MonkeyPatch) -> None:
    model = RNNClassifier(3, vocab_size=7, hidden_size=8, seed=0).eval()
    freed: list[int] = []
    kernels = library()
    assert kernels is not None
    free = kernels.workspace_free

    def free_and_tell(address: int) -> None:
        freed.append(address)
        free(address)

    monkeypatch.setattr(kernels, "workspace_free", free_and_tell)
    engine_kernels.spare.waiting.clear()
    for _ in range(20):
        one: Any = [Packed(model.parts, full_table=False)]
        one.append(one[0]._workspace if len(freed) % 2 else one)
        one[0].cycle = one
        del one
    gc.collect()
    waiting = [address for _, address in engine_kernels.spare.waiting]
    assert waiting
    assert len(set(waiting)) == len(waiting)
    assert not set(waiting) & set(freed)


def test_long_sequences_beside_short_ones_take_memory_for_what_is_there() -> None:
    model = RNNClassifier(3, vocab_size=7, hidden_size=8, seed=0).eval()
    long = torch.arange(100_000) % 5 + 2
    store = store_of([torch.tensor([2])] * 500 + [long])
    packed = Packed(model.parts, full_table=True)
    engine_kernels.spare.waiting.clear()
    batch = native_batch(model, store, np.arange(len(store)))
    together = packed.run(batch)
    assert torch.equal(together[-1], packed.run(native_batch(model, store, np.array([500])))[0])
    assert sum(packed.kernels.workspace_bytes(address) for _, address in engine_kernels.spare.waiting) < 1 << 25
    logits = model(pack_sequence([long[:2000], *[torch.tensor([2])] * 50]))
    assert torch.equal(logits[1:], together[:50])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@given(data=st.data())
@settings(deadline=None)
def test_instruction_sets_give_the_same_bits(dtype: torch.dtype, data: st.DataObject) -> None:
    """The plain build has no fused multiplication and addition, so it only comes near."""
    model = data.draw(native_models()).to(dtype)
    sequences = [
        sequence if model.input_size is None else sequence.to(dtype) for sequence in sequences_for(data, model)
    ]
    found = {}
    for name in kernels().sets:
        with instruction_set(name):
            model.zero_grad()
            logits = model(pack_sequence(sequences, enforce_sorted=False))
            torch.autograd.backward(logits.square().sum())
            found[name] = [logits.detach(), *(parameter.grad for parameter in model.parameters())]
    plain = found.pop("plain")
    for tensors in found.values():
        for one, other, near in zip(tensors, next(iter(found.values())), plain, strict=True):
            assert torch.equal(one, other)
            assert torch.allclose(one, near, rtol=1e-3 if dtype == torch.float32 else 1e-10, atol=1e-4)


# The training step.


@st.composite
def training_options(draw: st.DrawFn) -> dict[str, Any]:
    rate = st.sampled_from([0.0, 0.3])
    features = draw(st.booleans())
    return {
        "cell": draw(st.sampled_from(BUILT_IN)),
        "hidden_size": draw(st.integers(1, 5)),
        "num_layers": draw(st.integers(1, 3)),
        "bidirectional": draw(st.booleans()),
        "pooling": draw(st.sampled_from(POOLINGS)),
        "dropout": draw(rate),
        "input_dropout": draw(rate),
        "recurrent_dropout": draw(rate),
        "variational_dropout": draw(st.booleans()),
        "truncate_steps": draw(st.sampled_from([None, 2])),
        "empty": draw(st.sampled_from(["error", "zero"])),
        "seed": 0,
    } | ({"standardize": draw(st.booleans())} if features else draw(options_of_symbols()))


@st.composite
def options_of_symbols(draw: st.DrawFn) -> dict[str, Any]:
    rate = st.sampled_from([0.0, 0.3])
    return {
        "symbol_dropout": draw(st.sampled_from([0.0, 0.3, "rare"])),
        "embedding_dim": 3,
        "positions": draw(st.sampled_from([None, "start", "end", "both"])),
        "ngrams": draw(st.sampled_from([None, 2, (2, 3)])),
        "ngram_min_freq": 1,
        "ngram_dropout": draw(rate),
    }


def dataset_for(data: st.DataObject, options: dict[str, Any]) -> SequenceDataset:
    if "embedding_dim" in options:
        least = 0 if options["empty"] == "zero" else 1
        texts = data.draw(st.lists(st.text("abcd", min_size=least, max_size=6), min_size=1, max_size=20))
        texts[0] = texts[0] or "a"
        return SequenceDataset.from_sequences(
            texts, [len(text) % 3 for text in texts], classes=range(3), allow_empty=True
        )
    sequences = [one.numpy() for one in data.draw(strategies.feature_sequences())]
    return SequenceDataset.from_sequences(sequences, [len(one) % 3 for one in sequences], classes=range(3))


@settings(deadline=None)
@given(training_options(), st.data())
def test_a_step_gives_the_gradients_of_autograd_by_torchs_kernels(options: dict[str, Any], data: st.DataObject) -> None:
    train = dataset_for(data, options)
    model = RNNClassifier.for_dataset(train, **options).double()
    # What torch's padded kernels cannot do, its cells can: one step at a time.
    judge = RNNClassifier.for_dataset(train, **(options | {"execution": "padded"})).double()
    if options["truncate_steps"] and options["recurrent_dropout"]:
        judge.execution = "auto"
    weights = data.draw(st.sampled_from([None, torch.tensor([1.0, 2.0, 0.5]).double()]))
    own = data.draw(st.sampled_from([None, torch.linspace(0.5, 2, len(train)).double()]))
    objective = Objective(weights, data.draw(st.sampled_from([0.0, 0.1])), own)
    check_step(model, judge, train, objective, np.array(data.draw(st.permutations(range(len(train))))))


def check_step(
    model: RNNClassifier, judge: RNNClassifier, train: SequenceDataset, objective: Objective, indices: Any
) -> None:
    native, autograd = NativeSteps(model, objective, train), AutogradSteps(judge, objective, train)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)  # replaced, not added to
    (step,), (other_step,) = native.batches([indices]), autograd.batches([indices])
    found = native.compute_gradients(step, 3, 1)
    expected = autograd.compute_gradients(other_step, 3, 1)
    order = np.argsort(other_step.indices)[np.argsort(np.argsort(step.indices))]
    assert torch.allclose(found, expected[torch.from_numpy(order)], atol=1e-12)
    for (name, weight), one in zip(model.named_parameters(), judge.parameters(), strict=True):
        assert weight.grad is not None
        assert one.grad is not None
        assert torch.allclose(weight.grad, one.grad, rtol=1e-12, atol=1e-12), name


@pytest.mark.parametrize("cell", BUILT_IN)
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_large_batches_go_through_the_kernels_in_groups(cell: Any, dropout: float) -> None:
    train = strategies.letters_dataset(count=700)
    options: dict[str, Any] = {"pooling": ("last", "attention"), "bidirectional": True, "num_layers": 2, "seed": 0}
    options |= {"cell": cell, "hidden_size": 5, "embedding_dim": 3, "dropout": dropout, "input_dropout": dropout}
    model = RNNClassifier.for_dataset(train, **options).double()
    judge = RNNClassifier.for_dataset(train, **options, execution="padded").double()
    check_step(model, judge, train, Objective(None, 0.0), np.arange(len(train)))
    alone = RNNClassifier.for_dataset(train, cell=cell, hidden_size=5, seed=0).double()
    check_step(
        alone,
        RNNClassifier.for_dataset(train, cell=cell, hidden_size=5, execution="padded", seed=0).double(),
        train,
        Objective(None, 0.0),
        np.arange(len(train)),
    )


@pytest.mark.parametrize("optimizer", [None, lambda weights: torch.optim.SGD(weights, lr=0.1, momentum=0.9)])
def test_training_gives_the_same_bits_for_any_number_of_threads_and_set(optimizer: Any) -> None:
    train = strategies.letters_dataset(count=200)
    found = []
    for count, name in [
        (1, kernels().set),
        (3, kernels().set),
        *((2, one) for one in kernels().sets if one != "plain"),
    ]:
        options: dict[str, Any] = {
            "num_layers": 2,
            "bidirectional": True,
            "dropout": 0.3,
            "pooling": ("last", "attention"),
        }
        model = RNNClassifier.for_dataset(train, hidden_size=20, seed=0, **options)
        with threads(count), instruction_set(name):
            fit(model, train, epochs=2, optimizer=optimizer, clip_grad_norm=1.0, progress=False)
        found.append([parameter.detach() for parameter in model.parameters()])
    for tensors in found[1:]:
        assert all(torch.equal(one, other) for one, other in zip(tensors, found[0], strict=True))


def test_memory_that_another_optimizer_puts_under_a_weight_is_followed() -> None:
    class Replacing(torch.optim.SGD):
        def step(self, closure: Any = None) -> None:  # type: ignore[override]
            for group in self.param_groups:
                for weight in group["params"]:
                    weight.data = weight.data - 0.1 * weight.grad

    train, found = strategies.letters_dataset(), []
    for kind in (Replacing, torch.optim.SGD):
        model = RNNClassifier.for_dataset(train, hidden_size=4, seed=0).double()
        fit(model, train, epochs=2, optimizer=kind(model.parameters(), lr=0.1), progress=False)
        found.append(torch.cat([parameter.detach().flatten() for parameter in model.parameters()]))
    assert torch.allclose(found[0], found[1], atol=1e-12)


# Nothing is missed.


def small(**options: Any) -> RNNClassifier:
    return RNNClassifier(3, **({"vocab_size": 7, "hidden_size": 4, "embedding_dim": 3, "seed": 0} | options)).double()


class Subclass(RNNClassifier):
    """A model of the user's own."""


def hooked(name: str) -> Callable[[RNNClassifier], RNNClassifier]:
    def change(model: RNNClassifier) -> RNNClassifier:
        module = model.get_submodule(name)
        module.register_forward_hook(lambda *_: None)
        return model

    return change


def watched(model: RNNClassifier) -> RNNClassifier:
    model.head.weight.register_hook(lambda gradient: gradient)  # type: ignore[no-untyped-call]
    return model


def observed(model: RNNClassifier) -> RNNClassifier:
    model.head.weight.register_post_accumulate_grad_hook(lambda parameter: None)  # type: ignore[no-untyped-call]
    return model


def normed(model: RNNClassifier) -> RNNClassifier:
    parametrizations.weight_norm(model.head)
    return model


def limited(model: RNNClassifier) -> RNNClassifier:
    assert model.embedding is not None
    model.embedding.max_norm = 1.0
    return model


def other_head(model: RNNClassifier) -> RNNClassifier:
    model.head = nn.Linear(4, 3, bias=False).double()
    return model


def unbiased(model: RNNClassifier) -> RNNClassifier:
    model.encoder = nn.LSTM(3, 4, bias=False, batch_first=True).double()
    return model


def mixed(model: RNNClassifier) -> RNNClassifier:
    model.embedding = model.embedding.float()
    return model


def same(model: RNNClassifier) -> RNNClassifier:
    return model


LENGTHS = torch.tensor([3, 1])


@pytest.mark.parametrize(
    ("change", "scope", "reason"),
    [
        (same, "training step", "nothing is left to torch"),
        (hooked(""), "classifier", "a subclass, or hooks of the model, must be called"),
        (hooked("head"), "layers", "hooks or parametrizations of pooling and head are left to torch"),
        (hooked("pooling"), "layers", "hooks or parametrizations of pooling and head are left to torch"),
        (normed, "layers", "the head, ParametrizedLinear, is left to torch"),
        (other_head, "layers", "the head, Linear, is left to torch"),
        (watched, "classifier", "hooks of weights are for autograd to call"),
        (observed, "classifier", "hooks of weights are for autograd to call"),
    ],
)
def test_what_the_kernels_would_miss_is_left_to_torch(
    change: Callable[[RNNClassifier], RNNClassifier], scope: str, reason: str
) -> None:
    plan = plan_training(change(small()), LENGTHS, is_subclass=False)
    assert (plan.backend, plan.scope, plan.reason) == ("native", scope, reason)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (hooked("encoder"), "hooks or parametrizations of embedding or encoder are for torch to run"),
        (hooked("embedding"), "hooks or parametrizations of embedding or encoder are for torch to run"),
        (limited, "options of the embedding, such as max_norm, are left to torch"),
        (unbiased, "the encoder, LSTM, was replaced by one that the compiled kernels do not know"),
        (mixed, "the weights are float64, or of several types, not float32 or float64"),
        (lambda model: model.bfloat16(), "the weights are bfloat16, or of several types, not float32 or float64"),
        (lambda model: model.to("meta"), "the weights lie on meta, which torch's own kernels are for"),
    ],
)
def test_what_the_kernels_cannot_run_goes_by_torchs(
    change: Callable[[RNNClassifier], RNNClassifier], reason: str
) -> None:
    plan = plan_training(change(small()), LENGTHS, is_subclass=False)
    assert (plan.backend, plan.scope, plan.reason) == ("padded", "layers", reason)


def test_options_and_contexts_that_leave_work_to_torch() -> None:
    def plan(**options: Any) -> Any:
        return explain_execution(small(**options), pad_collate([(sequence, 0) for sequence in IDS]))

    assert plan(execution="packed").reason == "execution='packed' was asked for"
    assert plan(weight_dropout=0.1).reason == "weight_dropout draws from torch's generator"
    assert plan(cell=nn.LSTMCell).backend == "cells"
    assert plan(execution="padded", recurrent_dropout=0.1).backend == "cells"
    assert plan(execution="packed", truncate_steps=2).backend == "padded"
    assert plan(pooling=strategies.SumAndCount(4)).reason == "the pooling, SumAndCount, is left to torch"
    assert plan_training(Subclass(3, vocab_size=7), LENGTHS, is_subclass=True).scope == "classifier"
    with torch.autocast("cpu"):
        assert plan().reason == "autocast is on"
    with pytest.warns(UserWarning, match="Anomaly Detection"), torch.autograd.detect_anomaly():
        assert plan().reason == "anomaly mode watches autograd"
    handle = nn.modules.module.register_module_forward_hook(lambda *_: None)
    assert plan().backend != "native"
    handle.remove()
    assert plan().scope == "training step"


def test_torchs_kernels_are_chosen_by_how_much_padding_there_is() -> None:
    lstm, gru = (small(cell=cell, pooling="mean") for cell in ("lstm", "gru"))
    for model in (lstm, gru):
        model.encoder.register_forward_hook(lambda *_: None)
    for lengths, backend in ([4, 4], "padded"), ([4, 2], "padded"), ([9, 1, 1, 1], "packed"):
        assert lstm.plan(torch.tensor(lengths)).backend == backend
    assert gru.plan(torch.tensor([4, 4])).backend == "padded"
    assert gru.plan(torch.tensor([4, 2])).backend == "packed"
    for bidirectional, backend in ((False, "padded"), (True, "packed")):
        assert small(bidirectional=bidirectional).to("meta").plan(LENGTHS).backend == backend


def test_hooks_are_called() -> None:
    calls: list[str] = []
    for name in ("", "embedding", "encoder", "pooling", "head"):
        model = small(pooling="mean")
        model.get_submodule(name).register_forward_hook(lambda *_, name=name: calls.append(name))
        model(pack_sequence(IDS))
    assert calls == ["", "embedding", "encoder", "pooling", "head"]


def test_hooks_of_a_model_are_called_in_fit() -> None:
    train, calls = strategies.letters_dataset(), []
    model = RNNClassifier.for_dataset(train, hidden_size=4, seed=0)
    model.register_forward_hook(lambda *_: calls.append(1))
    fit(model, train, epochs=40, batch_size=20, learning_rate=0.02, progress=False)
    assert len(calls) == 3 * 40


class Doubled(RNNClassifier):
    """A model whose logits are its own."""

    def forward(self, *arguments: Any, **options: Any) -> Tensor:
        return 2 * super().forward(*arguments, **options)


def test_a_subclass_and_hooks_are_called_wherever_answers_are_asked_for() -> None:
    train, calls = strategies.letters_dataset(), []
    plain = RNNClassifier.for_dataset(train, hidden_size=4, seed=0)
    expected = predict_proba(plain, ["abc"])[0] ** 2
    own = Doubled.for_dataset(train, hidden_size=4, seed=0)
    for found in (predict_proba(own, ["abc"])[0], Predictor(own).predict_proba("abc")):
        np.testing.assert_allclose(found, expected / expected.sum(), rtol=1e-5)
    plain.register_forward_hook(lambda *_: calls.append(1))
    predict_proba(plain, ["abc"])
    Predictor(plain).predict("abc")
    assert len(calls) == 2


@pytest.mark.parametrize("change", [other_head, hooked("pooling"), normed, hooked("encoder"), unbiased, limited])
def test_models_with_other_parts_train_alike_by_all_kernels(change: Any) -> None:
    packed, found = pack_sequence(IDS, enforce_sorted=False), []
    for execution in ("auto", "padded", "packed"):
        torch.manual_seed(0)
        model = change(small(execution=execution, pooling="mean"))
        logits = model(packed)
        torch.autograd.backward(cross_entropy(logits, LABELS))
        found.append([logits.detach(), *(parameter.grad for parameter in model.parameters())])
    for tensors in found[1:]:
        assert all(torch.allclose(one, other, atol=1e-12) for one, other in zip(tensors, found[0], strict=True))


# As a function that autograd knows.


def batch_of(sequences: list[Tensor]) -> PackedSequence:
    return pack_sequence(sequences, enforce_sorted=False)


def gradients(model: RNNClassifier, inputs: PackedSequence, labels: Tensor) -> list[Tensor]:
    model.zero_grad()
    torch.autograd.backward(cross_entropy(model(inputs), labels))
    return [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]


@pytest.mark.parametrize("cell", BUILT_IN)
def test_two_graphs_at_once_do_not_share_their_memory(cell: Any) -> None:
    model, judge = small(cell=cell, num_layers=2), small(cell=cell, num_layers=2, execution="padded")
    expected = gradients(judge, batch_of(IDS), LABELS)
    loss = cross_entropy(model(batch_of(IDS)), LABELS)
    torch.autograd.backward(cross_entropy(model(batch_of(IDS[1:])), LABELS[1:]))  # between the two of the first
    model.zero_grad()
    torch.autograd.backward(loss)
    for own, one in zip(model.parameters(), expected, strict=True):
        assert torch.allclose(own.grad, one, atol=1e-12)


def test_a_graph_that_is_kept_is_gone_through_again() -> None:
    model = small()
    expected = gradients(model, batch_of(IDS), LABELS)
    loss = cross_entropy(model(batch_of(IDS)), LABELS)
    found = []
    for keep in (True, True, False):
        model.zero_grad()
        torch.autograd.backward(loss, retain_graph=keep)
        found.append([parameter.grad for parameter in model.parameters()])  # which must not share their memory
    for tensors in found:
        assert all(torch.equal(one, other) for one, other in zip(tensors, expected, strict=True))
    with pytest.raises(RuntimeError, match="second time"):
        torch.autograd.backward(loss)


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
    train = strategies.letters_dataset()
    model = RNNClassifier.for_dataset(train, hidden_size=4, seed=0)
    assert model.embedding is not None
    model.embedding.weight.requires_grad_(False)
    before = model.embedding.weight.clone()
    fit(model, train, epochs=1, progress=False)
    assert torch.equal(model.embedding.weight, before)
    assert model.embedding.weight.grad is None
    assert model.head.weight.grad is not None


@pytest.mark.parametrize("ids", [[9, 2, 2], [9], [-1]])
def test_unknown_ids(ids: list[int]) -> None:
    for context in (torch.enable_grad, torch.no_grad):
        for execution in ("auto", "padded"):
            with context(), pytest.raises(InvalidDataError, match=r"ids must be from 0 to 6; got others\. Encode with"):
                small(execution=execution)(batch_of([torch.tensor(ids)]))


def test_inputs_on_another_device_are_refused() -> None:
    with pytest.raises(InvalidDataError, match="inputs must lie where the model does, on the cpu; got meta"):
        small()(torch.zeros(1, 3, dtype=torch.int64, device="meta"), torch.tensor([3]))


def test_training_after_inference_mode() -> None:
    model = small(bidirectional=True, hidden_size=5)
    with torch.inference_mode():
        model(batch_of(IDS))
    expected = gradients(small(bidirectional=True, hidden_size=5, execution="padded"), batch_of(IDS), LABELS)
    for own, one in zip(gradients(model, batch_of(IDS), LABELS), expected, strict=True):
        assert torch.allclose(own, one, atol=1e-12)


# Sizes are checked before the kernels see them.


def test_sequences_must_lie_within_their_steps() -> None:
    one = np.array([0])
    for starts, lengths in (
        (np.array([-1]), one),
        (one, np.array([4])),
        (np.array([2]), np.array([2])),
        (one, one[:0]),
    ):
        with pytest.raises(InvalidDataError, match="sequences must lie within the 3 steps that there are"):
            NativeBatch(torch.tensor([2, 3, 4]), starts, lengths)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine_kernels, "MOST_STEPS", 3)
        with pytest.raises(InvalidDataError, match=r"a batch must have less than 3 steps; got 3\. Pass smaller"):
            NativeBatch(torch.tensor([2, 3, 4]), one, np.array([3]))
    with pytest.raises(InvalidDataError, match="starts and lengths must be contiguous int64; got int32"):
        NativeBatch(torch.tensor([2, 3, 4]), one.astype(np.int32), one)


def test_weights_must_fit_each_other() -> None:
    model = small()
    model.head = nn.Linear(5, 3).double()
    with pytest.raises(InvalidArgumentError, match="weights must fit each other"):
        model(batch_of(IDS))
    parts = small().parts
    targets = [torch.empty(1) for _ in parts.weights()]
    with pytest.raises(InvalidArgumentError, match="gradients must be contiguous, of the shapes and the type"):
        NativeModel(parts, gradients=targets)


def test_an_instruction_set_that_is_not_there() -> None:
    with pytest.raises(InvalidArgumentError, match=r"the instruction set must be one of 'plain'.*; got 'mmx'"):
        kernels().use("mmx")


# Threads and processes.


def test_many_threads_predict_and_train_at_once() -> None:
    train = strategies.letters_dataset(count=120)
    model = RNNClassifier.for_dataset(train, hidden_size=24, num_layers=2, bidirectional=True, seed=0)
    texts = ["abc", "cab", "bbbbb", "a"] * 30
    expected, predictor = predict_proba(model, texts), Predictor(model)

    def trained() -> Tensor:
        other = copy.deepcopy(model)
        fit(other, train, epochs=2, progress=False)
        return other.head.weight.detach()

    weight, wrong = trained(), []

    def work(number: int) -> None:
        for _ in range(3):
            right = [
                np.array_equal(predict_proba(model, texts), expected),
                np.array_equal(predictor.predict_proba(texts[number % 4]), expected[number % 4]),
                number % 4 > 0 or torch.equal(trained(), weight),
            ]
            if not all(right):
                wrong.append((number, right))

    workers = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert wrong == []
    assert model.training


@pytest.mark.processes
@pytest.mark.skipif(not hasattr(os, "fork"), reason="only Unix forks")
def test_a_forked_process_answers() -> None:
    """torch's threads are lost in the child, and whoever waits for them waits for ever."""
    code = """
import os, numpy as np, torch
from seqclf import RNNClassifier, SequenceDataset, evaluate, fit, predict_proba
torch.set_num_threads(2)
torch.randn(300, 300) @ torch.randn(300, 300)
torch.randn(1_000_000).exp()
pairs = [("".join(np.random.default_rng(i).choice(list("abcd"), 9)), "xy"[i % 2]) for i in range(3000)]
data = SequenceDataset.from_pairs(pairs)
model = RNNClassifier.for_dataset(data, hidden_size=64, num_layers=2, bidirectional=True, seed=0)
fit(model, data, epochs=1, progress=False)
texts = [text for text, _ in pairs]
before = predict_proba(model, texts)
child = os.fork()
if child == 0:
    same = np.array_equal(predict_proba(model, texts), before)
    evaluate(model, data)
    fit(model, data, epochs=1, progress=False)
    os._exit(0 if same else 3)
assert os.waitpid(child, 0)[1] == 0
print("answered")
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.stdout.strip() == "answered", done.stderr


# Without the kernels.


@pytest.mark.processes
def test_without_the_kernels_torchs_do_it_all_and_one_warning_says_so() -> None:
    code = """
import warnings
from pathlib import Path
import numpy as np
from seqclf.engine import library as module
from seqclf import *
from tests import strategies
data = strategies.letters_dataset()
def answers():
    model = RNNClassifier.for_dataset(data, hidden_size=8, bidirectional=True, dropout=0.2, seed=0).double()
    fit(model, data, epochs=2, progress=False)
    return predict_proba(model, ["abc", "c"]), evaluate(model, data).loss, Predictor(model).predict("abc")
native = answers()
module.FOLDER = Path("nowhere")
module.library.cache_clear()
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    warnings.filterwarnings("ignore", "the training accuracy came to")
    other = answers()
np.testing.assert_allclose(native[0], other[0], atol=1e-9)
assert abs(native[1] - other[1]) < 1e-9 and native[2] == other[2]
print([warning.category.__name__ for warning in caught], str(caught[0].message)[:52])
print(module.describe_engine())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=False)
    assert done.stdout.splitlines() == [
        "['SeqclfWarning'] seqclf runs by torch's kernels, which is several tim",
        "torch's kernels, as the compiled ones could not be loaded",
    ], done.stderr


# The functions under the gates.


@pytest.mark.parametrize(("dtype", "ulps"), [(np.float32, 3), (np.float64, 3)])
def test_exp_sigmoid_and_tanh_are_good_to_a_few_ulps(dtype: Any, ulps: int) -> None:
    rng = np.random.default_rng(0)
    special = [
        0.0,
        -0.0,
        np.inf,
        -np.inf,
        np.nan,
        1e-30,
        -1e-30,
        88.0,
        -88.0,
        87.0,
        708.5,
        -745.0,
        1e30,
        -1e30,
        9.1,
        -20.0,
    ]
    x = np.concatenate([rng.uniform(-20, 20, 4096), rng.uniform(-100, 100, 4096), rng.normal(0, 1e-3, 4096), special])
    x = x.astype(dtype)
    exact = x.astype(np.longdouble)
    with np.errstate(over="ignore", under="ignore"):
        judges = (np.exp(np.minimum(exact, 0)), 1 / (1 + np.exp(-exact)), np.tanh(exact))
    for name in kernels().sets:
        with instruction_set(name):
            found = [np.empty_like(x) for _ in range(3)]
            inputs = (np.minimum(x, dtype(0)), x, x)
            for wanted in range(3):
                room = [np.empty_like(x) for _ in range(3)]
                pointers = [one.ctypes.data for one in (np.ascontiguousarray(inputs[wanted]), *room)]
                kernels().activations(kernels().kinds[dtype == np.float64], len(x), *pointers)
                found[wanted] = room[wanted]
        for one, judge in zip(found, judges, strict=True):
            tiny, eps = np.finfo(dtype).tiny, np.finfo(dtype).eps
            error = np.abs(one.astype(np.longdouble) - judge) / np.maximum(eps * np.abs(judge), tiny)
            finite = ~np.isnan(x)
            assert float(error[finite].max()) <= ulps, (name, x[finite][error[finite].argmax()])
            assert np.isnan(one[~finite]).all()
        assert np.array_equal(np.signbit(found[2])[finite], np.signbit(x)[finite])


def test_tiny_numbers_count_whatever_the_mode_of_the_processor() -> None:
    """Threads have a mode each, so one that takes tiny numbers for zero would differ from the others."""
    model = small().float().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1e-19)  # products are then denormal
    expected = run_batch(model, IDS)
    try:
        assert torch.set_flush_denormal(True) or pytest.skip("this processor has no such mode")
        assert torch.equal(run_batch(model, IDS), expected)
        assert float(torch.tensor([1e-39]) * 1.0) == 0.0  # and the mode is as it was
    finally:
        torch.set_flush_denormal(False)


def test_keys_may_lie_apart_in_memory() -> None:
    model = small(dropout=0.5).train()
    apart = torch.arange(8)[::2]
    assert not apart.is_contiguous()
    assert torch.equal(model(batch_of(IDS), keys=apart), model(batch_of(IDS), keys=apart.contiguous()))


def test_a_training_batch_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    train = strategies.letters_dataset()
    monkeypatch.setattr(engine_kernels, "MOST_STEPS", 3)
    with pytest.raises(InvalidDataError, match=r"a batch must have less than 3 steps; got \d+\. Pass smaller batches"):
        fit(RNNClassifier.for_dataset(train, hidden_size=4, seed=0), train, epochs=1, progress=False)
