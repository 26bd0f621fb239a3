"""The scikit-learn estimator: scikit-learn's own checks, its tools, and what they find is what the library gives."""

import importlib
import pickle
import sys
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import make_blobs
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

from seqclf import SequenceDataset, fit, predict, predict_proba
from seqclf.callbacks import EarlyStopping
from seqclf.errors import InvalidArgumentError, InvalidDataError, MissingDependencyError
from seqclf.models.classifier import RNNClassifier
from seqclf.models.pooling import AttentionPooling
from seqclf.reading import fold_ascii
from seqclf.sklearn import SequenceClassifier

WORDS = ["aab", "aba", "bba", "bab", "aa", "ba", "b", "abb"] * 6
LABELS = ["starts a", "starts a", "starts b", "starts b", "starts a", "starts b", "starts b", "starts a"] * 6
ONCE = ["".join(letters) for length in (2, 3, 4) for letters in product("ab", repeat=length)]  # 28 words
quick = partial(SequenceClassifier, hidden_size=16, epochs=20, batch_size=8, learning_rate=0.02)

_STEPS = "a column of a two-dimensional array is a step of a series, not a feature, and lengths may differ"
EXEMPT = {
    "check_n_features_in": _STEPS,
    "check_n_features_in_after_fitting": _STEPS,
    "check_classifiers_train": _STEPS + "; what else it checks is tested here",
    "check_fit2d_predict1d": _STEPS + ", so the error asks for other things than to reshape",
    "check_estimators_empty_data_messages": "a series without steps is refused in words of its own",
    "check_sample_weight_equivalence_on_dense_data": "repeated sequences make other batches than weighted ones; with "
    "one batch the law holds, and is tested in test_training",
    "check_sample_weight_equivalence_on_sparse_data": "1.6.0 asks it of those without sparse input too",
}


def their_checks() -> list[Any]:
    """List scikit-learn's checks; one that is exempt may pass, as some do on data that happen to suit."""
    checks = []
    for estimator, check in estimator_checks_generator(quick(epochs=30)):
        name = getattr(check, "func", check).__name__
        exempt = [pytest.mark.xfail(reason=EXEMPT[name], strict=False)] if name in EXEMPT else []
        checks.append(pytest.param(estimator, check, id=name, marks=exempt))
    return checks


