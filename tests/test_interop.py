"""Other libraries, the real ones: what they hold goes in, and what they want comes out."""

import sys
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import tokenizers
import torch
import torchmetrics
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tslearn.utils import to_time_series_dataset, ts_size

from seqclf import RNNClassifier, SequenceDataset, evaluate, fit, predict
from seqclf.callbacks import TensorBoard
from seqclf.errors import InvalidDataError, MissingDependencyError
from tests import strategies

NAMES = ["Satoshi", "Rossi", "Mori", "Bianchi", "Ueda"]
LABELS = ["Japanese", "Italian", "Japanese", "Italian", "Japanese"]
PLAIN = SequenceDataset.from_sequences(NAMES, LABELS)
TRACES = [np.random.default_rng(length).normal(size=(length, 2)) for length in (5, 3, 7)]


def columns(library: str, **values: list[Any]) -> list[Any]:
    if library == "pandas":
        return [pd.DataFrame(values)[name] for name in values]
    if library == "pandas, categorical":
        return [pd.DataFrame(values, dtype="category")[name] for name in values]
    if library == "polars":
        return [pl.DataFrame(values)[name] for name in values]
    if library == "pyarrow":
        return [pa.table(values)[name] for name in values]
    return [datasets.Dataset.from_dict(values)[name] for name in values]


@pytest.mark.parametrize("library", ["pandas", "pandas, categorical", "polars", "pyarrow", "datasets"])
def test_columns_of_tables(library: str) -> None:
    names, labels = columns(library, name=NAMES, label=LABELS)
    assert SequenceDataset.from_sequences(names, labels).fingerprint == PLAIN.fingerprint
    model = RNNClassifier.for_dataset(PLAIN, hidden_size=4, seed=0)
    assert predict(model, names) == predict(model, NAMES)


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow", "datasets"])
def test_columns_of_token_lists_and_of_numbers(library: str) -> None:
    tokens, labels = columns(library, tokens=[["GET", "a"], ["PUT"], ["GET"]], label=[200, 404, 200])
    dataset = SequenceDataset.from_sequences(tokens, labels)
    assert dataset.vocabulary is not None
    assert dataset.vocabulary.symbols[0] == "GET"
    assert dataset.classes == (200, 404)
    assert all(type(symbol) is str for symbol in dataset.vocabulary.symbols)


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame({"name": NAMES, "label": LABELS}),
        pl.DataFrame({"name": NAMES, "label": LABELS}),
        pa.table({"name": NAMES, "label": LABELS}),
        datasets.Dataset.from_dict({"name": NAMES, "label": LABELS}),
    ],
    ids=lambda table: type(table).__module__.partition(".")[0],
)
def test_a_whole_table_is_refused(table: Any) -> None:
    with pytest.raises(InvalidDataError, match=r"sequences must be one column, .*Pick the column"):
        SequenceDataset.from_sequences(table, LABELS)


def test_a_missing_value_is_told_with_its_place() -> None:
    with pytest.raises(InvalidDataError, match=r"sequences must be known; got None \(sequence 1\)"):
        SequenceDataset.from_sequences(pl.Series(["ab", None]), ["x", "y"])
    with pytest.raises(InvalidDataError, match=r"sequences must be known; got (nan|None) \(sequence 1\)"):
        SequenceDataset.from_sequences(pd.Series(["ab", None]), ["x", "y"])


def test_a_hugging_face_tokenizer() -> None:
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token="?"))
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=30, special_tokens=["?"], show_progress=False)
    tokenizer.train_from_iterator(NAMES, trainer)
    encoded = tokenizer.encode_batch(NAMES)
    by_tokens = SequenceDataset.from_sequences([one.tokens for one in encoded], LABELS)
    by_ids = SequenceDataset.from_sequences([one.ids for one in encoded], LABELS)
    assert by_tokens.lengths.tolist() == by_ids.lengths.tolist() == [len(one.ids) for one in encoded]
    model = RNNClassifier.for_dataset(by_tokens, hidden_size=4, seed=0)
    assert len(predict(model, [tokenizer.encode("Rossini").tokens])) == 1


