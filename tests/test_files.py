"""Files: whole or not at all, where they are meant, and nothing but files is ever replaced."""

import io
import os
import stat
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from seqclf import RNNClassifier, SequenceDataset, Vocabulary, load, predict, save
from seqclf.errors import FileFormatError, InvalidArgumentError, InvalidDataError
from seqclf.files import write_atomically

DATA = SequenceDataset.from_pairs([("ab", "x"), ("ba", "y")])


def model() -> RNNClassifier:
    return RNNClassifier.for_dataset(DATA, hidden_size=3, seed=0)


def write_model(path: Path) -> None:
    save(model(), path)


def write_vocabulary(path: Path) -> None:
    Vocabulary("ab").save(path)


WRITERS = [write_model, write_vocabulary, lambda path: write_atomically(path, b"content")]
needs_posix = pytest.mark.skipif(os.name != "posix", reason="links, pipes and permissions are those of POSIX")


@needs_posix
@pytest.mark.parametrize("write", WRITERS)
def test_through_a_link_it_is_written_where_that_points(write: Any, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "latest").symlink_to(Path("deep") / "run")
    write(tmp_path / "latest")
    (tmp_path / "deep" / "run").write_bytes(b"old")
    write(tmp_path / "latest")
    assert (tmp_path / "latest").is_symlink()
    assert (tmp_path / "deep" / "run").read_bytes() != b"old"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["deep", "latest", "run"]


@needs_posix
@pytest.mark.parametrize("write", WRITERS)
def test_who_may_read_what_is_replaced_stays_as_it_was(write: Any, tmp_path: Path) -> None:
    write(tmp_path / "private")
    (tmp_path / "private").chmod(0o600)
    write(tmp_path / "private")
    assert stat.S_IMODE((tmp_path / "private").stat().st_mode) == 0o600


@needs_posix
@pytest.mark.parametrize("write", WRITERS)
def test_what_is_no_file_is_never_replaced(write: Any, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    for name in ("pipe", "folder", "link"):
        with pytest.raises(FileFormatError, match=r"must be a file to be replaced; got something else at"):
            write(tmp_path / name)
    assert (tmp_path / "pipe").is_fifo()
    assert (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("use", [lambda place: save(model(), place), load, Vocabulary.load, Vocabulary("a").save])
@pytest.mark.parametrize("place", [io.BytesIO(), None, 3])
def test_a_place_of_another_kind_is_named(use: Any, place: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"must be a string or a pathlib\.Path; got (BytesIO|NoneType|int)"):
        use(place)


class Doubled(RNNClassifier):
    def forward(self, *args: Any, **options: Any) -> Any:
        return 2 * super().forward(*args, **options)


def test_what_could_not_be_loaded_again_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(InvalidDataError, match="must be an RNNClassifier itself to be saved; got Doubled, whose"):
        save(Doubled.for_dataset(DATA, hidden_size=3), tmp_path / "m")
    other = model()
    other.head = nn.Linear(3, 2, bias=False)
    with pytest.raises(InvalidDataError, match="must have the head that it was made with to be saved; got Linear"):
        save(other, tmp_path / "m")
    with pytest.raises(InvalidArgumentError, match="model must be an RNNClassifier; got Linear"):
        save(nn.Linear(2, 2), tmp_path / "m")
    assert not list(tmp_path.iterdir())


def _with_forward(one: RNNClassifier) -> None:
    one.forward = lambda *_: None  # type: ignore[method-assign, assignment]


def _wider(one: RNNClassifier) -> None:
    one.head = nn.Linear(3, 5)


def _with_norm(one: RNNClassifier) -> None:
    one.embedding = nn.Embedding(4, 64, padding_idx=0, max_norm=1.0)


def _with_more(one: RNNClassifier) -> None:
    one.register_buffer("more", torch.zeros(1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_with_forward, "must be an RNNClassifier itself"),
        (_wider, r"as its options say to be saved; got head\.(weight|bias) changed"),
        (_with_norm, "got embedding changed"),
        (_with_more, "got more changed"),
    ],
)
def test_what_was_changed_by_hand_is_not_saved(change: Any, message: str, tmp_path: Path) -> None:
    changed = model()
    change(changed)
    with pytest.raises(InvalidDataError, match=message):
        save(changed, tmp_path / "m")
    assert not list(tmp_path.iterdir())


@needs_posix
def test_names_that_no_system_takes(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    for place in (tmp_path / "a", tmp_path / "nul\0", tmp_path / ("x" * 300)):
        with pytest.raises(FileFormatError, match=r"path must be one that this system takes; got"):
            save(model(), place)
    save(model(), tmp_path / ("x" * 250))
    assert load(tmp_path / ("x" * 250)).num_classes == 2


def test_what_is_frozen_stays_so(tmp_path: Path) -> None:
    frozen = model()
    assert frozen.embedding is not None
    frozen.embedding.weight.requires_grad_(False)
    frozen.head.bias.requires_grad_(False)
    save(frozen, tmp_path / "m")
    again = load(tmp_path / "m")
    assert {name for name, one in again.named_parameters() if not one.requires_grad} == {
        "embedding.weight",
        "head.bias",
    }
    assert predict(again, ["ab"]) == predict(frozen, ["ab"])
    assert again.num_parameters == frozen.num_parameters


def test_a_dataset_and_a_model_name_what_they_cannot_use() -> None:
    with pytest.raises(InvalidArgumentError, match="vocabulary must be a Vocabulary; got str"):
        SequenceDataset.from_pairs([("a", "x")], vocabulary="ab")
    with pytest.raises(InvalidArgumentError, match=r"seed must be below 2\^63; got"):
        RNNClassifier(2, vocab_size=4, seed=1 << 70)
    assert not torch.equal(RNNClassifier(2, vocab_size=4, seed=(1 << 63) - 1).head.bias, torch.zeros(2))
