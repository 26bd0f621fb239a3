"""Tokenizers: the rules, what files keep of them, and that a model applies them wherever texts come."""

import json
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqclf import Predictor, RNNClassifier, SequenceDataset, Vocabulary, load, predict, predict_proba, save
from seqclf.errors import InvalidArgumentError, InvalidDataError, MissingDependencyError, SeqclfWarning
from tests import strategies

RULES = ("words", "lowercase_words", "bytes")
PAIRS = [("It's good, really.", "pos"), ("Nothing good here!", "neg"), ("naïve 你好", "pos"), ("3.14 or 3,5", "neg")]


def split_at_blanks(text: str) -> list[str]:
    """A tokenizer of a user's own."""
    return text.split()


def hugging_face() -> Any:
    """A byte-pair tokenizer that was trained on a few words."""
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token="?"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=40, special_tokens=["?"], show_progress=False)
    tokenizer.train_from_iterator([text for text, _ in PAIRS], trainer)
    return tokenizer


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It's 3.14, isn't it?", ["It's", "3.14", ",", "isn't", "it", "?"]),
        ("good.Bad 1,000,5 a.1", ["good", ".", "Bad", "1,000,5", "a", ".", "1"]),
        ("l\u2019été  naïve_x", ["l\u2019été", "naïve_x"]),
        ("cafe\u0301", ["café"]),
        ("你好 ひらカタカナ", ["你", "好", "ひ", "ら", "カタカナ"]),
        ("हिन्दी", ["हिन्दी"]),
        ("a🙂b", ["a", "🙂", "b"]),
        (" \t\n", []),
        ("'quoted'", ["'", "quoted", "'"]),
    ],
)
def test_words_are_found_by_the_rule(text: str, expected: list[str]) -> None:
    vocabulary = Vocabulary.build([text, "x"], tokenizer="words")
    assert vocabulary.decode(vocabulary.encode(text)) == expected


@given(strategies.texts)
def test_words_hold_all_of_a_text_but_its_blanks(text: str) -> None:
    vocabulary = Vocabulary.build([text], tokenizer="words")
    whole = "".join(vocabulary.decode(vocabulary.encode(text)))
    assert whole == "".join(unicodedata.normalize("NFC", text).split())


@given(st.text(st.characters(max_codepoint=127)))
def test_the_rule_for_ascii_is_the_rule(text: str) -> None:
    alone, beside = Vocabulary.build([text, "é"], tokenizer="words"), f"{text} é"
    assert alone.encode(beside).tolist()[:-1] == alone.encode(text).tolist()


@given(strategies.texts)
def test_bytes_decode_to_the_text(text: str) -> None:
    vocabulary = Vocabulary.build([text], tokenizer="bytes")
    assert vocabulary.decode(vocabulary.encode(text)) == text
    assert set(vocabulary.symbols) == set(text.encode("utf-8", "surrogatepass"))


def test_unknown_bytes_decode_to_the_sign_for_what_is_unknown() -> None:
    assert Vocabulary.build(["ab"], tokenizer="bytes").decode([2, 1]) == "a\ufffd"


def test_case_is_folded_on_demand() -> None:
    assert Vocabulary.build(["Good GOOD Straße"], tokenizer="lowercase_words").symbols == ("good", "strasse")


def test_characters_are_what_there_is_without_a_tokenizer() -> None:
    assert Vocabulary.build(["abba"], tokenizer="characters") == Vocabulary.build(["abba"])


@given(st.lists(strategies.texts, min_size=1), st.sampled_from(RULES), strategies.texts)
def test_a_vocabulary_is_the_same_after_a_file(texts: list[str], rule: str, text: str) -> None:
    vocabulary = Vocabulary.build(texts, tokenizer=rule)
    again = Vocabulary.from_dict(json.loads(json.dumps(vocabulary.to_dict())))
    assert again == vocabulary
    assert hash(again) == hash(vocabulary)
    assert again.encode(text).tolist() == vocabulary.encode(text).tolist()


def test_one_of_hugging_face_is_kept_whole(tmp_path: Path) -> None:
    tokenizer = hugging_face()
    vocabulary = Vocabulary.build([text for text, _ in PAIRS], tokenizer=tokenizer)
    vocabulary.save(tmp_path / "vocabulary.json")
    again = Vocabulary.load(tmp_path / "vocabulary.json")
    assert again == vocabulary
    text = "really nothing new"
    known = [token if token in vocabulary else "<unk>" for token in tokenizer.encode(text).tokens]
    assert again.decode(again.encode(text)) == known


def test_damaged_tokenizers_are_refused() -> None:
    content = Vocabulary.build(["a b"], tokenizer="words").to_dict()
    with pytest.raises(InvalidDataError, match="must have a tokenizer that is known"):
        Vocabulary.from_dict(content | {"tokenizer": {"kind": "sentences"}})
    pytest.importorskip("tokenizers")
    with pytest.raises(InvalidDataError, match="must have a tokenizer that is whole"):
        Vocabulary.from_dict(content | {"tokenizer": {"kind": "tokenizers", "json": "{"}})