@pytest.mark.parametrize(("estimator", "check"), their_checks())
def test_the_checks_of_scikit_learn(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize("convert", [np.asarray, np.ndarray.tolist])
def test_series_are_learned_as_scikit_learn_wants(convert: Any) -> None:
    series, labels = make_blobs(n_samples=300, random_state=0)
    series = convert(StandardScaler().fit_transform(series))
    labels = np.array(["red", "green", "blue"])[labels]
    model = quick(epochs=30).fit(series, labels)
    assert model.classes_.tolist() == ["blue", "green", "red"]
    assert model.score(series, labels) > 0.83
    probabilities = model.predict_proba(series)
    assert (model.classes_[probabilities.argmax(1)] == model.predict(series)).all()
    assert np.allclose(model.predict_log_proba(series), np.log(probabilities), atol=1e-6)


def test_it_is_fit_and_predict_of_the_library() -> None:
    estimator = SequenceClassifier(epochs=3, hidden_size=8, random_state=5, class_weight="balanced").fit(WORDS, LABELS)
    seed = int(np.random.RandomState(5).randint(2**31 - 1))
    train = SequenceDataset.from_sequences(WORDS, LABELS)
    model = RNNClassifier.for_dataset(train, hidden_size=8, seed=seed)
    history = fit(model, train, epochs=3, class_weight="balanced", seed=seed, progress=False)
    assert history["loss"] == estimator.history_["loss"]
    assert predict(model, ["ab", "q"]) == estimator.predict(["ab", "q"]).tolist()
    assert np.array_equal(predict_proba(model, ["ab", "q"]), estimator.predict_proba(["ab", "q"]))


@pytest.mark.processes
def test_the_tools_of_scikit_learn_work_on_lists_of_strings() -> None:
    assert cross_val_score(quick(), WORDS, LABELS, cv=3).mean() == 1.0
    search = GridSearchCV(quick(), {"hidden_size": [4, 8], "cell": ["gru"]}, cv=2, n_jobs=2).fit(WORDS, LABELS)
    assert search.best_params_["cell"] == "gru"
    assert search.predict(["aaaa", "bbaa"]).tolist() == ["starts a", "starts b"]
    fold = FunctionTransformer(lambda words: [fold_ascii(word) for word in words])
    pipeline = Pipeline([("fold", fold), ("classify", quick())]).fit(WORDS, LABELS)
    assert pipeline.predict(["áa"]).tolist() == pipeline.predict(["aa"]).tolist() == ["starts a"]
    calibrated = CalibratedClassifierCV(quick(), cv=2).fit(WORDS, LABELS)
    assert np.allclose(calibrated.predict_proba(WORDS).sum(1), 1)


@pytest.mark.parametrize(
    "words",
    [np.array(WORDS), np.array(WORDS, dtype=object), tuple(WORDS), [list(word) for word in WORDS]],
    ids=["array", "objects", "tuple", "tokens"],
)
def test_kinds_of_sequences(words: Any) -> None:
    assert quick().fit(words, LABELS).score(words, np.array(LABELS)) == 1.0


def test_ragged_features_and_numbered_labels() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2 * 3
    traces = [rng.normal(size=(rng.integers(2, 9), 2)) + label - 1.5 for label in labels]
    model = quick(model_options={"standardize": True}).fit(traces, labels)
    assert model.predict(traces).dtype == labels.dtype
    assert model.score(traces, labels) == 1.0
    first = quick(model_options={"channels_first": True}).fit([trace.T for trace in traces], labels)
    assert first.score([trace.T for trace in traces], labels) == 1.0


def test_copies_are_equal(tmp_path: Any) -> None:
    model = quick().fit(WORDS, LABELS)
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again.predict_proba(WORDS), model.predict_proba(WORDS))
    with pytest.raises(NotFittedError):
        clone(model).predict(WORDS)
    assert clone(model).set_params(cell="gru").get_params()["cell"] == "gru"
    same = clone(model).fit(WORDS, LABELS)
    assert np.array_equal(same.predict_proba(WORDS), model.predict_proba(WORDS))


def test_a_pooling_that_is_a_parameter_is_not_trained() -> None:
    pooling = AttentionPooling(16)
    before = pooling.hidden.weight.detach().clone()
    model = quick(pooling=pooling, epochs=2).fit(WORDS, LABELS)
    assert torch.equal(pooling.hidden.weight, before)
    assert not torch.equal(model.model_.pooling.hidden.weight, before)


@pytest.mark.parametrize("number", [float, np.float32])
def test_lists_of_numbers_are_series_wherever_the_floats_stand(number: Any) -> None:
    series = [[0, number(0.5)], [number(1.5), 2, 3], [1, number(0.25)], [number(1.0), 1]]
    found = quick(epochs=1).fit(series, [0, 1, 0, 1])
    assert found.model_.input_size == 1
    arrays = [np.array(one, dtype=np.float64) for one in series]
    assert np.array_equal(found.predict_proba(series), found.predict_proba(arrays))
    assert quick(epochs=1).fit([[1, 2], [3]], [0, 1]).model_.input_size is None
    whole = quick(epochs=1, model_options={"empty": "zero"}).fit([[], [0.5]], [0, 1])
    assert whole.predict([[]]).shape == (1,)
    with pytest.raises(InvalidDataError, match=r"sequences of numbers must be arrays .* \(sequence 1\)"):
        quick().fit([[[0.5, 1.0]], [[0.5], [1.0, 2.0]]], [0, 1])


def test_where_training_fails_all_stays_as_it_was() -> None:
    model = quick(epochs=1)
    with pytest.raises(InvalidArgumentError):
        model.set_params(hidden_size=0).fit(WORDS, LABELS)
    with pytest.raises(NotFittedError):
        model.predict(WORDS)
    before = model.set_params(hidden_size=4).fit(WORDS, LABELS).predict(WORDS)
    with pytest.raises(InvalidArgumentError):
        model.set_params(hidden_size=0).fit(WORDS, ["P", "Q"] * 24)
    assert np.array_equal(model.predict(WORDS), before)


