"""What a model got wrong, figures by slice, measures of probabilities, and sequences read back."""

import csv
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score, top_k_accuracy_score

from seqclf import Evaluation, RNNClassifier, SequenceDataset, evaluate, predict, predict_proba
from seqclf.errors import InvalidArgumentError, MissingDependencyError
from seqclf.training.mistakes import Mistake, Mistakes

WORDS = [("aab", "x"), ("bb", "y"), ("aab", "x"), ("c", "z"), ("aab", "y"), ("abca", "z"), ("b", "x")] * 3
DATA = SequenceDataset.from_pairs(WORDS)
MODEL = RNNClassifier.for_dataset(DATA, seed=3)


def test_mistakes_are_the_wrong_answers_each_distinct_one_once_the_surest_first() -> None:
    found = evaluate(MODEL, DATA).mistakes(DATA)
    answers, probabilities = predict(MODEL, [word for word, _ in WORDS]), predict_proba(MODEL, [w for w, _ in WORDS])
    wrong = {(word, label) for (word, label), answer in zip(WORDS, answers, strict=True) if answer != label}
    assert {(row.sequence, row.label) for row in found} == wrong
    assert len(found) == len(wrong)
    assert sum(row.count for row in found) == sum(pair in wrong for pair in WORDS)
    assert [row.probability for row in found] == sorted((row.probability for row in found), reverse=True)
    some = evaluate(MODEL, DATA).mistakes(DATA, most=2)
    assert list(some) == list(found[:2])
    assert repr(some).startswith(f"{len(found)} mistakes, the 2 surest:")
    for row in found:
        assert WORDS[row.index] == (row.sequence, row.label)
        assert WORDS.index(WORDS[row.index]) == row.index
        by_class = dict(zip(DATA.classes, probabilities[row.index], strict=True))
        assert row.predicted == max(by_class, key=lambda label: by_class[label])
        assert row.probability == pytest.approx(by_class[row.predicted], abs=1e-6)
        assert row.label_probability == pytest.approx(by_class[row.label], abs=1e-6)


def test_sequences_that_the_model_leaves_out_keep_the_others_places() -> None:
    pairs = [("", "x"), ("aab", "x"), ("", "y"), ("bb", "y"), ("ab", "x"), ("ba", "y")]
    data = SequenceDataset.from_pairs(pairs, allow_empty=True)
    model = RNNClassifier.for_dataset(data, empty="skip", seed=0)
    found = evaluate(model, data).mistakes(data)
    assert len(found)
    for row in found:
        assert pairs[row.index] == (row.sequence, row.label)


def test_mistakes_of_several_labels_are_sets() -> None:
    data = SequenceDataset.from_sequences(["ab", "b", "a"], [{"x", "y"}, {"y"}, set()], multi_label=True)
    model = RNNClassifier.for_dataset(data, seed=0)
    result = evaluate(model, data)
    for row in result.mistakes(data):
        chances = dict(zip(data.classes, result.probabilities[row.index], strict=True))
        given_, own = set(row.predicted), set(row.label)
        assert given_ != own
        assert row.probability == pytest.approx(
            np.prod([chances[label] if label in given_ else 1 - chances[label] for label in data.classes])
        )


@pytest.mark.parametrize("other", [DATA[:5], SequenceDataset.from_pairs([(w, "x") for w, _ in WORDS]), 3])
def test_mistakes_of_another_dataset_are_refused(other: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"dataset must be the (one|SequenceDataset) that was measured"):
        evaluate(MODEL, DATA).mistakes(other)


def test_mistakes_look_like_a_table_and_are_written_whole(tmp_path: Path) -> None:
    rows = [Mistake(0, 'a,"b\n' * 20, "x", "y", 0.9, 0.1, 2), Mistake(1, [["p", 1.0]], ("x", "z"), (), 0.5, 0.2, 1)]
    found = Mistakes(rows * 15)
    assert repr(found).splitlines()[0] == "30 mistakes, the 20 surest:"
    assert len(repr(found).splitlines()) == 22
    assert max(map(len, repr(found).splitlines())) < 100
    assert "<table>" in found._repr_html_()
    assert repr(Mistakes([])) == "no mistakes"
    assert len(found[:3]) == 3
    assert found[1] is rows[1]
    found.write(tmp_path / "rows.csv")
    with (tmp_path / "rows.csv").open(encoding="utf-8", newline="") as file:
        read = list(csv.DictReader(file))
    assert read[0]["sequence"] == rows[0].sequence
    assert json.loads(read[1]["sequence"]) == rows[1].sequence
    assert (read[1]["label"], read[1]["predicted"], len(read)) == ("x; z", "", 30)
    Mistakes([Mistake(0, ["my", "card"], "x", "y", 0.9, 0.1, 1)]).write(tmp_path / "more.csv", {"line": [7]})
    assert (tmp_path / "more.csv").read_text(encoding="utf-8").splitlines()[1].startswith("7,0,my card,x,y,")
    found.write(tmp_path / "rows.tsv")
    assert (tmp_path / "rows.tsv").read_text(encoding="utf-8").startswith("index\tsequence\tlabel\t")
    Mistakes([Mistake(0, np.ones((2, 1)), 1, 0, 0.9, 0.1, 1)]).write(tmp_path / "rows.jsonl")
    assert json.loads((tmp_path / "rows.jsonl").read_text(encoding="utf-8"))["sequence"] == [[1.0], [1.0]]
    with pytest.raises(InvalidArgumentError, match=r"path must end in .csv, .tsv, .jsonl; got 'rows.xlsx'"):
        found.write("rows.xlsx")


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 3)), min_size=1, max_size=40))
def test_slices_are_a_partition_and_each_is_measured_alone(rows: list[tuple[int, int, int]]) -> None:
    labels, answers, values = (np.array(column) for column in zip(*rows, strict=True))
    result = Evaluation(np.linspace(0, 1, len(rows)), labels, answers, ("a", "b", "c"), lengths=values + 1)
    found = result.by(values)
    assert sum(part.n for part in found.values()) == result.n
    assert [part.n for part in found.values()] == sorted((part.n for part in found.values()), reverse=True)
    for value, part in found.items():
        assert part.accuracy == (labels == answers)[values == value].mean()
        assert part.loss == pytest.approx(result.losses[values == value].mean())
    bands = result.by("length")
    assert sum(part.n for part in bands.values()) == result.n
    assert len(repr(bands).splitlines()) == len(bands) + 1
    assert "<table>" in bands._repr_html_()