def test_time_series_of_tslearn() -> None:
    """Its arrays are padded with NaN behind the ends, which its own `ts_size` finds."""
    padded = to_time_series_dataset(TRACES)
    assert padded.shape == (3, 7, 2)
    dataset = SequenceDataset.from_sequences([series[: ts_size(series)] for series in padded], ["a", "b", "a"])
    assert dataset.fingerprint == SequenceDataset.from_sequences(TRACES, ["a", "b", "a"]).fingerprint


def test_ragged_collections_as_aeon_has_them() -> None:
    """A list of arrays (channels, timepoints), which is aeon's collection of series of unequal length."""
    collection = [trace.T for trace in TRACES]
    dataset = SequenceDataset.from_sequences(collection, ["a", "b", "a"], channels_first=True)
    assert dataset.sequences.values.equal(SequenceDataset.from_sequences(TRACES, ["a", "b", "a"]).sequences.values)


def test_jagged_nested_tensors() -> None:
    nested = torch.nested.nested_tensor([torch.from_numpy(trace) for trace in TRACES], layout=torch.jagged)
    dataset = SequenceDataset.from_sequences(nested, torch.tensor([1, 0, 1]))
    assert dataset.fingerprint == SequenceDataset.from_sequences(TRACES, [1, 0, 1]).fingerprint
    model = RNNClassifier.for_dataset(dataset, hidden_size=4, seed=0)
    assert predict(model, nested) == predict(model, TRACES)


def test_a_history_is_a_frame() -> None:
    history = fit(RNNClassifier.for_dataset(PLAIN, hidden_size=4), PLAIN, epochs=3, progress=False)
    frame = history.to_frame()
    assert frame.index.tolist() == [1, 2, 3]
    assert frame.index.name == "epoch"
    assert {name: frame[name].tolist() for name in frame} == history.measures


def test_tensorboard_reads_what_was_measured(tmp_path: Path) -> None:
    callback = TensorBoard(tmp_path)
    model = RNNClassifier.for_dataset(PLAIN, hidden_size=4)
    history = fit(model, PLAIN, validation_data=PLAIN, epochs=2, callbacks=[callback], progress=False)
    callback.close()
    events = EventAccumulator(str(tmp_path)).Reload()
    assert set(events.Tags()["scalars"]) == set(history)
    for name in history:
        found = events.Scalars(name)
        assert [event.step for event in found] == [1, 2]
        assert np.allclose([event.value for event in found], history[name])


def test_only_the_first_process_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seqclf.callbacks.process_rank", lambda: 1)
    callback = TensorBoard(tmp_path)
    fit(RNNClassifier.for_dataset(PLAIN, hidden_size=4), PLAIN, epochs=1, callbacks=[callback], progress=False)
    callback.close()
    assert not list(tmp_path.iterdir())


def test_torchmetrics_measure_beside_ours() -> None:
    data = strategies.letters_dataset(count=60)
    model = RNNClassifier.for_dataset(data, hidden_size=6, seed=0)
    wanted = torchmetrics.classification
    metrics = {
        "accuracy": wanted.MulticlassAccuracy(3, average="micro"),
        "f1": wanted.MulticlassF1Score(3, average="macro"),
        "ece": wanted.MulticlassCalibrationError(3, n_bins=15),
        "auroc": wanted.MulticlassAUROC(3),
        "loss": lambda probabilities, labels: torch.nn.functional.nll_loss(probabilities.log(), labels),
    }
    for batch_size in (7, 256):  # a second call begins anew
        result = evaluate(model, data, batch_size=batch_size, metrics=metrics)
        assert float(result.metrics["accuracy"]) == pytest.approx(result.accuracy)
        assert float(result.metrics["f1"]) == pytest.approx(result.macro_f1, abs=1e-6)
        assert float(result.metrics["ece"]) == pytest.approx(result.calibration_error(), abs=1e-6)
        assert float(result.metrics["loss"]) == pytest.approx(result.loss)
        assert 0 <= float(result.metrics["auroc"]) <= 1


@pytest.mark.parametrize(
    ("module", "use"),
    [
        ("pandas", lambda: fit(RNNClassifier.for_dataset(PLAIN), PLAIN, epochs=1, progress=False).to_frame()),
        ("torch.utils.tensorboard", lambda: TensorBoard("never")),
    ],
)
def test_what_is_missing_is_named(module: str, use: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependencyError, match=rf"pip install {module.rpartition('.')[2]}"):
        use()
