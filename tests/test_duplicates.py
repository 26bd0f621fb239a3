"""Law 2, its ground: which sequences are equal, and what a report makes of it."""

import json
from collections import Counter, defaultdict
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from seqclf import SequenceDataset, Vocabulary
from seqclf.data import duplicates
from seqclf.data.duplicates import duplicate_groups, members
from seqclf.errors import InvalidArgumentError, InvalidDataError

TEXTS = st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=30)


def by_dictionary(items: list[Any]) -> list[int]:
    """Number equal items alike, in order of first appearance: what `duplicate_groups` must find."""
    numbers: dict[Any, int] = {}
    return [numbers.setdefault(item, len(numbers)) for item in items]


@given(TEXTS)
@example(["ab", "ba"])  # the same symbols in another order
@example(["a", "aa", "aaa"])  # the same symbol at other lengths
def test_equal_texts_share_a_group(texts: list[str]) -> None:
    dataset = SequenceDataset.from_pairs([(text, 0) for text in texts])
    assert dataset.groups.tolist() == by_dictionary(texts)
    assert [index for group in members(dataset.groups) for index in group] == sorted(
        range(len(texts)), key=lambda index: (dataset.groups[index], index)
    )


@given(st.lists(st.lists(st.sampled_from([0.0, -0.0, 1.0, -1.0]), min_size=1, max_size=3), min_size=1, max_size=12))
def test_equal_arrays_share_a_group_where_their_bits_are_equal(rows: list[list[float]]) -> None:
    arrays = [np.stack([np.array(row), np.ones(len(row))], axis=1) for row in rows]
    dataset = SequenceDataset.from_sequences(arrays, [0] * len(arrays))
    assert dataset.groups.tolist() == by_dictionary([array.astype(np.float32).tobytes() for array in arrays])


def test_a_hash_that_takes_all_for_equal_is_found_out_and_another_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    real, seeds = duplicates._hash, []

    def bad_at_first(steps: Any, offsets: Any, seed: int) -> Any:
        seeds.append(seed)
        hashes = real(steps, offsets, seed)
        return np.zeros_like(hashes) if seed < 2 else hashes

    monkeypatch.setattr(duplicates, "_hash", bad_at_first)
    for texts, numbers in ((["ab", "ba", "ab"], [0, 1, 0]), (["ab", "aba", "ab"], [0, 1, 0])):
        seeds.clear()
        store = SequenceDataset.from_pairs([(text, 0) for text in texts]).sequences
        assert duplicate_groups(store).tolist() == numbers
        assert seeds == [0, 1, 2]


@given(st.lists(st.tuples(st.text("ab", min_size=1, max_size=3), st.sampled_from("xyz")), min_size=1, max_size=30))
def test_the_report_counts_what_a_loop_counts(pairs: list[tuple[str, str]]) -> None:
    report = SequenceDataset.from_pairs(pairs, classes=list("xyz")).report()
    labels = defaultdict(list)
    for text, label in pairs:
        labels[text].append(label)
    assert (report.n, report.distinct) == (len(pairs), len(labels))
    assert report.most_repeated == max(map(len, labels.values()))
    assert report.ambiguous == sum(len(set(own)) > 1 for own in labels.values())
    best = sum(max(Counter(own).values()) for own in labels.values())
    assert report.ceiling == pytest.approx(best / len(pairs))
    assert report.class_counts == {label: sum(own == label for _, own in pairs) for label in "xyz"}
    assert report.class_distinct == {label: len({text for text, own in pairs if own == label}) for label in "xyz"}
    assert report.majority == max(report.class_counts.values()) / len(pairs)
    assert json.loads(json.dumps(report.to_dict()))["distinct"] == len(labels)


@given(
    st.lists(st.tuples(st.text("ab", min_size=1, max_size=3), st.sampled_from("xy")), min_size=1, max_size=15),
    st.lists(st.tuples(st.text("ab", min_size=1, max_size=3), st.sampled_from("xy")), min_size=1, max_size=15),
)
def test_leakage_is_what_two_sets_share(train: list[tuple[str, str]], test: list[tuple[str, str]]) -> None:
    vocabulary = Vocabulary("ab")
    first, second = (
        SequenceDataset.from_pairs(pairs, vocabulary=vocabulary, classes=list("xy")) for pairs in (train, test)
    )
    leakage = first.report(second).leakage
    assert leakage is not None
    texts = {text for text, _ in train}
    assert leakage.shared == sum(text in texts for text, _ in test)
    assert leakage.shared_with_label == sum(pair in set(train) for pair in test)
    assert leakage.n == len(test)
    seen = set("".join(texts))
    assert leakage.unseen_steps == sum(symbol not in seen for text, _ in test for symbol in text)


def test_no_classifier_beats_the_ceiling_and_a_table_reaches_it() -> None:
    pairs = [("a", "x"), ("a", "x"), ("a", "y"), ("b", "y"), ("b", "x")]
    report = SequenceDataset.from_pairs(pairs).report()
    answers = [{"a": one, "b": two} for one in "xy" for two in "xy"]
    assert report.ceiling == max(sum(table[text] == label for text, label in pairs) for table in answers) / len(pairs)