def test_slices_of_what_is_missing_are_told_apart() -> None:
    result = evaluate(MODEL, DATA)
    found = result.by([None, float("nan"), "web", *["app"] * (result.n - 3)])
    assert list(found) == ["app", "(missing)", "web"]
    assert len(found) == 3
    assert found["(missing)"].n == 2
    with pytest.raises(InvalidArgumentError, match=r"values must be 'length', or a value for each .*; got 'topic'"):
        result.by("topic")
    with pytest.raises(InvalidArgumentError, match="values must be as many as sequences; got 2 for 21"):
        result.by([1, 2])
    with pytest.raises(InvalidArgumentError, match="lengths must be known to tell bands"):
        Evaluation(result.losses, result.labels, result.predictions, result.classes).by("length")


def test_measures_of_probabilities_are_those_of_scikit_learn() -> None:
    result = evaluate(MODEL, DATA, keep_probabilities=True)
    assert result.probabilities is not None
    truth = np.eye(3)[result.labels]
    assert result.roc_auc == pytest.approx(roc_auc_score(truth, result.probabilities))
    assert result.average_precision == pytest.approx(average_precision_score(truth, result.probabilities))
    assert result.top_k_accuracy(3) == 1.0
    for k in (1, 2):
        assert result.top_k_accuracy(k) == pytest.approx(top_k_accuracy_score(result.labels, result.probabilities, k=k))
    assert result.subset(result.labels == 0).roc_auc == 0.5  # no class is told from another
    assert "confusion_matrix" in result.to_dict()


def test_measures_of_probabilities_need_them(monkeypatch: pytest.MonkeyPatch) -> None:
    result = evaluate(MODEL, DATA)
    needs = pytest.raises(InvalidArgumentError, match=r"probabilities must be known .* keep_probabilities=True")
    with needs:
        _ = result.roc_auc
    with needs:
        _ = result.average_precision
    with needs:
        result.top_k_accuracy(2)
    several = SequenceDataset.from_sequences(["ab", "b"], [{"x", "y"}, {"y"}], multi_label=True)
    found = evaluate(RNNClassifier.for_dataset(several, seed=0), several)
    with pytest.raises(InvalidArgumentError, match="top_k_accuracy must have one label for each sequence"):
        found.top_k_accuracy(1)
    monkeypatch.setitem(sys.modules, "sklearn.metrics", None)
    with pytest.raises(MissingDependencyError, match="roc_auc must have scikit-learn"):
        _ = evaluate(MODEL, DATA, keep_probabilities=True).roc_auc


def test_coverage_is_the_share_of_sure_answers_and_how_many_are_right() -> None:
    result = evaluate(MODEL, DATA)
    assert result.coverage(0) == (1.0, result.accuracy)
    sure = np.sort(result.confidences)[-5]
    share, accuracy = result.coverage(float(sure))
    chosen = result.confidences >= sure
    assert share == chosen.mean()
    assert accuracy == result.hits[chosen].mean()
    assert result.coverage(0.9999999) == (0.0, 0.0)
    with pytest.raises(InvalidArgumentError, match="reject_below"):
        result.coverage(2)


@given(st.lists(st.text(min_size=1), min_size=1, max_size=5))
def test_a_text_is_read_back_as_it_was(texts: list[str]) -> None:
    data = SequenceDataset.from_sequences(texts, range(len(texts)))
    assert [data.decode(index) for index in range(len(data))] == texts


def test_other_sequences_are_read_back_as_far_as_they_are_known() -> None:
    tokens = SequenceDataset.from_pairs([(["a", "bc"], 0), (["bc"], 1)])
    assert tokens.decode(0) == ["a", "bc"]
    test = SequenceDataset.from_pairs([(["a", "new"], 0)], vocabulary=tokens.vocabulary, classes=tokens.classes)
    assert test.decode(0) == ["a", "<unk>"]
    series = np.arange(6.0).reshape(2, 3)
    assert np.array_equal(SequenceDataset.from_pairs([(series, 0)]).decode(0), series)
    assert np.array_equal(SequenceDataset.from_pairs([(series, 0)], channels_first=True).decode(0), series)
    records = [[{"page": "home", "seconds": 3.5}, {"page": None, "seconds": None}], [{"page": "cart", "seconds": 1.0}]]
    data = SequenceDataset.from_sequences(records, [0, 1], allow_missing=True)
    assert [data.decode(index) for index in range(2)] == records
    new = SequenceDataset.from_sequences([[{"page": "away", "seconds": 1.0}]], [0], fields=data.fields, classes=[0, 1])
    assert new.decode(0) == [{"page": "<unk>", "seconds": 1.0}]
