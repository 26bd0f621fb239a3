"""Several models answer together: the mean of their probabilities, the same bits in any batch and order of models."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqclf import (
    RNNClassifier,
    SequenceDataset,
    Vocabulary,
    calibrate,
    evaluate,
    fit,
    load,
    predict,
    predict_proba,
    save,
)
from seqclf.errors import InvalidArgumentError, InvalidDataError
from tests import strategies


def letters(text: str) -> list[str]:
    return list(text)


DATA = strategies.letters_dataset(count=40)
LABELS = ("a", "b", "c")
LETTERS_AS_TOKENS = Vocabulary(["a", "b", "c"], tokenizer=letters)
VOCABULARIES = (DATA.vocabulary, Vocabulary("abc"), Vocabulary("cb"), LETTERS_AS_TOKENS)
texts = st.lists(st.text("abc", min_size=1, max_size=6), min_size=1, max_size=20)


def make(vocabulary: Vocabulary | None = DATA.vocabulary, **options: Any) -> RNNClassifier:
    """Make a small model over letters, sure enough of itself that models differ."""
    assert vocabulary is not None
    options = {"cell": "gru", "hidden_size": 3, "embedding_dim": 3, "seed": 0, "classes": LABELS, **options}
    model = RNNClassifier(3, vocab_size=len(vocabulary), vocabulary=vocabulary, **options)
    with torch.no_grad():
        model.head.weight.mul_(10)
    return model


@st.composite
def groups(draw: st.DrawFn, vocabularies: tuple[Any, ...] = VOCABULARIES, **options: Any) -> list[RNNClassifier]:
    """Some models of one task, whose cells, sizes, types and vocabularies differ."""
    found = [
        make(
            draw(st.sampled_from(vocabularies)),
            cell=draw(st.sampled_from((*strategies.BUILT_IN_CELLS, strategies.TutorialCell))),
            bidirectional=draw(st.booleans()),
            hidden_size=draw(st.integers(1, 4)),
            pooling=draw(st.sampled_from(strategies.POOLINGS)),
            execution=draw(st.sampled_from(("auto", "padded"))),
            seed=draw(strategies.seeds),
            **options,
        )
        for _ in range(draw(st.integers(2, 9)))
    ]
    return [model.double() if draw(st.booleans()) else model for model in found]


@st.composite
def native_groups(draw: st.DrawFn) -> list[RNNClassifier]:
    """Such models that the compiled kernels run, for which batches change no bit."""
    seeds = draw(st.lists(strategies.seeds, min_size=2, max_size=9))
    return [make(draw(st.sampled_from(VOCABULARIES)), seed=seed) for seed in seeds]


def softmax(logits: Any) -> Any:
    return np.exp(logits - logits.max(1, keepdims=True)) / np.exp(logits - logits.max(1, keepdims=True)).sum(1)[:, None]


def logits_of(model: RNNClassifier, text: str) -> Any:
    assert model.vocabulary is not None
    ids = model.vocabulary.encode(text)
    return model.infer(ids[None], torch.tensor([len(ids)])).detach().double().numpy()


@pytest.mark.filterwarnings("ignore:no symbol is known")
@given(groups(), texts)
def test_probabilities_are_the_mean_of_those_of_each(models: list[RNNClassifier], sequences: list[str]) -> None:
    found = predict_proba(models, sequences)
    for text, row in zip(sequences, found, strict=True):
        expected = np.mean([softmax(logits_of(model, text))[0] for model in models], axis=0)
        np.testing.assert_allclose(row, expected, rtol=1e-4, atol=1e-6)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found.sum(1), 1)
    assert predict(models, sequences) == [LABELS[place] for place in found.argmax(1)]
    for pairs, row in zip(predict(models, sequences, top=2), found, strict=True):
        assert [probability for _, probability in pairs] == sorted(row, reverse=True)[:2]


@pytest.mark.filterwarnings("ignore:no symbol is known")
@given(native_groups(), texts, st.integers(1, 7), st.data())
def test_neither_batches_nor_the_order_of_models_change_a_bit(
    models: list[RNNClassifier], sequences: list[str], block: int, data: st.DataObject
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("seqclf.inference.average._BLOCK_SEQUENCES", block)
        found = predict_proba(models, sequences)
    assert np.array_equal(found, predict_proba(models, sequences))
    assert np.array_equal(found, np.concatenate([predict_proba(models, [text]) for text in sequences]))
    order = data.draw(st.permutations(models))
    assert np.array_equal(found, predict_proba(order, (text for text in sequences)))
    assert predict(order, sequences) == [label for text in sequences for label in predict(models, [text])]


@given(groups(vocabularies=(DATA.vocabulary,)), st.integers(1, 50))
def test_an_evaluation_is_of_the_mean(models: list[RNNClassifier], block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("seqclf.inference.average._BLOCK_SEQUENCES", block)
        result = evaluate(models, DATA, metrics={"kept": lambda p, _: p.numpy()}, groups=range(len(DATA)))
        again = evaluate(models[::-1], DATA)
        found, answers = predict_proba(models, DATA), predict(models, DATA)
    assert np.array_equal(result.metrics["kept"], found)
    assert [DATA.classes[place] for place in result.predictions] == answers
    np.testing.assert_allclose(result.losses, -np.log(found[range(len(DATA)), DATA.labels.numpy()]), rtol=1e-9)
    assert result.confidences is not None
    assert np.array_equal(result.confidences, found.max(1))
    assert np.array_equal(result.losses, again.losses)
    assert np.array_equal(result.predictions, again.predictions)


def test_a_class_that_no_model_takes_for_possible_costs_no_infinity() -> None:
    models = [make(seed=seed) for seed in range(2)]
    for model in models:
        with torch.no_grad():
            model.head.bias.copy_(torch.tensor([0.0, 2000.0, 0.0]))
    losses = evaluate(models, DATA).losses
    assert np.isfinite(losses).all()
    assert losses.max() > 1900


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("kind", [list, tuple])
def test_the_average_of_one_is_that_model(multi_label: bool, kind: Callable[[list[Any]], Any]) -> None:
    data = several_labels() if multi_label else DATA
    model = RNNClassifier.for_dataset(data, hidden_size=3, seed=0)
    one, sequences = kind([model]), ["abc", "c", "aa"]
    for call in (predict, predict_proba, lambda m, s: predict(m, s, top=2), lambda m, s: predict_proba(m, s[:1])):
        assert np.array_equal(call(one, sequences), call(model, sequences))
    assert predict_proba(one, sequences).dtype == np.float32
    alone, listed = evaluate(model, data), evaluate(one, data)
    assert np.array_equal(alone.losses, listed.losses)
    assert np.array_equal(alone.predictions, listed.predictions)
    same = RNNClassifier.for_dataset(data, hidden_size=3, seed=0)
    assert calibrate([same], data) == calibrate(model, data)
    assert np.array_equal(predict_proba(model, sequences), predict_proba(same, sequences))


def several_labels() -> SequenceDataset:
    sequences = ["abc", "ab", "c", "ccb", "aa", "b", "acb"]
    return SequenceDataset.from_sequences(sequences, [set(one) for one in sequences], multi_label=True)


def test_several_labels_are_those_whose_mean_reaches_the_mean_threshold() -> None:
    data = several_labels()
    models = [RNNClassifier.for_dataset(data, hidden_size=3, seed=seed) for seed in range(3)]
    for place, model in enumerate(models):
        model.thresholds.fill_(0.4 + 0.1 * place)
    found = predict_proba(models, data)
    np.testing.assert_allclose(found, np.mean([predict_proba(model, data) for model in models], 0), rtol=1e-6)
    assert predict(models, data) == [tuple(np.array(LABELS)[row >= 0.5]) for row in found]
    result = evaluate(models, data)
    assert result.probabilities is not None
    assert np.array_equal(result.probabilities, found)
    assert np.array_equal(result.predictions, found >= 0.5)
    before = result.micro_f1
    assert calibrate(models, data) > 0
    assert evaluate(models, data).micro_f1 >= before
    assert all(torch.equal(model.thresholds, models[0].thresholds) for model in models)


@pytest.mark.parametrize(("empty", "answers"), [("skip", False), ("zero", True)])
def test_empty_sequences_are_left_out_or_answered(empty: Any, answers: bool) -> None:
    models = [make(seed=seed, empty=empty) for seed in range(2)]
    assert np.isfinite(predict_proba(models, ["ab", ""])).all(1).tolist() == [True, answers]
    assert [label is not None for label in predict(models, ["", "ab"])] == [answers, True]
    assert [pairs is not None for pairs in predict(models, ["", "ab"], top=2)] == [answers, True]
    data = SequenceDataset.from_pairs(
        [("a", "a"), ("", "b"), ("c", "c")], vocabulary=DATA.vocabulary, classes=LABELS, allow_empty=True
    )
    assert evaluate(models, data).n == (3 if answers else 2)
    assert len(predict(models, [])) == len(predict_proba(models, [])) == 0


@given(strategies.record_datasets(), st.data())
def test_records_and_context_are_averaged(made: tuple[SequenceDataset, list[Any], Any], data: st.DataObject) -> None:
    dataset, records, context = made
    models = [data.draw(strategies.record_models(dataset)) for _ in range(2)]
    found = predict_proba(models, records, context=context)
    parts = [predict_proba(model, records, context=context) for model in models]
    np.testing.assert_allclose(found, np.mean(parts, 0), rtol=1e-4, atol=1e-6)
    assert np.array_equal(found, predict_proba(models, dataset))


def test_models_must_agree() -> None:
    records = SequenceDataset.from_pairs([([{"n": 1.0}], "a"), ([{"n": 2.0}], "b"), ([{"n": 2.0}], "c")])
    floats = {"input_size": 2, "classes": LABELS}
    for other, wrong in [
        (make(classes=("b", "a", "c")), r"agree in classes.*got \('a', 'b', 'c'\) in model\[0\] and \('b', 'a', 'c'\)"),
        (make(classes=None), r"agree in classes to be averaged.*None in model\[1\]"),
        (RNNClassifier(2, vocab_size=5), "agree in num_classes to be averaged; got 3 in .* and 2 in .*several seeds"),
        (make(multi_label=True), "agree in multi_label"),
        (RNNClassifier(3, **floats), "agree in input_size to be averaged; got None in .* and 2 in"),
        (make(empty="skip"), "agree in empty"),
    ]:
        for call in (predict, predict_proba):
            with pytest.raises(InvalidArgumentError, match=wrong):
                call([make(), other], ["ab"])
        with pytest.raises(InvalidArgumentError, match=wrong):
            evaluate([make(), other], DATA)
        with pytest.raises(InvalidArgumentError, match=wrong):
            calibrate([make(), other], DATA)
    with pytest.raises(InvalidArgumentError, match="agree in channels_first"):
        predict([RNNClassifier(3, **floats), RNNClassifier(3, channels_first=True, **floats)], [])
    with pytest.raises(InvalidArgumentError, match=r"agree in fields to be averaged; got None in .* and \['n'\] in"):
        predict([RNNClassifier(3, input_size=1, classes=LABELS), RNNClassifier.for_dataset(records)], [])


def test_what_is_no_model_is_refused() -> None:
    nothing: list[RNNClassifier] = []
    wrong: Any = "model.safetensors"
    with pytest.raises(InvalidArgumentError, match="model must be an RNNClassifier, or a list of some; got an empty"):
        predict(nothing, ["ab"])
    with pytest.raises(InvalidArgumentError, match=r"model\[1\] must be an RNNClassifier; got str"):
        predict_proba([make(), wrong], ["ab"])
    with pytest.raises(InvalidArgumentError, match="model must be an RNNClassifier; got str"):
        evaluate(wrong, DATA)
    model = make()
    with pytest.raises(InvalidArgumentError, match="models must be distinct to be calibrated in place; got one"):
        calibrate([model, make(), model], DATA)


def test_a_dataset_is_for_one_vocabulary_and_raw_sequences_for_any() -> None:
    models = [make(), make(Vocabulary("cab"), seed=1)]
    assert len(predict(models, ["abc", "c"])) == 2
    for call in (predict, predict_proba, evaluate, calibrate):
        with pytest.raises(InvalidDataError, match=r"must be encoded with the model's vocabulary.*\(for model\[1\]\)$"):
            call(models, DATA)
    tokens = make(Vocabulary(["a", "b"]))
    with pytest.raises(InvalidDataError, match=r"must be lists, tuples.*\(sequence 0\).*\(for model\[1\]\)"):
        predict([make(), tokens], ["ab"])


def loss_of_mean(models: list[RNNClassifier], data: SequenceDataset) -> float:
    """Return the mean cross-entropy of the mean, with targets of which n + 1 in n + 2 are the label, by a loop."""
    n, total = len(data), 0.0
    for row, label in zip(predict_proba(models, data), data.labels.tolist(), strict=True):
        for index, probability in enumerate(row):
            share = (n + 1) / (n + 2) if index == label else 1 / (n + 2) / (len(row) - 1)
            total -= share * np.log(probability) / n
    return total


@given(st.lists(st.floats(0.05, 5.0), min_size=2, max_size=4), strategies.seeds)
def test_one_temperature_makes_the_loss_of_the_mean_least(sharpness: list[float], seed: int) -> None:
    models = [make(seed=seed + place).double() for place in range(len(sharpness))]
    for model, factor in zip(models, sharpness, strict=True):
        scale_logits(model, factor)
    before = loss_of_mean(models, DATA)
    temperature = calibrate(models, DATA)
    after = loss_of_mean(models, DATA)
    assert after <= before + 1e-9
    for factor in np.geomspace(0.2, 3, 11):  # no other within the bounds is better
        for model in models:
            scale_logits(model, factor)
        if 0.05 <= temperature / factor <= 20:
            assert loss_of_mean(models, DATA) >= after - 1e-4  # the search ends up to 0.01 % beside it
        for model in models:
            scale_logits(model, 1 / factor)


def scale_logits(model: RNNClassifier, factor: float) -> None:
    with torch.no_grad():
        model.head.weight.mul_(factor)
        model.head.bias.mul_(factor)


def test_files_hold_what_a_group_was_calibrated_to(tmp_path: Path) -> None:
    rest, test = DATA.split(0.3, seed=0)
    models = [RNNClassifier.for_dataset(rest, hidden_size=8, seed=seed) for seed in range(3)]
    for seed, model in enumerate(models):
        fit(model, rest, epochs=8, seed=seed, progress=False)
    calibrate(models, test)
    for place, model in enumerate(models):
        save(model, tmp_path / f"{place}.safetensors")
    again = [load(tmp_path / f"{place}.safetensors") for place in range(3)]
    assert np.array_equal(predict_proba(models, test), predict_proba(again, test))
    assert evaluate(again, test).accuracy > 0.5
