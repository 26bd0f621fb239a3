"""Law 1: what is known survives encoding and decoding; a vocabulary survives save and load, for any text."""

import json
import tempfile
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from seqclf import Vocabulary
from seqclf.errors import FileFormatError, InvalidArgumentError, InvalidDataError
from tests import strategies


@given(st.lists(strategies.texts, min_size=1))
def test_text_round_trip(texts: list[str]) -> None:
    vocabulary = Vocabulary.build(texts)
    for text in texts:
        assert vocabulary.decode(vocabulary.encode(text)) == text


@given(st.lists(st.one_of(strategies.words, strategies.numbers, strategies.mixed), min_size=1))
def test_token_round_trip(sequences: list[list[Hashable]]) -> None:
    vocabulary = Vocabulary.build(sequences)
    for sequence in sequences:
        assert vocabulary.decode(vocabulary.encode(sequence)) == sequence


@given(st.lists(strategies.texts, min_size=1), st.booleans())
@example(["\ud83d", "\ude00"], False)  # lone surrogates, which UTF-8 cannot hold
@example(["a\tb\r\n\u2028\x00"], True)  # what line-based vocabulary files lose
def test_text_survives_save_and_load(texts: list[str], strict: bool) -> None:
    assert_survives(Vocabulary.build(texts, strict=strict))


@given(st.lists(st.one_of(strategies.words, strategies.numbers), min_size=1))
@example([["a", "\r", "", "1"], [1, -1, 2**70]])
def test_tokens_survive_save_and_load(sequences: list[list[Hashable]]) -> None:
    assert_survives(Vocabulary.build(sequences))


def assert_survives(vocabulary: Vocabulary) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vocabulary.json"
        vocabulary.save(path)
        again = Vocabulary.load(path)
    assert again == vocabulary
    assert hash(again) == hash(vocabulary)
    assert [type(symbol) for symbol in again.symbols] == [type(symbol) for symbol in vocabulary.symbols]


@given(st.lists(strategies.texts, min_size=1), strategies.texts)
def test_flat_encoding_is_a_dictionary_lookup(texts: list[str], other: str) -> None:
    vocabulary = Vocabulary.build(texts)
    table = {symbol: number for number, symbol in enumerate(vocabulary.symbols, start=2)}
    values, offsets = vocabulary.encode_flat([*texts, other])
    assert values.tolist() == [table.get(letter, 1) for text in [*texts, other] for letter in text]
    assert offsets.tolist() == [0, *np.cumsum([len(text) for text in [*texts, other]])]


@given(st.lists(strategies.texts, min_size=1), st.integers(1, 3), st.integers(2, 6), st.randoms())
def test_ids_go_by_frequency_then_symbol(texts: list[str], min_freq: int, max_size: int, random: Any) -> None:
    vocabulary = Vocabulary.build(texts, min_freq=min_freq, max_size=max_size)
    joined = "".join(texts)
    wanted = sorted(set(joined), key=lambda letter: (-joined.count(letter), letter))
    assert list(vocabulary.symbols) == [letter for letter in wanted if joined.count(letter) >= min_freq][: max_size - 2]
    random.shuffle(texts)
    assert Vocabulary.build(texts, min_freq=min_freq, max_size=max_size) == vocabulary


@given(strategies.mixed, st.randoms())
def test_the_order_of_mixed_symbols_does_not_depend_on_their_order_of_appearance(
    symbols: list[Any], random: Any
) -> None:
    shuffled = list(symbols)
    random.shuffle(shuffled)
    assert Vocabulary.build([symbols]) == Vocabulary.build([shuffled])


def test_no_known_symbol_has_the_id_of_padding_or_of_the_unknown() -> None:
    vocabulary = Vocabulary("ab")
    assert vocabulary.encode("abX").tolist() == [2, 3, 1]
    assert (len(vocabulary), vocabulary.padding_id, vocabulary.unknown_id) == (4, 0, 1)
    assert "a" in vocabulary
    assert "X" not in vocabulary