@pytest.mark.parametrize("tokenizer", [*RULES, split_at_blanks, "hugging face"])
def test_a_model_applies_its_tokenizer_wherever_texts_come(tokenizer: Any, tmp_path: Path) -> None:
    tokenizer = hugging_face() if tokenizer == "hugging face" else tokenizer
    own = tokenizer if tokenizer is split_at_blanks else None
    data = SequenceDataset.from_pairs(PAIRS, tokenizer=tokenizer)
    model = RNNClassifier.for_dataset(data, hidden_size=4, bidirectional=False, seed=0).eval()
    texts = ["good, really?", "Nothing", "It's 你好"]
    expected = predict_proba(model, texts)

    assert data.vocabulary is not None
    assert data.vocabulary.tokenizer is not None
    lists = data.vocabulary.tokenizer(texts)
    assert np.array_equal(predict_proba(model, lists), expected)
    save(model, tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors", tokenizer=own)
    assert np.array_equal(predict_proba(again, texts), expected)
    assert predict(again, texts[:1]) == predict(model, texts)[:1]
    predictor = Predictor(model)
    assert np.array_equal([predictor.predict_proba(text) for text in texts], expected)
    stream = model.stream()
    for token in lists[0]:
        answer = stream.push(token)
    assert np.array_equal(answer, expected[0])

    written = SequenceDataset.write(tmp_path / "store", PAIRS, tokenizer=tokenizer)
    assert written.fingerprint == data.fingerprint
    test = SequenceDataset.from_pairs(PAIRS[:2], vocabulary=written.vocabulary, classes=data.classes)
    assert test[0][0].tolist() == data[0][0].tolist()


def test_a_function_is_asked_for_again(tmp_path: Path) -> None:
    data = SequenceDataset.write(tmp_path / "store", PAIRS, tokenizer=split_at_blanks)
    model = RNNClassifier.for_dataset(data, hidden_size=4)
    save(model, tmp_path / "model.safetensors")
    assert data.vocabulary is not None
    data.vocabulary.save(tmp_path / "vocabulary.json")
    missing = r"tokenizer must be given, .* where tests.test_tokenizers.split_at_blanks was used"
    with pytest.raises(InvalidArgumentError, match=missing):
        load(tmp_path / "model.safetensors")
    with pytest.raises(InvalidArgumentError, match=missing):
        Vocabulary.load(tmp_path / "vocabulary.json")
    with pytest.raises(InvalidArgumentError, match=missing):
        SequenceDataset.open(tmp_path / "store")
    assert len(SequenceDataset.open(tmp_path / "store", tokenizer=split_at_blanks)) == len(PAIRS)
    save(RNNClassifier(2, vocab_size=4, vocabulary=Vocabulary("ab")), tmp_path / "letters.safetensors")
    with pytest.raises(InvalidArgumentError, match="tokenizer must be None, as the file has its own"):
        load(tmp_path / "letters.safetensors", tokenizer=split_at_blanks)


@pytest.mark.parametrize("wrong", [3, "word", list, {"kind": "words"}])
def test_what_is_no_tokenizer_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="tokenizer must be one of 'characters', 'words'"):
        Vocabulary.build(["a"], tokenizer=wrong)


def test_slow_tokenizers_of_transformers_are_refused() -> None:
    class Slow:
        def convert_tokens_to_ids(self) -> None: ...

    with pytest.raises(InvalidArgumentError, match="tokenizer must be a fast one; got Slow"):
        Vocabulary.build(["a"], tokenizer=Slow())


def test_tokenizers_are_for_texts() -> None:
    with pytest.raises(InvalidDataError, match="sequences must be strings for a tokenizer to split; got tokens"):
        SequenceDataset.from_pairs([(["a"], "x")], tokenizer="words")
    with pytest.raises(InvalidArgumentError, match="tokenizer must be None for float sequences"):
        SequenceDataset.from_pairs([(np.zeros(3), "x")], tokenizer="words")
    vocabulary = Vocabulary.build(["a"], tokenizer="words")
    with pytest.raises(InvalidArgumentError, match="tokenizer must be None beside a vocabulary"):
        SequenceDataset.from_pairs([("a", "x")], vocabulary=vocabulary, tokenizer="words")


@pytest.mark.parametrize("wrong", [lambda text: text, lambda _: 3, lambda text: text.missing])
def test_functions_that_fail_are_named(wrong: Any) -> None:
    with pytest.raises(InvalidDataError, match=r"tokenizer must return a list of symbols .*'a b' \(sequence 0\)"):
        Vocabulary.build(["a b"], tokenizer=wrong)


def test_functions_that_find_measurements_are_refused() -> None:
    with pytest.raises(InvalidDataError, match="symbols other than floats"):
        Vocabulary.build(["1 2"], tokenizer=lambda text: list(map(float, text.split())))


def test_texts_without_a_token_are_empty() -> None:
    with pytest.raises(InvalidDataError, match=r"must not be empty; got length 0 \(sequence 1\)"):
        SequenceDataset.from_pairs([("a", "x"), ("  ", "y")], tokenizer="words")


def test_sentences_that_are_read_as_characters_are_warned_of() -> None:
    pairs = [("this is what people write in a review", "x")] * 2
    with pytest.warns(SeqclfWarning, match="look like sentences, and are read as characters"):
        SequenceDataset.from_pairs(pairs)
    SequenceDataset.from_pairs(pairs, tokenizer="characters")  # and then no warning, which would be an error


def test_reports_tell_of_the_tokenizer() -> None:
    report = SequenceDataset.from_pairs(PAIRS, tokenizer="words").report()
    assert report.tokenizer == "words"
    assert "words, which makes 3.8 tokens of a text" in str(report)


def test_hugging_face_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    content = Vocabulary.build(["a b"], tokenizer=hugging_face()).to_dict()
    monkeypatch.setitem(__import__("sys").modules, "tokenizers", None)
    with pytest.raises(MissingDependencyError, match="tokenizers must be installed"):
        Vocabulary.from_dict(content)
