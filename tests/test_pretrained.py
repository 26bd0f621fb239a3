"""Pretrained vectors: from whatever holds them to the rows of the embedding; what has none gets one like the others."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from seqclf import RNNClassifier, SequenceDataset, Vocabulary, fit, load, predict_proba, save
from seqclf.cli import main
from seqclf.errors import FileFormatError, InvalidArgumentError, SeqclfWarning

WORDS = ("good", "bad", "film", "a b")
TABLE = {word: np.arange(3.0) + 10 * number for number, word in enumerate(WORDS)}
DATA = SequenceDataset.from_pairs([(["good", "film", "a b"], "x"), (["bad", "film", "odd"], "y")] * 4)


class KeyedVectors:
    """What gensim's class of this name has that is read."""

    key_to_index = {word: number for number, word in enumerate(WORDS)}  # noqa: RUF012
    vectors = np.stack(list(TABLE.values()))

    def __contains__(self, word: str) -> bool:
        return word in self.key_to_index


def write(path: Path, *, header: bool) -> Path:
    lines = [" ".join([word, *map(str, vector)]) for word, vector in TABLE.items()]
    content = "\n".join([f"{len(WORDS)} 3"] * header + lines).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def sources(folder: Path) -> list[Any]:
    array = np.stack(list(TABLE.values()))
    own = np.zeros((6, 3))
    own[2:] = array
    return [
        TABLE,
        {word: torch.tensor(vector) for word, vector in TABLE.items()},
        {word: vector.tolist() for word, vector in TABLE.items()},
        KeyedVectors(),
        (array, WORDS),
        (own, Vocabulary(WORDS)),
        write(folder / "glove.txt", header=False),
        str(write(folder / "word2vec.txt", header=True)),
        write(folder / "fasttext.vec.gz", header=True),
    ]


@pytest.mark.parametrize("number", range(9))
def test_vectors_come_from_wherever_they_are(number: int, tmp_path: Path) -> None:
    model = RNNClassifier.for_dataset(DATA, embeddings=sources(tmp_path)[number], seed=0)
    assert DATA.vocabulary is not None
    assert model.embedding is not None
    assert model.embedding_dim == 3
    assert model.pretrained_symbols == 4
    assert "pretrained vectors for 4 of 5 symbols" in repr(model)
    weight = model.embedding.weight.detach().numpy()
    for word, vector in TABLE.items():
        assert weight[DATA.vocabulary.encode([word])[0]].tolist() == vector.tolist()
    assert not weight[0].any()


def test_an_array_may_have_the_rows_of_the_vocabulary() -> None:
    assert DATA.vocabulary is not None
    array = torch.arange(len(DATA.vocabulary) * 2.0).view(-1, 2)
    model = RNNClassifier.for_dataset(DATA, embeddings=array)
    assert model.embedding is not None
    assert torch.equal(model.embedding.weight[2:], array[2:])
    assert model.pretrained_symbols == len(DATA.vocabulary.symbols)


def test_symbols_without_a_vector_are_like_the_others() -> None:
    letters = [chr(0x4E00 + number) for number in range(4000)]
    data = SequenceDataset.from_pairs([(letters, "x"), (letters, "y")])
    rng = np.random.default_rng(0)
    table = {letter: rng.normal(5.0, 0.1, 4) for letter in letters[::2]}
    model = RNNClassifier.for_dataset(data, embeddings=table, seed=0)
    assert model.embedding is not None
    assert data.vocabulary is not None
    drawn = model.embedding.weight.detach()[data.vocabulary.encode(letters[1::2])]
    assert drawn.mean().item() == pytest.approx(5.0, abs=0.02)
    assert drawn.std().item() == pytest.approx(0.1, rel=0.1)


def test_frozen_vectors_stay_through_training_and_files(tmp_path: Path) -> None:
    frozen = RNNClassifier.for_dataset(DATA, embeddings=TABLE, freeze_embeddings=True, hidden_size=8, seed=0)
    trained = RNNClassifier.for_dataset(DATA, embeddings=TABLE, hidden_size=8, seed=0)
    assert frozen.embedding is not None
    assert trained.embedding is not None
    before = frozen.embedding.weight.detach().clone()
    for model in (frozen, trained):
        fit(model, DATA, epochs=30, batch_size=4, progress=False)
    assert torch.equal(frozen.embedding.weight, before)
    assert not torch.equal(trained.embedding.weight, before)
    save(frozen, tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    assert again.embedding is not None
    assert not again.embedding.weight.requires_grad
    assert np.array_equal(predict_proba(again, DATA), predict_proba(frozen, DATA))


def test_few_vectors_are_warned_of() -> None:
    with pytest.warns(SeqclfWarning, match=r"only 1 of 5 symbols have a pretrained vector; 'film' has none"):
        RNNClassifier.for_dataset(DATA, embeddings={"good": [1.0, 2.0]})


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (3, "embeddings must be a mapping from symbols to vectors, .*; got int"),
        ({"other": [1.0]}, "must have vectors for symbols of the vocabulary; got none for any of 5"),
        ({"good": [1.0, 2.0], "bad": [1.0]}, r"all of one size, 1; got \[1.0, 2.0\] for 'good'"),
        ({"good": "x"}, "vectors of finite numbers, all of one size; got 'x' for 'good'"),
        ({"good": [float("nan")]}, "vectors of finite numbers"),
        (np.zeros((3, 2)), "a row for each of the 7 ids; got 3"),
        ((np.zeros((3, 2)), ["good"]), "got 3 rows for 1 symbols"),
    ],
)
def test_what_holds_no_vectors_is_refused(source: Any, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        RNNClassifier.for_dataset(DATA, embeddings=source)


def test_sizes_and_kinds_must_fit(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="embedding_dim must be the size of the embeddings, 3; got 5"):
        RNNClassifier.for_dataset(DATA, embeddings=TABLE, embedding_dim=5)
    series = SequenceDataset.from_pairs([(np.zeros(3), "x"), (np.ones(2), "y")])
    with pytest.raises(InvalidArgumentError, match="embeddings must be None for float sequences"):
        RNNClassifier.for_dataset(series, embeddings=TABLE)
    with pytest.raises(InvalidArgumentError, match="freeze_embeddings must be False for float sequences"):
        RNNClassifier.for_dataset(series, freeze_embeddings=True)
    (tmp_path / "broken.txt").write_text("good 1 2\nfilm 1 x\n", encoding="utf-8")
    with pytest.raises(FileFormatError, match=r"a symbol and 2 numbers on each line, .*broken.txt, line 2"):
        RNNClassifier.for_dataset(DATA, embeddings=tmp_path / "broken.txt")


def test_the_command_takes_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "table.csv"
    table.write_text("text,label\n" + "good film,x\nbad film,y\n" * 5, encoding="utf-8")
    vectors = write(tmp_path / "vectors.txt", header=True)
    files = [str(table), "--sequence", "text", "--label", "label", "--output", str(tmp_path / "model.safetensors")]
    more = ["--tokenizer", "words", "--embeddings", str(vectors), "--freeze-embeddings", "--epochs", "2", "--quiet"]
    assert main(["train", *files, "--test-size", "0", *more]) == 0
    assert "embeddings: 3 of 3 symbols have a vector" in capsys.readouterr().err
    model = load(tmp_path / "model.safetensors")
    assert model.embedding is not None
    assert model.embedding.weight[2].tolist() in [vector.tolist() for vector in TABLE.values()]
    assert main(["train", *files, "--test-size", "0", "--autotune", "1", "--embeddings", str(vectors)]) == 2
    assert "--embeddings must not come with --autotune" in capsys.readouterr().err
