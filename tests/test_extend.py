"""Growing models: what is new changes nothing of what was there, and is no better off than the rest."""

import copy
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from seqclf import (
    Predictor,
    RNNClassifier,
    SequenceDataset,
    Vocabulary,
    calibrate,
    evaluate,
    export,
    fit,
    load,
    pad_collate,
    predict,
    predict_proba,
    save,
    verify_batching,
)
from seqclf.data.ngrams import keys_of_windows, rekey
from seqclf.errors import InvalidArgumentError, InvalidDataError
from tests import reference, strategies

# Where torch's kernels run, sums go by the number of classes; compiled ones change no bit.
TOLERANCES = {torch.float64: 1e-12, torch.float32: 1e-5}
KNOWN = Vocabulary(range(2, strategies.VOCAB_SIZE))
TEXTS = strategies.letters_dataset(count=40)
MORE = [("abd", "d"), ("cd", "d"), ("ab", "b"), ("eec", "c"), ("ba", "a")]
new_classes = st.lists(st.integers(0, 9), max_size=5)
new_symbols = st.lists(st.integers(2, 99), max_size=40)


@st.composite
def knowing(draw: st.DrawFn, **options: Any) -> tuple[RNNClassifier, list[Tensor]]:
    """A model that knows what its ids and classes stand for, and sequences of them."""
    model = draw(strategies.models(**options)).to(draw(st.sampled_from(list(TOLERANCES))))
    model.classes = (0, 1, 2)
    if model.input_size is not None:
        return model, draw(strategies.feature_sequences())
    model.vocabulary = KNOWN
    return model, [ids.clamp(min=2) for ids in draw(strategies.id_sequences())]


def logits_of(model: RNNClassifier, sequences: list[Tensor], **options: Any) -> Tensor:
    batch = pad_collate([(sequence, 0) for sequence in sequences])
    with torch.no_grad():
        return model(batch.inputs, batch.lengths, **options)


def assert_as_before(model: RNNClassifier, found: Tensor, expected: Tensor) -> None:
    """Bit for bit by the compiled kernels, else up to rounding."""
    assert found.shape == expected.shape
    if model.plan_inference(torch.ones(1, dtype=torch.int64)).scope == "classifier":
        assert torch.equal(found, expected)
    else:
        scale = max(1.0, float(expected.abs().max()))
        assert float((found - expected).abs().max()) <= TOLERANCES[expected.dtype] * scale


def texts_model(**options: Any) -> RNNClassifier:
    return RNNClassifier.for_dataset(TEXTS, **{"hidden_size": 6, "seed": 0, **options})


def dataset_for(model: RNNClassifier, pairs: list[Any] = MORE, **options: Any) -> SequenceDataset:
    return SequenceDataset.from_pairs(pairs, vocabulary=model.vocabulary, classes=model.classes, **options)


@given(knowing(), new_classes, new_symbols)
def test_logits_of_what_was_known_stay(
    made: tuple[RNNClassifier, list[Tensor]], classes: list[int], symbols: list[int]
) -> None:
    model, sequences = made
    before, kept = logits_of(model, sequences), copy.deepcopy(model.state_dict())
    larger = model.extend(classes, symbols if model.input_size is None else [])
    after = logits_of(larger, sequences)
    assert_as_before(model, after[:, :3], before)
    for column in range(3, after.shape[1]):  # what is new is in the midst of the others
        torch.testing.assert_close(after[:, column], before.mean(1), rtol=1e-4, atol=1e-4)
    assert larger.classes == tuple(dict.fromkeys([0, 1, 2, *classes]))
    assert larger.num_classes == len(larger.classes) == larger.head.out_features == after.shape[1]
    if model.input_size is None:
        assert larger.vocabulary == Vocabulary(dict.fromkeys([*KNOWN.symbols, *symbols]))
        assert larger.vocabulary is not None
        assert larger.vocab_size == len(larger.vocabulary)
    assert all(torch.equal(value, kept[name]) for name, value in model.state_dict().items())
    assert {one.data_ptr() for one in model.parameters()}.isdisjoint(one.data_ptr() for one in larger.parameters())