def test_arrays_and_tensors_of_tokens_are_python_numbers() -> None:
    vocabulary = Vocabulary.build([np.array([5, 3, 5]), torch.tensor([3])])
    assert vocabulary.symbols == (3, 5)
    assert vocabulary.encode(np.array([5, 9])).tolist() == [3, 1]
    assert vocabulary.encode(b"\x03").tolist() == [2]
    assert vocabulary.decode(torch.tensor([3, 2])) == [5, 3]


def test_repr_and_inequality() -> None:
    assert repr(Vocabulary("ab", strict=True)) == "Vocabulary(4 ids, text: 'a', 'b', strict)"
    assert repr(Vocabulary(range(9))) == "Vocabulary(11 ids, tokens: 0, 1, 2, 3, 4, 5, …)"
    assert Vocabulary("ab") != Vocabulary(["a", "b"])
    assert Vocabulary("ab") != "ab"


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (lambda: Vocabulary("aba"), r"symbols must be distinct; got 'a' more than once"),
        (lambda: Vocabulary.build([]), r"must hold at least one sequence; got none"),
        (lambda: Vocabulary.build(["ab"], min_freq=0), r"min_freq must be an integer of at least 1; got 0"),
        (lambda: Vocabulary.build(["ab"], max_size=1), r"max_size must be an integer of at least 2; got 1"),
        (lambda: Vocabulary.build(["ab", ["a"]]), r"got str \(sequence 0\) and list \(sequence 1\)"),
        (lambda: Vocabulary.build([["a"], ["b"], "ab"]), r"got list \(sequence 0\) and str \(sequence 2\)"),
        (lambda: Vocabulary.build([["a"], [["b"]]]), r"must be hashable; got list \(sequence 1, position 0\)"),
        (lambda: Vocabulary.build([["a"], 5]), r"strings, lists of symbols, float arrays or records; got int"),
        (
            lambda: Vocabulary.build([np.zeros((2, 2), int)]),
            r"got shape \(2, 2\) of int64 \(sequence 0\).*as floats",
        ),
        (lambda: Vocabulary("ab").encode(["a"]), r"must be strings for a vocabulary of text; got list \(sequence 0\)"),
        (lambda: Vocabulary(["a"]).encode("a"), r"lists, tuples or arrays .* got str \(sequence 0\)"),
        (lambda: Vocabulary(["a"]).encode([{}]), r"for a vocabulary of tokens; got Records \(sequence 0\)"),
        (
            lambda: Vocabulary("ab", strict=True).encode_flat(["ab", "", "abX"]),
            r"which is strict; got 'X' \(sequence 2, position 2\)",
        ),
        (lambda: Vocabulary("ab").decode([2, 4]), r"ids must be integers from 0 to 3; got 4 \(position 1\)"),
        (lambda: Vocabulary("ab").decode([-1]), r"ids must be integers from 0 to 3; got -1"),
        (
            lambda: Vocabulary([("a", object)]).to_dict(),
            r"symbols must be strings, .* saved; got <class 'object'>",
        ),
        (lambda: Vocabulary(["\ud83d\ude00"]).to_dict(), r"symbols must be strings that JSON can hold; got"),
        (lambda: Vocabulary.from_dict({"format": "other"}), r"must have the format 'seqclf-vocabulary'"),
        (lambda: Vocabulary.from_dict(Vocabulary("a").to_dict() | {"version": 3}), r"version 2 or older; got 3"),
        (lambda: Vocabulary.from_dict(Vocabulary("a").to_dict() | {"kind": "x"}), r"a kind and distinct symbols"),
        (lambda: Vocabulary.from_dict(Vocabulary("a").to_dict() | {"kind": [1]}), r"a kind and distinct symbols"),
        (lambda: Vocabulary.from_dict(Vocabulary("a").to_dict() | {"symbols": ["ab"]}), r"a kind and distinct symbols"),
        (lambda: Vocabulary.from_dict(Vocabulary("a").to_dict() | {"symbols": [1.5]}), r"a kind and distinct symbols"),
    ],
)
def test_bad_input(action: Any, message: str) -> None:
    with pytest.raises((InvalidDataError, InvalidArgumentError), match=message):
        action()


