"""Law 9: whatever is handed in is read as what it is, the same at every door, or refused with what, where and how."""

import contextlib
import datetime
import os
import random
import re
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import seqclf
from seqclf import (
    Predictor,
    RNNClassifier,
    SeqclfError,
    SequenceDataset,
    Vocabulary,
    adjust_priors,
    evaluate,
    explain,
    fit,
    load,
    pad_collate,
    predict,
    predict_prefixes,
    predict_proba,
    save,
    verify_batching,
)
from seqclf.errors import InvalidArgumentError, InvalidDataError, SeqclfWarning
from seqclf.reading.columns import as_list
from seqclf.reading.sequences import read_sequence
from seqclf.sklearn import SequenceClassifier
from tests import kinds
from tests.kinds import Kind

PLACE = re.compile(r"got .*\. ?[A-Z]|got .*\S\.$", re.DOTALL)  # what came, and a sentence on what to do
pytestmark = pytest.mark.filterwarnings("ignore::seqclf.errors.SeqclfWarning")


@pytest.fixture
def _told() -> Iterator[None]:
    """Make the library's warnings errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", SeqclfWarning)
        yield


def model_for(plain: Any, width: int = 2) -> RNNClassifier:
    """Return a model that knows what a kind of sequence is read as."""
    if isinstance(plain, np.ndarray):
        return RNNClassifier(2, input_size=plain.shape[1], hidden_size=3, standardize=True, seed=0)
    if isinstance(plain, list) and plain and isinstance(plain[0], dict):
        fields = SequenceDataset.from_sequences([plain], ["x"]).fields
        return RNNClassifier(2, input_size=len(plain[0]), fields=fields, hidden_size=3, seed=0)
    vocabulary = Vocabulary("ab" if isinstance(plain, str) else dict.fromkeys([*plain, "z"]))
    return RNNClassifier(2, vocab_size=len(vocabulary), vocabulary=vocabulary, hidden_size=3, seed=0)


def _written(value: Any, folder: Path) -> str:
    place = folder / f"store-{len(list(folder.iterdir()))}"
    settled = SequenceDataset.from_pairs([(value, "x")]).fields
    return SequenceDataset.write(place, [(value, "x")], fields=settled).fingerprint


DATA_DOORS: dict[str, Callable[[Any, Path], Any]] = {
    "from_pairs": lambda value, _: SequenceDataset.from_pairs([(value, "x")]).fingerprint,
    "from_sequences": lambda value, _: SequenceDataset.from_sequences([value, value], ["x", "y"]).fingerprint,
    "write": _written,
}
SYMBOL_DOORS: dict[str, Callable[[Any, Any], Any]] = {
    "Vocabulary.build": lambda value, _: Vocabulary.build([value]).symbols,
    "Vocabulary.encode": lambda value, model: model.vocabulary.encode(value).tolist(),
    "Vocabulary.to_ids": lambda value, model: model.vocabulary.to_ids(value),
    "Vocabulary.encode_flat": lambda value, model: model.vocabulary.encode_flat([value])[0].tolist(),
}
MODEL_DOORS: dict[str, Callable[[Any, Any], Any]] = {
    "predict": lambda value, model: predict(model, [value]),
    "predict_proba": lambda value, model: predict_proba(model, [value]).tolist(),
    "predict_proba of two": lambda value, model: predict_proba(model, [value, value]).tolist(),
    "predict_prefixes": lambda value, model: predict_prefixes(model, [value])[0].tolist(),
    "Predictor.predict_proba": lambda value, model: Predictor(model).predict_proba(value).tolist(),
    "Predictor.predict_iter": lambda value, model: list(Predictor(model).predict_iter([value])),
    "explain": lambda value, model: explain(model, value).scores.tolist(),
    "verify_batching": lambda value, model: verify_batching(model, [value, value]).passed,
}


@pytest.mark.parametrize("kind", kinds.SEQUENCES, ids=lambda kind: kind.name)
def test_a_sequence_is_read_alike_at_every_door(kind: Kind, tmp_path: Path) -> None:
    plain = None if kind.plain is None else kind.plain()
    for name, door in DATA_DOORS.items():
        _check(name, partial(_second, door, tmp_path), kind, plain)
    every = [model_for("ab"), model_for(["a"]), model_for(np.zeros((1, 2)))]
    models = every if plain is None else [model_for(plain)]
    for model in models:
        for name, door in MODEL_DOORS.items() | (SYMBOL_DOORS.items() if model.vocabulary else set()):
            _check(name, partial(_second, door, model), kind, plain)


def _second(door: Callable[[Any, Any], Any], other: Any, value: Any) -> Any:
    return door(value, other)


def _check(name: str, door: Callable[[Any], Any], kind: Kind, plain: Any) -> None:
    if plain is not None:
        found, expected = door(kind.make()), door(plain)
        assert found == expected, f"{name} reads {kind.name} otherwise than {plain!r}"
        return
    with pytest.raises(SeqclfError, match=PLACE):
        door(kind.make())


@pytest.mark.parametrize("kind", kinds.SEQUENCES, ids=lambda kind: kind.name)
def test_collates_take_what_is_encoded(kind: Kind) -> None:
    plain = None if kind.plain is None else kind.plain()
    is_encoded = isinstance(plain, np.ndarray) or (isinstance(plain, list) and all(type(one) is int for one in plain))
    if is_encoded:
        batch = pad_collate([(kind.make(), 0)])
        inputs = batch.inputs
        assert isinstance(inputs, torch.Tensor)
        assert torch.equal(inputs[0].detach().double(), torch.as_tensor(np.array(plain)).double())
    elif plain is not None or kind.name not in {
        "float array with infinities",
        "float array with NaN",
        "floats beyond float32",
    }:
        with pytest.raises(InvalidDataError):
            pad_collate([(kind.make(), 0)])


def texts_for(labels: Any) -> list[str]:
    """Return as many texts as there are labels."""
    return (["ab", "ba"] * 6)[: max(2, len(labels))]


LABEL_DOORS: dict[str, Callable[[Any, Path], Any]] = {
    "from_sequences": lambda labels, _: SequenceDataset.from_sequences(texts_for(labels), labels).fingerprint,
    "trained and saved": lambda labels, folder: _trained(labels, folder),  # noqa: PLW0108  # defined below
    "write": lambda labels, folder: _labels_written(labels, folder),  # noqa: PLW0108
}


def _trained(labels: Any, folder: Path) -> Any:
    data = SequenceDataset.from_sequences(texts_for(labels), labels)
    model = RNNClassifier.for_dataset(data, hidden_size=3, seed=0)
    fit(model, data, epochs=1, progress=False)
    save(model, folder / "model")
    again = load(folder / "model")
    assert again.classes == model.classes
    assert [type(label) for label in again.classes or ()] == [type(label) for label in model.classes or ()]
    assert evaluate(again, data).predictions.tolist() == evaluate(model, data).predictions.tolist()
    return again.classes


def _labels_written(labels: Any, folder: Path) -> Any:
    pairs = list(zip(texts_for(labels), as_list(labels, "labels"), strict=True))
    place = folder / f"store-{len(list(folder.iterdir()))}"
    return SequenceDataset.open(SequenceDataset.write(place, pairs) and place).classes


@pytest.mark.parametrize("kind", kinds.LABELS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("door", LABEL_DOORS)
def test_labels_are_read_alike_at_every_door(kind: Kind, door: str, tmp_path: Path) -> None:
    plain = None if kind.plain is None else kind.plain()
    _check(door, lambda value: LABEL_DOORS[door](value, tmp_path), kind, plain)


@pytest.mark.parametrize("kind", kinds.INDICES, ids=lambda kind: kind.name)
@pytest.mark.parametrize("door", ["subset", "batch", "[]"])
def test_indices_are_read_alike_at_every_door(kind: Kind, door: str) -> None:
    data = SequenceDataset.from_pairs([(text, len(text)) for text in ("a", "ab", "abc", "abcd", "abcde")])
    doors: dict[str, Callable[[Any], Any]] = {
        "subset": lambda indices: data.subset(indices).lengths.tolist(),
        "batch": lambda indices: data.batch(indices).lengths.tolist(),
        "[]": lambda indices: data[indices].lengths.tolist(),
    }
    _check(door, doors[door], kind, None if kind.plain is None else kind.plain())


@pytest.mark.parametrize("kind", kinds.WEIGHTS, ids=lambda kind: kind.name)
def test_weights_of_classes_are_read_by_what_they_say(kind: Kind) -> None:
    data = SequenceDataset.from_pairs([("ab", "x"), ("ba", "y")] * 8)

    def train(weights: Any) -> Any:
        model = RNNClassifier.for_dataset(data, hidden_size=3, seed=0)
        fit(model, data, epochs=1, class_weight=weights, progress=False)
        return predict_proba(model, ["ab"]).tolist()

    _check("fit", train, kind, None if kind.plain is None else kind.plain())


@pytest.mark.parametrize("kind", [one for one in kinds.SEQUENCES if one.plain], ids=lambda kind: kind.name)
def test_the_estimator_reads_as_all_doors_do(kind: Kind) -> None:
    assert kind.plain is not None
    estimator = SequenceClassifier(hidden_size=3, epochs=1)
    labels = ["x", "y"] * 4
    found = estimator.fit([kind.make()] * 8, labels).predict_proba([kind.make()])
    expected = estimator.fit([kind.plain()] * 8, labels).predict_proba([kind.plain()])
    assert np.array_equal(found, expected)


WARNED: list[tuple[str, Callable[[], Any], str]] = [
    ("integers that are a recording", lambda: [np.arange(90) % 60 * 20, np.arange(80) * 7], "look like measurements"),
    ("integers below zero", lambda: [np.arange(-40, 40), np.arange(-60, 10)], "look like measurements"),
    ("texts of numbers", lambda: ["0.1 0.2 0.35", "0.7 0.9"], "hold numbers, and are read as characters"),
    ("a block of (n, 1, T)", lambda: np.random.default_rng(0).normal(size=(2, 1, 140)), "pass channels_first=True"),
    ("a block of (n, F, T)", lambda: np.random.default_rng(0).normal(size=(2, 6, 100)), "pass channels_first=True"),
]


@pytest.mark.usefixtures("_told")
@pytest.mark.parametrize(("make", "message"), [pytest.param(*rest, id=name) for name, *rest in WARNED])
def test_a_likely_mistake_is_warned_of_at_every_door(make: Any, message: str, tmp_path: Path) -> None:
    doors: list[Callable[[], Any]] = [
        lambda: SequenceDataset.from_sequences(make(), ["x", "y"]),
        lambda: SequenceDataset.from_pairs(list(zip(make(), ["x", "y"], strict=True))),
        lambda: SequenceDataset.write(tmp_path / "store", list(zip(make(), ["x", "y"], strict=True))),
        lambda: SequenceClassifier(hidden_size=3, epochs=1).fit(make(), ["x", "y"]),
    ]
    for door in doors:
        with pytest.raises(SeqclfWarning, match=message):
            door()


@pytest.mark.usefixtures("_told")
def test_what_nothing_is_known_of_is_warned_of() -> None:
    model = model_for("ab")
    for door in (
        lambda: predict(model, ["zz"]),
        lambda: predict_proba(model, ["ab", "zz"]),
        lambda: Predictor(model).predict("zz"),
        lambda: SequenceDataset.from_pairs([("zz", "x")], vocabulary=model.vocabulary),
    ):
        with pytest.raises(SeqclfWarning, match=r"no symbol is known of 1 of \d sequences, such as sequence \d"):
            door()
    assert len(predict(model, ["az", "b"])) == 2


@pytest.mark.usefixtures("_told")
def test_features_far_from_zero_are_warned_of_unless_they_are_standardised() -> None:
    data = SequenceDataset.from_pairs([(np.float32([1000, 1001, 1003]), "x"), (np.float32([1002, 1004]), "y")])
    with pytest.raises(SeqclfWarning, match=r"feature 0 lies around 1002 and changes by 1\.41 only .*standardize"):
        RNNClassifier.for_dataset(data, hidden_size=3, standardize=False)
    RNNClassifier.for_dataset(data, hidden_size=3)  # the rules standardise
    RNNClassifier.for_dataset(
        SequenceDataset.from_pairs([(np.float32([-1, 0, 5]), "x")]), hidden_size=3, standardize=False
    )


@pytest.mark.usefixtures("_told")
def test_padding_at_the_end_is_told_from_missing_values() -> None:
    block = np.full((3, 6, 1), np.nan, np.float32)
    for row, length in enumerate([3, 6, 5]):
        block[row, :length] = row
    with pytest.raises(SeqclfWarning, match=r"2 of 3 sequences, such as sequence 0, end in steps .* trailing_missing"):
        SequenceDataset.from_sequences(block, [0, 1, 0], allow_missing=True)
    data = SequenceDataset.from_sequences(block, [0, 1, 0], trailing_missing="end")
    assert data.lengths.tolist() == [3, 6, 5]
    with pytest.raises(InvalidDataError, match=r"must be finite numbers; got nan .* with trailing_missing='end'"):
        SequenceDataset.from_sequences(block, [0, 1, 0])


def test_priors_are_read_by_what_they_say() -> None:
    found = []
    for given in ({"x": 9, "y": 1}, pd.Series({"y": 1.0, "x": 9.0}), [9, 1], np.array([9.0, 1.0])):
        model = RNNClassifier(2, vocab_size=4, vocabulary=Vocabulary("ab"), classes=["x", "y"], seed=0)
        adjust_priors(model, trained_on={"x": 1, "y": 1}, expected=given)
        found.append(predict_proba(model, ["ab"]))
    assert all(np.array_equal(one, found[0]) for one in found)
    for wrong, text in [
        ({"z": 1}, "must name classes"),
        ("ab", "numbers"),
        (None, "frequencies"),
        ([1j, 1], "numbers"),
    ]:
        with pytest.raises(InvalidArgumentError, match=text):
            adjust_priors(model, trained_on=[1, 1], expected=wrong)


def test_equal_values_of_two_kinds_are_refused_across_sequences_and_classes() -> None:
    with pytest.raises(InvalidDataError, match="got bool and int in different sequences, and True equals 1"):
        Vocabulary.build([[True], [1]])
    with pytest.raises(InvalidDataError, match=r"labels must be of the kind of the classes; got True \(sequence 0\)"):
        SequenceDataset.from_pairs([("a", True)], classes=[1, 2])
    with pytest.raises(InvalidArgumentError, match="classes must be known; got a missing one among"):
        SequenceDataset.from_pairs([("a", "x")], classes=["x", None])
    with pytest.raises(InvalidDataError, match="pairs must have an order; got a set"):
        SequenceDataset.write("never made", {("a", "x"), ("b", "y")})
    with pytest.raises(InvalidDataError, match=r"labels must be known; got None \(sequence 1\)"):
        SequenceClassifier(epochs=1).fit(["a", "b"], ["x", None])


@pytest.mark.parametrize("seed", [np.array(3), torch.tensor(3), np.int8(3)])
def test_numbers_of_other_libraries_are_numbers(seed: Any) -> None:
    data = SequenceDataset.from_pairs([(format(i, "b"), i % 2) for i in range(20)])
    assert [part.fingerprint for part in data.split(seed=seed)] == [part.fingerprint for part in data.split(seed=3)]
    with pytest.raises(InvalidArgumentError, match="seed must be an integer of at least 0; got array"):
        data.split(seed=np.array([3, 4]))  # type: ignore[call-overload]


def test_classes_are_hashable_and_steps_of_a_stream_finite() -> None:
    with pytest.raises(InvalidDataError, match=r"labels must be hashable; got .*unhashable type: 'list'"):
        SequenceDataset.from_pairs([("a", "x")], classes=[["x"]])
    stream = RNNClassifier(2, input_size=1, hidden_size=3, seed=0).stream()
    for wrong in ([np.inf], [1e200]):
        with pytest.raises(InvalidDataError, match=r"must be finite numbers that fit float32; got .* \(step 0\)"):
            stream.push(wrong)


def test_a_vocabulary_is_of_symbols() -> None:
    with pytest.raises(InvalidDataError, match="strings or lists of symbols to have a vocabulary; got float arr"):
        Vocabulary.build([np.ones((2, 1))])
    assert Vocabulary({"b", "a"}).symbols == ("a", "b")
    with pytest.raises(InvalidDataError, match="classes must have an order; got a set"):
        RNNClassifier(2, vocab_size=4, classes={"x", "y"})


@pytest.mark.parametrize("index", [True, 0.5, None, "0"])
def test_an_index_is_an_integer(index: Any) -> None:
    data = SequenceDataset.from_pairs([("ab", "x"), ("ba", "y")])
    with pytest.raises(SeqclfError, match=r"an index must be an integer; got .*Pass a list for several"):
        data[index]
    integers: list[Any] = [np.int64(1), torch.tensor(-1)]
    assert [data[one][1] for one in integers] == [1, 1]


@pytest.mark.parametrize(
    "wrong", [{"bool": 3}, {"float": 1.5}, {"object": "x"}, {"tuple": "x"}, {"a": 1, "b": 2}, [1], None]
)
def test_files_whose_symbols_or_labels_are_none(wrong: Any) -> None:
    content = Vocabulary(["a"]).to_dict() | {"symbols": [wrong]}
    with pytest.raises(InvalidDataError, match="vocabulary must have a kind and distinct symbols of it"):
        Vocabulary.from_dict(content)


def test_symbols_of_every_kind_survive_files(tmp_path: Path) -> None:
    symbols = [
        True,
        1.5,
        b"a",
        ("a", (1, b"")),
        ("b", None),
        frozenset("ab"),
        datetime.date(2026, 1, 2),
        datetime.time(3),
    ]
    Vocabulary(symbols).save(tmp_path / "v")
    again = Vocabulary.load(tmp_path / "v")
    assert again.symbols == tuple(symbols)
    assert [type(one) for one in again.symbols] == [type(one) for one in symbols]


def test_clocks_on_disk_keep_their_digits_where_the_first_have_them(tmp_path: Path) -> None:
    clock, plain = 1.7e9 + np.arange(4.0), np.arange(4.0, dtype=np.float32)
    wide = SequenceDataset.write(tmp_path / "wide", [(clock, "x"), (plain, "y")])
    assert torch.equal(wide[0][0][:, 0], torch.from_numpy(clock))
    pairs = [(plain, "x")] * ((1 << 16) + 1)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        SequenceDataset.write(tmp_path / "narrow", [*pairs, (clock, "y")])
    assert any("lose digits in float32" in str(one.message) for one in told)


def test_clocks_are_standardised_before_their_digits_go() -> None:
    clocks = [1.7e9 + np.arange(10) * (3.0 if i % 2 else 1.0) for i in range(40)]
    data = SequenceDataset.from_sequences(clocks, ["slow" if i % 2 else "fast" for i in range(40)])
    model = RNNClassifier.for_dataset(data, hidden_size=8, standardize=True, seed=0)
    fit(model, data, epochs=20, learning_rate=0.01, progress=False)
    assert evaluate(model, data).accuracy == 1.0
    assert np.array_equal(
        predict_proba(model, clocks[:3]), np.concatenate([predict_proba(model, [x]) for x in clocks[:3]])
    )
    assert np.array_equal(predict_proba(model, data.subset([0, 1, 2])), predict_proba(model, clocks[:3]))
    for half in (model.half().float(), model.double()):  # what was measured keeps its digits
        assert evaluate(half, data).accuracy == 1.0


def test_only_one_room_looks_at_the_type_of_raw_values() -> None:
    """What other libraries hand over is told apart in the room that reads, and where scikit-learn asks for more."""
    package = Path(seqclf.__file__).parent
    words = re.compile(
        r"hasattr\([a-zA-Z_]+, \"(to_list|to_pylist|to_numpy|columns|column_names|__array__)\"\)|np\.ma\."
    )
    found = {
        path.relative_to(package).parts[0] for path in package.rglob("*.py") if words.search(path.read_text("utf-8"))
    }
    assert found == {"reading", "sklearn.py"}


def test_the_page_says_what_is_read_as_what() -> None:
    page = (Path(__file__).parents[1] / "docs" / "data.md").read_text(encoding="utf-8")
    assert kinds.table() in page, "run: python -m tests.test_kinds"


ATOMS: list[Callable[[random.Random], Any]] = [
    lambda r: r.choice(["a", "b", "", "ab", "ß", "\ud800"]),
    lambda r: r.choice([0, 1, -1, 2**70, True, False, None, b"a", b"", (), ("a",), ("a", 0.5), object(), ...]),
    lambda r: r.choice([0.5, float("nan"), float("inf"), -0.0, 1e300]),
    lambda r: r.choice([np.float32(1), np.int8(3), np.str_("a"), np.bool_(True), np.datetime64("NaT"), pd.NA, pd.NaT]),
    lambda r: torch.tensor(r.choice([1, 0.5, True])),
    lambda r: r.choice([np.array(1), np.array(0.5), np.array("a"), np.zeros(0), np.zeros((0, 2))]),
]
BOXES: list[Callable[[list[Any], random.Random], Any]] = [
    lambda items, _: items,
    lambda items, _: tuple(items),
    lambda items, _: np.array([*items, None], object)[:-1],
    lambda items, _: pd.Series(items, dtype=object),
    lambda items, _: {repr(one): one for one in items},
    lambda items, _: iter(items),
    lambda _, r: np.array(
        [[r.random()] * r.randint(0, 3)] * r.randint(0, 3), r.choice(["f2", "f4", ">f8", "i4", "c8", "?"])
    ),
    lambda _, r: torch.full([r.randint(0, 3) for _ in range(r.randint(0, 3))], r.random()),
    lambda _, r: np.ma.masked_greater(np.array([r.random() for _ in range(r.randint(0, 4))]), 0.5),
]


def any_value(r: random.Random, depth: int = 2) -> Any:
    """Make any value at all."""
    if depth == 0 or r.random() < 0.3:
        return r.choice(ATOMS)(r)
    return r.choice(BOXES)([any_value(r, depth - 1) for _ in range(r.randint(0, 3))], r)


def test_whatever_is_handed_in_is_read_or_refused_in_words() -> None:
    """By hand, SEQCLF_FUZZ says how many values to try."""
    models = [model_for("ab"), model_for(["a"]), model_for(np.zeros((1, 2)))]
    for number in range(int(os.environ.get("SEQCLF_FUZZ", "1000"))):
        r = random.Random(number)
        with warnings.catch_warnings(), contextlib.suppress(SeqclfError):
            warnings.simplefilter("ignore")
            knock(r, any_value(r), any_value(r, 1), r.choice(models))


def knock(r: random.Random, value: Any, label: Any, model: RNNClassifier) -> None:
    """Hand a value in at some door."""
    doors: list[Callable[[], Any]] = [
        lambda: SequenceDataset.from_pairs([(value, label), (value, label)]),
        lambda: SequenceDataset.from_sequences(value, ["x"] * 2),
        lambda: SequenceDataset.from_sequences(["a", "b"], value),
        lambda: Vocabulary.build(value),
        lambda: Vocabulary("ab").encode(value),
        lambda: read_sequence(value, 0),
        lambda: predict(model, [value]),
        lambda: predict(model, value),
        lambda: Predictor(model).predict(value),
        lambda: pad_collate([(value, 0)]),
        lambda: SequenceDataset.from_pairs([("a", "x"), ("b", "y")]).subset(value),
    ]
    r.choice(doors)()


if __name__ == "__main__":
    page = Path(__file__).parents[1] / "docs" / "data.md"
    before, start, rest = page.read_text(encoding="utf-8").partition("<!-- kinds -->\n")
    _, end, after = rest.partition("\n<!-- end of kinds -->")
    page.write_text(f"{before}{start}{kinds.table()}{end}{after}", encoding="utf-8")