def test_unknown_symbols_and_far_lengths_are_found() -> None:
    train = SequenceDataset.from_pairs([("ab", "x"), ("ba", "y")])
    texts = ["ab", "aq", "qq", "ba", "ab", "ab", "ab", "ab", "a" * 40]
    test = SequenceDataset.from_pairs(
        [(text, "x") for text in texts], vocabulary=train.vocabulary, classes=train.classes
    )
    report = test.report()
    assert (report.unknown_steps, report.unknown_sequences, report.steps) == (3, 2, 56)
    assert report.length_outliers == (8,)
    assert report.length_quartiles == (2, 2, 2, 2, 40)
    floats = SequenceDataset.from_sequences([np.ones((2, 1)), np.zeros((3, 1))], [0, 1]).report()
    assert (floats.unknown_steps, floats.distinct, floats.steps) == (0, 2, 5)


def test_the_report_reads_as_a_page() -> None:
    train = SequenceDataset.from_pairs([("ab", "x"), ("ab", "y"), ("ba", "y")])
    page = repr(train.report(train.subset([0])))
    assert "3, 2 of them distinct; the most frequent occurs 2 times" in page
    assert "1 have several labels, so accuracy is 66.7 % at most" in page
    assert "1 of 1 sequences of the other set (100.0 %) occur here too, 1 (100.0 %) with the same label" in page
    assert "y             2         2   66.7 %" in page


def test_the_page_in_full() -> None:
    train = SequenceDataset.from_pairs([("ab", "x"), ("ab", "y"), ("ba", "y"), ("abba", "y")])
    other = SequenceDataset.from_pairs(
        [("ab", "x"), ("ba", "x"), ("aa", "y"), ("bb", "y")], vocabulary=train.vocabulary, classes=train.classes
    )
    page = repr(train.report(other))
    assert "lengths      2 to 4, quartiles 2, 2, 2.5; 0 outliers" in page
    assert "2 of 4 sequences of the other set (50.0 %) occur here too, 1 (25.0 %) with the same label" in page
    table = page[page.index("\n\n") + 2 :].splitlines()
    assert table == [
        "class     count  distinct    share",
        "y             3         3   75.0 %",
        "x             1         1   25.0 %",
    ]
    content = train.report(other).to_dict()
    assert content["class_counts"] == {"x": 1, "y": 3}
    assert content["class_distinct"] == {"x": 1, "y": 3}
    assert content["length_quartiles"] == [2, 2, 2, 2.5, 4]
    assert json.loads(json.dumps(content)) == content


def test_lengths_far_out_are_three_times_the_middle_half_away() -> None:
    lengths = [40, 42, 44] * 9 + [27, 28, 29, 55, 56, 57]  # the middle half is 40 to 44, so 28 and 56 are the bounds
    report = SequenceDataset.from_pairs([("a" * length, "x") for length in lengths]).report()
    assert report.length_quartiles == (27, 40, 42, 44, 57)
    assert report.length_outliers == (27, 32)


def test_leakage_needs_the_same_encoding() -> None:
    one, other = (SequenceDataset.from_pairs([(text, "x")]) for text in ("ab", "cd"))
    with pytest.raises(InvalidArgumentError, match=r"other must be encoded like this dataset; got .* vocabulary="):
        one.report(other)


def test_a_report_needs_data() -> None:
    dataset = SequenceDataset.from_pairs([("ab", "x")])
    with pytest.raises(InvalidDataError, match=r"dataset must hold at least one sequence; got none"):
        dataset.subset([]).report()
    with pytest.raises(InvalidArgumentError, match=r"other must be a SequenceDataset; got list"):
        dataset.report([("ab", "x")])


def test_the_fingerprint_changes_with_all_that_matters() -> None:
    pairs = [("ab", "x"), ("b", "y")]
    dataset = SequenceDataset.from_pairs(pairs)
    others = [
        SequenceDataset.from_pairs([("ba", "x"), ("b", "y")], vocabulary=dataset.vocabulary),
        SequenceDataset.from_pairs([("a", "x"), ("bb", "y")], vocabulary=dataset.vocabulary),
        SequenceDataset.from_pairs([("ab", "y"), ("b", "x")]),
        SequenceDataset.from_pairs([("ab", "x"), ("b", "z")]),
        SequenceDataset.from_pairs([("cd", "x"), ("d", "y")]),
        SequenceDataset.from_pairs(pairs, vocabulary=Vocabulary("ab")),
        SequenceDataset.from_pairs(pairs, vocabulary=Vocabulary("ab", strict=True)),
        SequenceDataset.from_pairs(pairs[::-1], vocabulary=dataset.vocabulary),
        SequenceDataset.from_sequences([torch.ones(2, 1), torch.ones(1, 1)], ["x", "y"]),
    ]
    prints = [one.fingerprint for one in (dataset, *others)]
    assert len(set(prints)) == len(prints)
    assert SequenceDataset.from_pairs(pairs).fingerprint == dataset.fingerprint