def test_bad_files(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=r"vocabulary file must exist; got no file at .*none\.json"):
        Vocabulary.load(tmp_path / "none.json")
    with pytest.raises(FileFormatError, match=r"vocabulary file must be a file; got something else at "):
        Vocabulary.load(tmp_path)
    (tmp_path / "broken.json").write_bytes(b'{"format": "seqclf-voc')
    with pytest.raises(FileFormatError, match=r"vocabulary file must be JSON in UTF-8; got .*broken\.json"):
        Vocabulary.load(tmp_path / "broken.json")
    (tmp_path / "other.json").write_text(json.dumps([1, 2]))
    with pytest.raises(FileFormatError, match=r"must have the format .*other\.json"):
        Vocabulary.load(tmp_path / "other.json")
    with pytest.raises(FileFormatError, match=r"folder must exist to write v\.json"):
        Vocabulary("a").save(tmp_path / "missing" / "v.json")


def test_a_save_that_is_broken_off_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ctrl_c(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", ctrl_c)
    with pytest.raises(KeyboardInterrupt):
        Vocabulary("b").save(tmp_path / "v.json")
    assert not list(tmp_path.iterdir())


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    Vocabulary("b").save(tmp_path / "v.json")
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(FileFormatError, match=r"vocabulary file must be readable; got Permission denied at .*v\.json"):
        Vocabulary.load(tmp_path / "v.json")


def test_a_failed_save_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "v.json"
    Vocabulary("a").save(path)

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(FileFormatError, match=r"v\.json must be writable; got No space left on device at .*Make room"):
        Vocabulary("b").save(path)
    assert Vocabulary.load(path).symbols == ("a",)
    assert [file.name for file in tmp_path.iterdir()] == ["v.json"]


def test_strictness_is_kept() -> None:
    for vocabulary in (
        Vocabulary.build(["ab"], strict=True),
        Vocabulary.build([["a"]], strict=True),
        Vocabulary.from_counts({"a": 2}, is_text=True, strict=True),
        Vocabulary.from_counts({"a": 2}, is_text=False, strict=True),
    ):
        assert vocabulary.strict
    assert not Vocabulary.build(["ab"]).strict


def test_equal_vocabularies_have_equal_hashes_and_others_others() -> None:
    kinds = [Vocabulary("ab"), Vocabulary("ba"), Vocabulary(["a", "b"]), Vocabulary("ab", strict=True)]
    assert len({hash(one) for one in kinds}) == len(set(kinds)) == 4
    assert hash(Vocabulary("ab")) == hash(Vocabulary.build(["ab"]))


@pytest.mark.parametrize(("symbols", "shown"), [("abcdef", False), ("abcdefg", True)])
def test_six_symbols_are_shown(symbols: str, shown: bool) -> None:
    assert ("…" in repr(Vocabulary(symbols))) == shown


def test_the_symbol_that_stands_twice_is_named() -> None:
    with pytest.raises(InvalidArgumentError, match="'b'"):
        Vocabulary("abcb")


@given(st.lists(st.one_of(st.integers(0, 20), st.text("ab", max_size=1)), min_size=1))
def test_ids_of_one_token_sequence(tokens: list[Any]) -> None:
    vocabulary = Vocabulary.build([tokens])
    for given_tokens in (tokens, tuple(tokens)):
        assert vocabulary.to_ids(given_tokens) == vocabulary.encode(tokens).tolist()
    with pytest.raises(InvalidDataError, match=r"got str \(sequence 0\)"):
        vocabulary.to_ids("ab")


def test_numbers_decode_from_tensors_and_lists_alike() -> None:
    vocabulary = Vocabulary([7, 9])
    assert vocabulary.decode(torch.tensor([2, 3])) == vocabulary.decode([2, 3]) == [7, 9]
    assert all(type(symbol) is int for symbol in vocabulary.decode(torch.tensor([2, 3])))
