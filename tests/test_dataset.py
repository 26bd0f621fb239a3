"""SequenceDataset: what goes in comes out; law 2 for splits; and an own error for each kind of bad data."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqclf import RNNClassifier, SequenceDataset, Vocabulary, pad_collate
from seqclf.data.encode import encode_features
from seqclf.data.ragged import compact
from seqclf.errors import InvalidArgumentError, InvalidDataError, SeqclfWarning
from seqclf.reading.sequences import Sequences
from tests import strategies

Pairs = list[tuple[str, str]]


def raw_pairs(dataset: SequenceDataset) -> Pairs:
    """Return the pairs that a dataset of text was made from."""
    assert dataset.vocabulary is not None
    samples = [dataset[index] for index in range(len(dataset))]
    return [(str(dataset.vocabulary.decode(sequence)), dataset.classes[label]) for sequence, label in samples]


@given(strategies.labelled_texts(min_size=1))
def test_what_goes_in_comes_out(pairs: Pairs) -> None:
    dataset = SequenceDataset.from_pairs(pairs)
    assert raw_pairs(dataset) == pairs
    assert dataset.lengths.tolist() == [len(text) for text, _ in pairs]
    assert dataset.lengths.dtype == torch.int64
    assert list(dataset.classes) == sorted({label for _, label in pairs})


@given(strategies.labelled_texts(), st.data())
def test_gathered_batches_equal_collated_ones(pairs: Pairs, data: st.DataObject) -> None:
    dataset = SequenceDataset.from_pairs(pairs)
    indices = data.draw(st.lists(st.integers(0, len(pairs) - 1), min_size=1, max_size=9))
    gathered, collated = dataset.batch(indices), pad_collate(dataset.__getitems__(indices))
    assert torch.equal(gathered.inputs, collated.inputs)
    assert torch.equal(gathered.lengths, collated.lengths)
    assert torch.equal(gathered.labels, collated.labels)


@given(strategies.feature_sequences(), st.data())
def test_features_are_gathered_alike(sequences: list[torch.Tensor], data: st.DataObject) -> None:
    dataset = SequenceDataset.from_sequences(sequences, [0] * len(sequences))
    assert dataset.input_size == strategies.INPUT_SIZE
    assert dataset.vocabulary is None
    indices = data.draw(st.lists(st.integers(0, len(sequences) - 1), min_size=1, max_size=9))
    gathered = dataset.batch(indices).inputs
    assert torch.equal(gathered, pad_collate(dataset.__getitems__(indices)).inputs)
    assert torch.equal(dataset[0][0], sequences[0].float())


@given(strategies.labelled_texts(), st.data())
def test_a_subset_keeps_order_and_meaning(pairs: Pairs, data: st.DataObject) -> None:
    indices = data.draw(st.lists(st.integers(0, len(pairs) - 1), max_size=9))
    subset = SequenceDataset.from_pairs(pairs).subset(indices)
    assert raw_pairs(subset) == [pairs[index] for index in indices]


# Law 2: splits.


def split_or_none(pairs: Pairs, **options: Any) -> tuple[Pairs, Pairs] | None:
    """Split, or return None where the data leave a side empty, which is refused."""
    try:
        train, test = SequenceDataset.from_pairs(pairs).split(**options)
    except InvalidArgumentError:
        return None
    return raw_pairs(train), raw_pairs(test)


@given(strategies.labelled_texts(), st.sampled_from([0.1, 0.2, 0.5]), strategies.seeds, st.booleans(), st.booleans())
def test_a_split_is_a_partition(
    pairs: Pairs, test_size: float, seed: int, stratify: bool, group_duplicates: bool
) -> None:
    options = {"test_size": test_size, "seed": seed, "stratify": stratify, "group_duplicates": group_duplicates}
    parts = split_or_none(pairs, **options)
    if parts is None:
        return
    train, test = parts
    assert Counter(train) + Counter(test) == Counter(pairs)
    assert parts == split_or_none(pairs, **options)
    if group_duplicates:
        assert not {text for text, _ in train} & {text for text, _ in test}


@given(strategies.labelled_texts(), st.sampled_from([0.1, 0.2, 0.5]) | st.integers(1, 5), strategies.seeds)
def test_a_stratified_split_keeps_its_size_and_class_shares(pairs: Pairs, test_size: float, seed: int) -> None:
    parts = split_or_none(pairs, test_size=test_size, seed=seed, group_duplicates=False)
    if parts is None:
        return
    total, in_test = Counter(label for _, label in pairs), Counter(label for _, label in parts[1])
    wanted = test_size if isinstance(test_size, int) else round(test_size * len(pairs))
    assert len(parts[1]) == min(wanted, len(pairs) - len(total))
    assert all(in_test[label] < count for label, count in total.items()), "a class has left the training side"
    if all(wanted * count / len(pairs) <= count - 1 for count in total.values()):
        assert all(abs(in_test[label] - wanted * count / len(pairs)) < 1 for label, count in total.items())


@given(strategies.labelled_texts(), st.sampled_from([0.1, 0.2, 0.5]), strategies.seeds)
def test_no_group_could_move_to_bring_the_size_nearer(pairs: Pairs, test_size: float, seed: int) -> None:
    parts = split_or_none(pairs, test_size=test_size, seed=seed)
    if parts is None:
        return
    train, test = parts
    lacking = round(test_size * len(pairs)) - len(test)
    left = Counter(label for _, label in train)
    for text, size in Counter(text for text, _ in (train if lacking > 0 else test)).items():
        own = Counter(label for other, label in train if other == text)
        empties_a_class = lacking > 0 and any(left[label] == count for label, count in own.items())
        assert empties_a_class or not lacking or size > abs(lacking)


@given(strategies.labelled_texts(min_size=6), strategies.seeds, st.data())
def test_groups_stay_together_in_all_of_three_parts(pairs: Pairs, seed: int, data: st.DataObject) -> None:
    owners = data.draw(st.lists(st.sampled_from("abcdef"), min_size=len(pairs), max_size=len(pairs)))
    dataset = SequenceDataset.from_pairs(pairs)
    try:
        parts = dataset.split(validation_size=0.2, test_size=0.3, seed=seed, groups=owners)
    except InvalidArgumentError:
        return
    assert sum((Counter(raw_pairs(part)) for part in parts), Counter()) == Counter(pairs)
    texts = [{text for text, _ in raw_pairs(part)} for part in parts]
    of_parts = [{owner for owner, (text, _) in zip(owners, pairs, strict=True) if text in own} for own in texts]
    for sets in (texts, of_parts):
        assert not sets[0] & sets[1] | sets[0] & sets[2] | sets[1] & sets[2]


@given(strategies.labelled_texts(min_size=1))
def test_duplicates_are_dropped_in_order(pairs: Pairs) -> None:
    assert raw_pairs(SequenceDataset.from_pairs(pairs).drop_duplicates()) == list(dict.fromkeys(pairs))


@given(st.lists(st.sampled_from("rst"), min_size=4, max_size=30), strategies.seeds)
def test_three_parts_leave_something_of_each_class_to_train_on(labels: list[str], seed: int) -> None:
    data = SequenceDataset.from_pairs([(format(index, "b"), label) for index, label in enumerate(labels)])
    try:
        train, _, _ = data.split(validation_size=0.3, test_size=0.3, seed=seed)
    except InvalidArgumentError:
        return
    assert set(train.labels.tolist()) == set(data.labels.tolist())


def test_splits_of_a_number_and_of_other_seeds() -> None:
    dataset = strategies.letters_dataset(count=200)
    train, test = dataset.split(test_size=50, group_duplicates=False, stratify=False)
    assert (len(train), len(test)) == (150, 50)
    other = dataset.split(test_size=50, seed=1, group_duplicates=False)[1]
    assert raw_pairs(other) != raw_pairs(test)
    assert test.classes == dataset.classes
    assert test.vocabulary is dataset.vocabulary


def test_float_duplicates_stay_together() -> None:
    trace, other = np.ones((2, 3)), np.zeros((2, 3))
    dataset = SequenceDataset.from_sequences([trace, other, trace, other, trace], list("ababa"))
    train, test = dataset.split(test_size=0.4, stratify=False)
    assert sorted([len(train), len(test)]) == [2, 3]


def test_labels_of_any_hashable_kind() -> None:
    dataset = SequenceDataset.from_sequences(["a", "b", "c"], np.array([2, 1, 2]))
    assert dataset.classes == (1, 2)
    assert type(dataset.classes[0]) is int
    assert dataset.labels.tolist() == [1, 0, 1]
    dataset = SequenceDataset.from_pairs([("a", True), ("b", "x"), ("c", (1, 2))])
    assert len(dataset.classes) == 3


def test_ids_are_stored_compactly() -> None:
    assert SequenceDataset.from_pairs([("abc", 0)]).sequences.values.dtype == torch.uint8
    words = list(map(str, range(40_000)))
    many = SequenceDataset.from_pairs([(words[:300], 0)])
    assert many.sequences.values.dtype == torch.int16
    more = SequenceDataset.from_pairs([(words, 0)], vocabulary=Vocabulary(words))
    assert more.sequences.values.dtype == torch.int32
    assert more[0][0].tolist() == list(range(2, 40_002))
    assert more[0][0].dtype == torch.int64


def test_ids_of_the_largest_vocabularies_stay_wide() -> None:
    assert compact(torch.tensor([3]), size=2**40).dtype == torch.int64


def test_univariate_arrays_and_float32() -> None:
    dataset = SequenceDataset.from_pairs([(np.arange(3, dtype="float64"), "x"), (torch.ones(2), "y")])
    assert dataset.input_size == 1
    assert dataset[0][0].dtype == torch.float32
    assert dataset[0][0].shape == (3, 1)
    assert repr(dataset) == "SequenceDataset(2 sequences, 2 classes, lengths 2-3, 1 features)"


def test_negative_and_wrong_indices() -> None:
    dataset = strategies.letters_dataset(count=5)
    assert torch.equal(dataset[-1][0], dataset[4][0])
    with pytest.raises(IndexError, match="index must be from -5 to 4; got 5"):
        dataset[5]


NAN = float("nan")


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([], r"a dataset must hold at least one sequence; got none"),
        ([("ab", 0), ("", 1)], r"sequences must not be empty; got length 0 \(sequence 1\)"),
        ([(["a"], 0), ([], 1)], r"sequences must not be empty; got length 0 \(sequence 1\)"),
        ([(np.ones((2, 3)), 0), (np.ones((0, 3)), 1)], r"must not be empty; got length 0 \(sequence 1\)"),
        (["ab"], r"must be \(sequence, label\) pairs; got 'ab' \(item 0\)"),
        ([("ab", 0), ("ab", 0, 1)], r"must be \(sequence, label\) pairs; got .* \(item 1\)"),
        ([("ab", 0), (["a"], 1)], r"one kind .* got str \(sequence 0\) and list"),
        ([("ab", 0), (np.ones((2, 3)), 1)], r"one kind .* got str \(sequence 0\) and ndarray \(sequence 1\)"),
        ([(np.ones((2, 3)), 0), ([1], 1)], r"one kind .* got ndarray \(sequence 0\) and list \(sequence 1\)"),
        ([(np.ones((2, 3)), 0), (np.ones((2, 4)), 1)], r"must all have 3 features; got shape \(2, 4\) \(sequence 1\)"),
        ([(np.ones((2, 3, 1)), 0)], r"must have the shape \(T, F\); got \(2, 3, 1\) \(sequence 0\)"),
        (
            [(np.ones((2, 3)), 0), (np.array([[1, 2, 3], [1, NAN, 3]]), 1)],
            r"features must be finite numbers; got nan \(sequence 1, step 1, feature 1\)",
        ),
        ([(np.full((1, 1), np.inf), 0)], r"features must be finite numbers; got inf"),
        ([([0.5, 0.7], 0)], r"other than floats; got 0\.5 \(sequence 0, position 0\)\. Pass .* as a float array"),
        (
            [([[0.5], [0.7]], 0)],
            r"must be hashable; got list \(sequence 0, position 0\)\. Pass features as a float array",
        ),
        ([("ab", [1])], r"labels must be hashable; got list \(sequence 0\)"),
        ([("ab", "x"), ("b", None)], r"labels must be known; got None \(sequence 1\)\. Leave such sequences out"),
        ([("ab", 1.0), ("b", float("nan"))], r"labels must be known; got nan \(sequence 1\)"),
    ],
)
def test_bad_pairs(pairs: Any, message: str) -> None:
    with pytest.raises(InvalidDataError, match=message):
        SequenceDataset.from_pairs(pairs)


def test_bad_labels_and_vocabularies() -> None:
    with pytest.raises(InvalidDataError, match=r"3 labels for 2 sequences"):
        SequenceDataset.from_sequences(["a", "b"], [0, 1, 1])
    with pytest.raises(InvalidDataError, match=r"2 classes; got 'Grek' \(sequence 1\)\. Did you mean 'Greek'\?"):
        SequenceDataset.from_pairs([("a", "Greek"), ("b", "Grek")], classes=["Czech", "Greek"])
    with pytest.raises(InvalidArgumentError, match=r"classes must be distinct; got \['a', 'a'\]"):
        SequenceDataset.from_pairs([("a", "a")], classes=["a", "a"])
    with pytest.raises(InvalidDataError, match=r"which is strict; got 'z' \(sequence 1, position 0\)"):
        SequenceDataset.from_pairs([("a", 0), ("z", 0)], vocabulary=Vocabulary("a", strict=True))
    with pytest.raises(InvalidArgumentError, match=r"vocabulary must be None for float sequences"):
        SequenceDataset.from_pairs([(np.ones((1, 1)), 0)], vocabulary=Vocabulary("a"))
    with pytest.raises(InvalidDataError, match=r"float sequences must be float arrays or tensors; got tokens"):
        encode_features(Sequences("tokens", [[1]]))


@pytest.mark.parametrize("test_size", [0, 0.0, 1.0, -0.1, 5, True, "0.2", NAN])
def test_bad_test_sizes(test_size: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"test_size must be a part between 0 and 1, or a number"):
        strategies.letters_dataset(count=5).split(test_size)


def test_a_split_that_leaves_a_side_empty() -> None:
    dataset = SequenceDataset.from_pairs([("a", 0)] * 4)
    with pytest.raises(
        InvalidArgumentError,
        match=r"got 0\.2, which leaves the test side of 4 samples empty \(distinct: 1; the largest",
    ):
        dataset.split(0.2)
    each_once = SequenceDataset.from_pairs([(letter, letter) for letter in "abcd"])
    with pytest.raises(
        InvalidArgumentError, match=r"distinct: 4; the largest of 4 classes has 1\)\. .* stratify=False"
    ):
        each_once.split(0.2)
    assert len(each_once.split(0.25, stratify=False)[1]) == 1
    with pytest.raises(InvalidArgumentError, match=r"groups must be as many as sequences; got 1 for 4"):
        dataset.split(groups=["a"])
    with pytest.raises(InvalidArgumentError, match=r"groups must be known; got None \(sequence 1\)"):
        dataset.split(groups=["a", None, "b", "c"])
    with pytest.raises(InvalidArgumentError, match=r"groups must be hashable; got .* \(sequence 0\)"):
        dataset.split(groups=[["a"]] * 4)


FLOATS = [(np.array([[1.0, 2.0, np.nan], [3.0, 4.0, 5.0]]), "x"), (np.ones((2, 1)), "y"), (np.empty((2, 0)), "x")]
OPTIONS: dict[str, Any] = {"channels_first": True, "allow_empty": True, "allow_missing": True, "classes": ["y", "x"]}


def test_pairs_take_every_option() -> None:
    dataset = SequenceDataset.from_pairs(FLOATS, **OPTIONS)
    assert dataset.fingerprint == SequenceDataset.from_sequences(*zip(*FLOATS, strict=True), **OPTIONS).fingerprint
    assert (dataset.channels_first, dataset.input_size, dataset.classes) == (True, 2, ("y", "x"))
    assert dataset.lengths.tolist() == [3, 1, 0]
    assert not SequenceDataset.from_pairs([(np.ones((2, 1)), 0)]).channels_first
    assert not SequenceDataset(dataset.sequences, dataset.labels, ("y", "x"), None).channels_first


@pytest.mark.parametrize("make", [SequenceDataset.from_pairs, lambda pairs: SequenceDataset.from_sequences(*pairs)])
def test_by_default_nothing_is_let_through(make: Any) -> None:
    for sequence, message in [(np.empty((0, 2)), "must not be empty"), (np.full((1, 2), np.nan), "must be finite")]:
        pairs = [(np.ones((1, 2)), "x"), (sequence, "y")]
        with pytest.raises(InvalidDataError, match=message):
            make(pairs if make == SequenceDataset.from_pairs else zip(*pairs, strict=True))
    with pytest.raises(InvalidDataError, match="must not be empty"):
        encode_features(Sequences("features", [np.empty((0, 2))]))
    with pytest.raises(InvalidDataError, match="must be finite"):
        encode_features(Sequences("features", [np.full((1, 2), np.nan)]))
    assert encode_features(Sequences("features", [np.ones((3, 2))])).values.shape == (3, 2)
    with pytest.raises(InvalidDataError, match=r"must all have 3 features; got shape \(1, 2\) \(sequence 0\)"):
        encode_features(Sequences("features", [np.ones((1, 2))]), 3)


def test_a_batch_knows_its_indices() -> None:
    dataset = strategies.letters_dataset(count=5)
    for indices in ([3, 1], np.array([3, 1], dtype=np.int32), torch.tensor([3, 1])):
        batch = dataset.batch(indices)
        assert batch.indices.tolist() == [3, 1]
        assert batch.indices.dtype == torch.int64
    assert dataset.sequences.select(np.array([1], dtype=np.uint8)).sizes.tolist() == [dataset.lengths[1]]
    assert torch.equal(dataset[-5][0], dataset[0][0])


def test_the_defaults_of_a_split() -> None:
    dataset = SequenceDataset.from_pairs([("ab", "x")] * 50 + [("b" * n, "xy"[n % 2]) for n in range(1, 51)])
    train, test = dataset.split()
    assert (len(train), len(test)) == (80, 20)
    assert raw_pairs(test) == raw_pairs(dataset.split(0.2, seed=0, stratify=True, group_duplicates=True)[1])
    for default, whole in zip(dataset.split(), dataset.split_indices(), strict=True):
        assert raw_pairs(default) == raw_pairs(dataset.subset(whole))
    apart = dataset.split(group_duplicates=False)
    assert all(("ab", "x") in raw_pairs(side) for side in apart)
    assert [len(side) for side in dataset.split(1, group_duplicates=False)] == [99, 1]
    with pytest.raises(InvalidArgumentError, match="seed must be an integer of at least 0; got -1"):
        dataset.split(seed=-1)


def test_labels_that_are_keys_are_warned_of() -> None:
    pairs = [(f"text {number % 7}", f"key {number}") for number in range(60)]
    with pytest.warns(SeqclfWarning, match="there are 60 different labels for 60 sequences"):
        data = SequenceDataset.from_pairs(pairs)
    SequenceDataset.from_pairs(pairs, vocabulary=data.vocabulary, classes=data.classes)  # what is known is not asked
    SequenceDataset.from_pairs([(text, label[:5]) for text, label in pairs])


def test_methods_of_other_libraries_are_told_where_they_are() -> None:
    model = RNNClassifier(2, vocab_size=4)
    with pytest.raises(AttributeError, match=r"no method 'predict': it is a function, seqclf.predict\(model, ...\)"):
        model.predict(["a"])
    with pytest.raises(AttributeError, match=r"it is a function, seqclf.evaluate\(model, ...\)"):
        model.score(["a"])
    assert not hasattr(model, "fit")
    with pytest.raises(AttributeError, match="no attribute 'weights'"):
        _ = model.weights