@given(knowing(cells=strategies.BUILT_IN_CELLS), new_classes, new_symbols)
def test_the_answer_stays_and_what_is_new_is_no_likelier_than_the_others(
    made: tuple[RNNClassifier, list[Tensor]], classes: list[int], symbols: list[int]
) -> None:
    model, tensors = made
    sequences = [one.tolist() for one in tensors] if model.input_size is None else tensors
    larger = model.extend(classes, symbols if model.input_size is None else [])
    before, after = predict_proba(model, sequences), predict_proba(larger, sequences)
    shares = after[:, :3].sum(1)
    assert (shares >= 3 / larger.num_classes - 1e-6).all()
    np.testing.assert_allclose(after[:, :3] / shares[:, None], before, rtol=1e-4, atol=1e-6)
    assert predict(larger, sequences) == predict(model, sequences)
    predictor = Predictor(larger)
    np.testing.assert_allclose([predictor.predict_proba(one) for one in sequences], after, rtol=1e-4, atol=1e-6)


@given(
    strategies.seeds,
    st.sampled_from(("rare", 0.3)),
    st.sampled_from((None, 2, (2, 3))),
    st.sampled_from(strategies.BUILT_IN_CELLS),
    st.booleans(),
)
def test_training_drops_of_what_was_known_the_same(
    seed: int, symbol_dropout: Any, ngrams: Any, cell: Any, native: bool
) -> None:
    model = texts_model(
        seed=seed, symbol_dropout=symbol_dropout, ngrams=ngrams, ngram_dropout=0.3 if ngrams else 0.0, cell=cell
    )
    model.execution = "auto" if native else "padded"
    larger, batch = model.extend(["d"], "dxyz"), TEXTS.batch(range(20))
    assert model.training
    assert larger.training
    before, after = (one(batch.inputs, batch.lengths, keys=batch.indices) for one in (model, larger))
    torch.testing.assert_close(after[:, :3], before, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(before, model.infer(batch.inputs, batch.lengths))  # something was dropped


@given(strategies.id_sequences(), st.integers(1, 4), st.integers(strategies.VOCAB_SIZE, 200), st.integers(0, 200))
def test_ngrams_are_numbered_anew(sequences: list[Tensor], order: int, base: int, more: int) -> None:
    ids = pad_collate([(sequence, 0) for sequence in sequences]).inputs
    assert isinstance(ids, Tensor)
    keys = keys_of_windows(ids, order, base)
    expected = keys_of_windows(ids, order, base + more)
    assert torch.equal(torch.where(keys < 0, -1, rekey(keys, base, base + more)), expected)
    known = torch.tensor(sorted(set(keys[keys >= 0].tolist())), dtype=torch.int64)
    assert torch.equal(rekey(known, base, base + more), rekey(known, base, base + more).sort().values)


@given(strategies.seeds, st.sampled_from((None, 2, (2, 3))), st.sampled_from((None, "both")))
def test_a_new_symbol_begins_in_the_midst_of_the_others(seed: int, ngrams: Any, positions: Any) -> None:
    model = texts_model(seed=seed, ngrams=ngrams, positions=positions).double().eval()
    larger = model.extend(symbols=["x"])
    assert larger.embedding is not None
    assert model.embedding is not None
    torch.testing.assert_close(larger.embedding.weight[-1], model.embedding.weight[2:].mean(0))
    assert not larger.embedding.weight[0].any()
    assert larger.embedding.num_embeddings == len(larger.embedding.weight) == model.embedding.num_embeddings + 1
    sequences = [larger.vocabulary.encode(text) for text in ("axb", "x", "ab")]
    torch.testing.assert_close(logits_of(larger, sequences), reference.logits(larger, sequences))


def test_where_no_symbol_is_known_a_new_one_begins_as_the_unknown() -> None:
    larger = RNNClassifier(2, vocab_size=2, vocabulary=Vocabulary("")).extend(symbols="a")
    assert larger.embedding is not None
    assert torch.equal(larger.embedding.weight[2], larger.embedding.weight[1])


@given(strategies.record_datasets(), st.integers(1, 3), st.data())
def test_records_context_and_several_labels(
    made: tuple[SequenceDataset, list[Any], Any], count: int, data: st.DataObject
) -> None:
    dataset, records, context = made
    model = data.draw(strategies.record_models(dataset))
    if model.multi_label:
        model.thresholds.copy_(torch.tensor(data.draw(st.lists(st.floats(0.1, 0.9), min_size=3, max_size=3))))
    larger = model.extend([f"new {place}" for place in range(count)])
    before = predict_proba(model, records, context=context)
    after = predict_proba(larger, records, context=context)
    own, answers = predict(model, records, context=context), predict(larger, records, context=context)
    if model.multi_label:
        assert np.array_equal(after[:, :3], before)
        assert [tuple(one for one in labels if one in "xyz") for labels in answers] == own
        assert all(one or not labels for one, labels in zip(own, answers, strict=True))  # nothing new comes alone
        assert torch.equal(larger.thresholds, torch.cat([model.thresholds, model.thresholds.max().expand(count)]))
    else:
        assert answers == own
        np.testing.assert_allclose(after[:, :3] / after[:, :3].sum(1)[:, None], before, rtol=1e-4, atol=1e-6)
        assert (after[:, :3].sum(1) >= 3 / (3 + count) - 1e-6).all()


@pytest.mark.parametrize("options", [{}, {"ngrams": 2, "positions": "both"}, {"cell": "gru", "bidirectional": False}])
def test_all_goes_on_with_a_larger_model(options: Any, tmp_path: Path) -> None:
    model = texts_model(**options)
    fit(model, TEXTS, epochs=15, batch_size=8, progress=False)
    larger = model.extend(*model.unknown(MORE))
    assert (larger.classes, larger.vocabulary) == (("a", "b", "c", "d"), model.vocabulary.extend("de"))
    save(larger, tmp_path / "larger.safetensors")
    again = load(tmp_path / "larger.safetensors")
    sequences = [sequence for sequence, _ in MORE]
    assert np.array_equal(predict_proba(again, sequences), predict_proba(larger, sequences))
    assert export(again, tmp_path / "larger.onnx") < 1e-5
    assert verify_batching(again, sequences).passed
    pairs = [*MORE * 8, *[(text, text[-1]) for text in ("aab", "ccb", "cab", "bca", "abc", "aac")] * 8]
    more = dataset_for(again, pairs)
    fit(again, more, epochs=40, batch_size=8, progress=False)
    assert evaluate(again, more).accuracy == 1
    assert predict(again, ["aad", "aab"]) == ["d", "b"]
    assert again.config | {"num_classes": 3, "vocab_size": 5} == model.config
    assert calibrate(again, more) > 0


def test_temperatures_stay() -> None:
    model = texts_model().eval()
    calibrate(model, TEXTS)
    before, after = logits_of(model, [TEXTS[0][0]]), logits_of(model.extend(["d"]), [TEXTS[0][0]])
    assert torch.equal(before, after[:, :3])


def test_how_often_training_has_a_symbol_says_how_often_it_is_dropped() -> None:
    model = texts_model(symbol_dropout="rare")
    assert model.symbol_counts is not None
    counted, plain = model.extend(symbols=Counter({"x": 3, "a": 9})), model.extend(symbols="xy")
    assert counted.symbol_counts is not None
    assert plain.symbol_counts is not None
    assert counted.symbol_counts.tolist() == [*model.symbol_counts.tolist(), 3]
    assert plain.symbol_counts.tolist() == [*model.symbol_counts.tolist(), 0, 0]
    with pytest.raises(InvalidArgumentError, match=r"symbols\['x'\] must be an integer of at least 0; got 'often'"):
        model.extend(symbols={"x": "often"})


def test_what_is_there_is_passed_over_and_nothing_makes_a_copy() -> None:
    model = texts_model(ngrams=2)
    for same in (model.extend(), model.extend(["a", "c"], "abcab"), model.extend(iter(()), {"a": 3}), model.extend({})):
        assert same is not model
        assert (same.classes, same.vocabulary, same.config) == (model.classes, model.vocabulary, model.config)
        assert all(torch.equal(one, model.state_dict()[name]) for name, one in same.state_dict().items())
    assert model.extend({"z", "y"}, {"z", "y"}).classes == ("a", "b", "c", "y", "z")
    assert model.extend(Counter(y=1), iter("yy")).vocabulary == model.vocabulary.extend(["y"])
    assert model.extend(np.array(["d"]), np.array(["x"])).classes == ("a", "b", "c", "d")


def test_frozen_weights_and_parts_of_ones_own_stay_as_they_are() -> None:
    pooling = strategies.SumAndCount(4)
    model = RNNClassifier(
        3,
        vocab_size=5,
        hidden_size=4,
        pooling=pooling,
        cell=nn.GRUCell,
        vocabulary=Vocabulary("abc"),
        classes=list("abc"),
    )
    model.head.requires_grad_(False)
    model.embedding.weight.requires_grad_(False)
    with torch.inference_mode():
        larger = model.eval().extend(["d"], "d")
    assert (larger.cell, larger.training) == (nn.GRUCell, False)
    assert type(larger.pooling) is strategies.SumAndCount
    assert larger.pooling is not pooling
    wanted = {name: one.requires_grad for name, one in model.named_parameters()}
    assert {name: one.requires_grad for name, one in larger.named_parameters()} == wanted
    assert not larger.head.weight.is_inference()
    logits_of(larger, [torch.tensor([2, 5])])
    model(torch.tensor([[2, 3]]), torch.tensor([2])).sum().backward()
    assert any(one.grad is not None for one in model.parameters())
    assert all(one.grad is None for one in model.extend().parameters())


def test_what_new_data_have_is_counted() -> None:
    model = texts_model()
    new = model.unknown([*MORE, ("xxé", "z"), ("abc", "a")])
    assert list(new.classes.items()) == [("d", 2), ("z", 1)]
    assert list(new.symbols.items()) == [("d", 2), ("e", 2), ("x", 2), ("é", 1)]
    assert new
    assert not model.unknown([("abc", "a")])
    assert not model.unknown([])
    assert model.unknown([("abc", "d")]) == (Counter(d=1), Counter())
    floats = strategies.random_features()
    traces = RNNClassifier.for_dataset(floats)
    assert traces.unknown([(np.zeros((2, 3)), 7), (np.zeros((2, 3)), 1)]) == (Counter({7: 1}), Counter())
    several = SequenceDataset.from_sequences(["ab", "b"], [["x"], ["x", "y"]], multi_label=True)
    tagged = RNNClassifier.for_dataset(several).unknown([("ac", ["x", "z"]), ("b", []), ("b", ["z"])])
    assert tagged == (Counter(z=2), Counter(c=1))
    tokens = SequenceDataset.from_pairs([(["to", "be"], "x"), (["or"], "y")])
    assert RNNClassifier.for_dataset(tokens).unknown([(["to", "go"], "x")]).symbols == Counter(go=1)
    words = SequenceDataset.from_pairs([("To be", "x"), ("or not", "y")], tokenizer="lowercase_words")
    assert RNNClassifier.for_dataset(words).unknown([("NOT so!", "x")]).symbols == Counter({"!": 1, "so": 1})
    strict = RNNClassifier(1, vocab_size=4, vocabulary=Vocabulary("ab", strict=True), classes=["x"])
    larger = strict.extend(*strict.unknown([("abc", "y")]))
    assert larger.vocabulary == Vocabulary("abc", strict=True)


def test_what_cannot_be_told_is_refused() -> None:
    pairs: Any = [("ab", "x"), "ab"]
    with pytest.raises(InvalidDataError, match=r"pairs must be \(sequence, label\) pairs; got 'ab' \(item 1\)"):
        texts_model().unknown(pairs)
    with pytest.raises(InvalidDataError, match="sequences must be strings for a vocabulary of text; got list"):
        texts_model().unknown([(["a"], "x")])
    with pytest.raises(InvalidArgumentError, match=r"model must have classes to tell what is unknown"):
        RNNClassifier(2, vocab_size=5, vocabulary=Vocabulary("abc")).unknown([("a", 0)])
    with pytest.raises(InvalidArgumentError, match=r"model must have a vocabulary to tell what is unknown"):
        RNNClassifier(2, vocab_size=5, classes=["a", "b"]).unknown([("a", "a")])


@pytest.mark.parametrize(
    ("classes", "error", "message"),
    [
        ("new", InvalidDataError, "classes must be a list, an array or a column.*got str"),
        (5, InvalidDataError, "classes must be a list, an array or a column.*got int"),
        ([None], InvalidArgumentError, "classes must be what labels of datasets can be: labels must be known"),
        ([["d"]], InvalidArgumentError, "classes must be what labels of datasets can be: labels must be hashable"),
        ([True], InvalidArgumentError, "classes must be what labels .*got True.*which equals the class 1"),
    ],
)
def test_what_is_no_class_is_refused(classes: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        RNNClassifier(2, vocab_size=4, vocabulary=Vocabulary("ab"), classes=[1, 2]).extend(classes)


@pytest.mark.parametrize(
    ("tokenizer", "fitting", "others", "message"),
    [
        (None, ["c", "é"], ["cd", "", 5, None], "symbols must be single characters for a vocabulary of text"),
        ("words", ["New", "!"], ["New York", " ", 5], "symbols must be what the tokenizer 'words' makes of texts"),
        ("lowercase_words", ["new"], ["New"], "symbols must be what the tokenizer 'lowercase_words' makes of texts"),
        ("bytes", [0, 255], [256, -1, "a", True], "symbols must be integers from 0 to 255 for one of bytes"),
        (str.split, ["New-York", ("a", 1)], [1.5, ("a", 1.5), float("nan"), ["a"], None], "symbols must be strings, "),
    ],
)
def test_symbols_are_of_the_kind_of_the_vocabulary(
    tokenizer: Any, fitting: list[Any], others: list[Any], message: str
) -> None:
    own = (lambda text: text.split()) if callable(tokenizer) else tokenizer
    vocabulary = Vocabulary.build(["a b", "b"], tokenizer=own)
    larger = vocabulary.extend([*fitting, *vocabulary.symbols])
    assert larger.symbols == (*vocabulary.symbols, *fitting)
    assert larger.tokenizer == vocabulary.tokenizer
    assert larger.encode("a b").tolist() == vocabulary.encode("a b").tolist()
    for other in others:
        with pytest.raises(InvalidArgumentError, match=message):
            vocabulary.extend([other])
    if tokenizer is not None:
        with pytest.raises(
            InvalidArgumentError, match="symbols must be in a list for a vocabulary of tokens; got 'new'"
        ):
            vocabulary.extend("new")
    with pytest.raises(InvalidDataError, match=r"symbols must be a list, an array or a column.*got int"):
        vocabulary.extend(7)


def test_a_vocabulary_of_tokens_takes_any_symbols_but_equal_ones_of_two_kinds() -> None:
    vocabulary = Vocabulary([1, "a"])
    assert vocabulary.extend([np.int64(7), b"x", ("a", 2), 1]).symbols == (1, "a", 7, b"x", ("a", 2))
    with pytest.raises(InvalidArgumentError, match="symbols must be of one kind; got True, which equals the symbol 1"):
        vocabulary.extend([True])
    assert vocabulary.count_unknown([[1, 2], [2, "b"]]) == Counter({2: 2, "b": 1})
    assert Vocabulary("ab").count_unknown([]) == Counter()
    assert Vocabulary("ab").count_unknown([[], []]) == Counter()


def test_what_there_is_nothing_to_add_to_is_refused() -> None:
    bare = RNNClassifier(2, vocab_size=5)
    with pytest.raises(InvalidArgumentError, match=r"model must have classes to be given more; got none. Set model.cl"):
        bare.extend(["c"])
    with pytest.raises(InvalidArgumentError, match="symbols must be left out for a model without a vocabulary; got"):
        bare.extend(symbols="c")
    with pytest.raises(
        InvalidArgumentError, match="symbols must be left out for a model of float sequences or records"
    ):
        RNNClassifier(2, input_size=3).extend(symbols=["c"])
    assert bare.extend((), []).config == bare.config


def test_parts_of_another_kind_are_refused() -> None:
    model = texts_model()
    model.head = nn.Linear(model.head.in_features, 3, bias=False)
    with pytest.raises(InvalidArgumentError, match=r"model must have the head that it was made with.*got Linear"):
        model.extend(["d"])
    model = texts_model()
    assert model.embedding is not None
    nn.utils.parametrizations.weight_norm(model.embedding)
    with pytest.raises(InvalidArgumentError, match=r"model must have the embedding.*got ParametrizedEmbedding"):
        model.extend(symbols="x")


def test_ngrams_limit_how_many_symbols_there_can_be() -> None:
    vocabulary = Vocabulary(range(200))
    model = RNNClassifier(2, vocab_size=202, vocabulary=vocabulary, ngrams=8)
    with pytest.raises(InvalidArgumentError, match=r"symbols must be so few.*for n-grams of 8; got 252 ids"):
        model.extend(symbols=range(200, 250))
    assert model.extend(symbols=range(200, 210)).vocab_size == 212