@pytest.mark.parametrize("options", [{"fit_options": {"seed": 1}}, {"model_options": {"cell": "gru"}}])
def test_further_options_are_further_ones(options: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"_options must not name what the estimator sets itself; got \["):
        quick(**options).fit(WORDS, LABELS)


def test_early_stopping_keeps_some_apart_and_no_sequence_on_both_sides() -> None:
    seen: list[int] = []
    model = quick(
        epochs=50,
        min_freq=2,
        early_stopping=EarlyStopping(patience=1, min_delta=0.05),
        validation_fraction=0.25,
        fit_options={"callbacks": [lambda end: seen.append(end.epoch)]},
    ).fit(ONCE, [word[0] for word in ONCE], sample_weight=np.ones(len(ONCE)))
    assert model.history_.stopped_by == "early_stopping"
    assert len(model.history_["val_loss"]) == len(seen) < 50
    without = quick(epochs=2, early_stopping=EarlyStopping(monitor="loss")).fit(WORDS, LABELS)
    assert "val_loss" not in without.history_.measures


def test_weights_and_other_optimisers_are_passed_on() -> None:
    weight = np.where(np.array(LABELS) == "starts a", 0.0, 1.0)
    sgd = partial(torch.optim.SGD, lr=0.1)
    model = quick(optimizer=sgd, learning_rate=None, model_options={"empty": "zero"})
    assert set(model.fit([*WORDS, ""], [*LABELS, "starts b"], [*weight, 1.0]).predict(WORDS)) == {"starts b"}


@pytest.mark.parametrize(
    ("options", "words", "labels", "message"),
    [
        ({}, "abc", LABELS, r"sequences must be a list, an array or a column, .*; got str"),
        ({}, WORDS, None, r"requires y to be passed, but the target y is None"),
        ({}, WORDS, [np.inf] * len(WORDS), r"labels must be finite; got inf \(sequence 0\)"),
        ({}, np.ones((3, 2)) * 1j, LABELS, r"Complex data not supported"),
        ({"model_options": {"empty": "skip"}}, WORDS, LABELS, r"empty must be 'error' or 'zero' here; got 'skip'"),
        ({"hidden_size": 0}, WORDS, LABELS, r"hidden_size must be an integer of at least 1; got 0"),
        ({"min_freq": 0}, WORDS, LABELS, r"min_freq must be an integer of at least 1; got 0"),
    ],
)
def test_bad_arguments(options: Any, words: Any, labels: Any, message: str) -> None:
    with pytest.raises((InvalidDataError, InvalidArgumentError), match=message):
        SequenceClassifier(**options).fit(words, labels)


def test_frames_of_numbers_are_arrays_and_of_one_column_columns() -> None:
    series = np.random.default_rng(0).normal(size=(8, 3))
    labels = [0, 1] * 4
    by_array, by_frame = (quick(epochs=1).fit(X, labels).predict_proba(X) for X in (series, pd.DataFrame(series)))
    assert np.array_equal(by_array, by_frame)
    frame = pd.DataFrame({"word": WORDS, "letter": LABELS})
    by_list, by_column = (quick(epochs=1).fit(X, LABELS).predict_proba(X) for X in (WORDS, frame[["word"]]))
    assert np.array_equal(by_list, by_column)
    with pytest.raises(InvalidDataError, match="sequences must be one column"):
        quick().fit(frame, LABELS)


def test_sparse_matrices_are_refused() -> None:
    from scipy.sparse import csr_matrix

    with pytest.raises(InvalidDataError, match=r"must not be a sparse matrix\. Pass X\.toarray"):
        quick().fit(csr_matrix(np.eye(2)), [0, 1])


def test_without_scikit_learn_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.base", None)
    monkeypatch.delitem(sys.modules, "seqclf.sklearn")
    with pytest.raises(MissingDependencyError, match=r'pip install "seqclf\[sklearn\]"'):
        importlib.import_module("seqclf.sklearn")
