"""Float sequences: standardised by the training data, missing values by policy, channels first; and empty sequences."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from seqclf import (
    RNNClassifier,
    SequenceDataset,
    Vocabulary,
    calibrate,
    evaluate,
    fit,
    load,
    pad_collate,
    predict,
    predict_proba,
    run_study,
    save,
)
from seqclf.errors import InvalidArgumentError, InvalidDataError
from seqclf.models.features import Features, fill_forward
from tests import strategies

NAN = float("nan")


def traces(seed: int = 0, count: int = 6, width: int = 3, missing: float = 0.0) -> list[np.ndarray]:
    """Float sequences of several lengths, off zero and of unlike scales, some values of them missing."""
    rng = np.random.default_rng(seed)
    found = [rng.normal(5, [1, 10, 0.1][:width], size=(rng.integers(1, 9), width)) for _ in range(count)]
    for trace in found:
        trace[rng.random(trace.shape) < missing] = NAN
    return found


def dataset(sequences: list[Any], **options: Any) -> SequenceDataset:
    return SequenceDataset.from_sequences(sequences, [index % 2 for index in range(len(sequences))], **options)


def model_for(data: SequenceDataset, **options: Any) -> RNNClassifier:
    return RNNClassifier.for_dataset(data, **({"hidden_size": 4, "seed": 0} | options))


def fill_by_loop(trace: np.ndarray, policy: str, mean: np.ndarray) -> np.ndarray:
    filled = trace.copy()
    for feature in range(trace.shape[1]):
        known = mean[feature]
        for step in range(len(trace)):
            if not np.isnan(trace[step, feature]):
                known = trace[step, feature] if policy == "forward" else known
            else:
                filled[step, feature] = known
    return np.concatenate([filled, np.isnan(trace)], axis=1) if policy == "indicator" else filled


@pytest.mark.parametrize("policy", ["mean", "forward", "indicator"])
@pytest.mark.parametrize("standardize", [False, True])
@given(seed=strategies.seeds, missing=st.sampled_from([0.0, 0.3, 0.9]))
def test_features_are_prepared_as_by_a_loop(policy: Any, standardize: bool, seed: int, missing: float) -> None:
    sequences = traces(seed, missing=missing)
    data = dataset(sequences, allow_missing=True)
    features = model_for(data, standardize=standardize, missing=policy).features
    assert features is not None
    steps = data.sequences.values.double().numpy()
    known = [column[~np.isnan(column)] for column in steps.T]
    mean = np.array([column.mean() if len(column) else 0.0 for column in known])
    scale = np.array([column.std() if len(column) > 1 else 1.0 for column in known])
    assert isinstance(features, Features)
    assert np.allclose(features.mean, mean, rtol=1e-6, atol=0)
    assert np.allclose(features.scale, scale if standardize else 1.0, rtol=1e-3, atol=0)
    features.double()
    mean, scale = features.mean.numpy(), features.scale.numpy()
    for trace in np.split(steps, data.sequences.offsets[1:-1].numpy()):
        expected = fill_by_loop(trace, policy, mean)
        if standardize:
            expected[:, :3] = (expected[:, :3] - mean) / scale
        found = features(torch.tensor(trace)[None], torch.float64)[0]
        assert np.allclose(found.numpy(), expected, rtol=0, atol=1e-9)


def test_a_feature_that_never_changes_is_not_blown_up() -> None:
    data = dataset([np.full((5, 1), 0.1), np.full((3, 1), 0.1)])
    features = model_for(data, standardize=True).features
    assert features is not None
    assert float(features.scale) == 1.0


@given(seed=strategies.seeds, policy=st.sampled_from(["mean", "forward", "indicator"]), packed=st.booleans())
def test_missing_values_do_not_break_the_batching_law(seed: int, policy: Any, packed: bool) -> None:
    data = dataset(traces(seed, missing=0.4), allow_missing=True)
    model = model_for(data, standardize=True, missing=policy, bidirectional=True).double().eval()
    model.execution = "packed" if packed else "padded"
    batch = data.batch(range(len(data)))
    assert isinstance(batch.inputs, Tensor)
    together = model(batch.inputs, batch.lengths)
    assert bool(together.isfinite().all())
    for row, length in enumerate(batch.lengths.tolist()):
        alone = model(batch.inputs[row : row + 1, :length], torch.tensor([length]))[0]
        assert (alone - together[row]).abs().max() <= 1e-12
    as_packed = torch.nn.utils.rnn.pack_padded_sequence(
        batch.inputs, batch.lengths, batch_first=True, enforce_sorted=False
    )
    assert (model(as_packed) - together).abs().max() <= 1e-12


def test_forward_fill_stops_at_the_start() -> None:
    steps = torch.tensor([[[NAN, 1.0], [2.0, NAN], [NAN, NAN]]])
    filled = fill_forward(steps)
    assert torch.equal(filled.isnan(), torch.tensor([[[True, False], [False, False], [False, False]]]))
    assert torch.equal(filled[0, 1:], torch.tensor([[2.0, 1.0], [2.0, 1.0]]))


def test_the_scale_is_that_of_training_and_is_saved(tmp_path: Path) -> None:
    train = dataset(traces(0, missing=0.2), allow_missing=True)
    model = model_for(train, standardize=True, missing="indicator")
    others = [trace * 3 for trace in traces(1)]
    save(model, tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    assert again.standardize
    assert again.missing == "indicator"
    assert np.array_equal(predict_proba(again, others), predict_proba(model, others))
    stats = again.features
    assert stats is not None
    assert torch.equal(stats.mean, model.features.mean)


def test_standardising_makes_unlike_scales_learnable() -> None:
    rng = np.random.default_rng(0)
    sequences = [rng.normal(1000 + 0.01 * (index % 2), 0.003, size=(rng.integers(3, 9), 1)) for index in range(80)]
    data = dataset([sequence.astype(np.float64) for sequence in sequences])
    accuracy = {}
    for standardize in (False, True):
        model = model_for(data, standardize=standardize, hidden_size=8)
        fit(model, data, epochs=20, batch_size=8, progress=False)
        accuracy[standardize] = evaluate(model, data).accuracy
    assert accuracy[True] > 0.95 > accuracy[False]


def test_missing_values_need_a_policy() -> None:
    sequences = traces(0, missing=0.5)
    with pytest.raises(InvalidDataError, match=r"features must be finite numbers; got nan \(sequence \d+, step \d+"):
        dataset(sequences)
    data = dataset(sequences, allow_missing=True)
    with pytest.raises(InvalidDataError, match=r"or keep NaN with allow_missing=True in the dataset, and missing="):
        fit(model_for(data), data, progress=False)
    with pytest.raises(InvalidDataError, match="features must be finite"):
        predict(model_for(data), sequences)
    assert len(predict(model_for(data, missing="mean"), sequences)) == len(sequences)
    with pytest.raises(InvalidDataError, match="features must be finite numbers; got inf"):
        dataset([np.array([[np.inf]])], allow_missing=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"standardize": True},
            r"standardize must be False for sequences of symbols; got True\. Symbols have no scale",
        ),
        ({"missing": "mean"}, r"missing must be 'error' for sequences of symbols; got 'mean'"),
        ({"missing": "mode"}, r"missing must be one of 'error', 'mean', 'forward', 'indicator'; got 'mode'"),
        ({"empty": "none"}, r"empty must be one of 'error', 'skip', 'zero'; got 'none'"),
        ({"truncate_steps": 0}, r"truncate_steps must be an integer of at least 1; got 0"),
        ({"recurrent_dropout": 1.0}, r"recurrent_dropout must be a number from 0"),
        ({"recurrent_dropout": 0.5, "cell": torch.nn.GRUCell}, r"recurrent_dropout must be 0 for other cells"),
    ],
)
def test_options_at_odds_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        RNNClassifier(2, vocab_size=4, **options)


def test_channels_may_come_first(tmp_path: Path) -> None:
    sequences = traces()
    turned = [trace.T for trace in sequences]
    data, same = dataset(turned, channels_first=True), dataset(sequences)
    assert torch.equal(data.sequences.values, same.sequences.values)
    assert data.split(0.5)[0].channels_first
    model = model_for(data)
    assert np.array_equal(predict_proba(model, turned), predict_proba(model_for(same), sequences))
    save(model, tmp_path / "model.safetensors")
    assert predict(load(tmp_path / "model.safetensors"), turned) == predict(model, turned)
    univariate = dataset([trace[:, 0] for trace in sequences], channels_first=True)
    assert univariate.input_size == 1
    with pytest.raises(InvalidDataError, match=r"float sequences must have the shape \(F, T\); got \(1, 2, 2\)"):
        dataset([np.ones((1, 2, 2))], channels_first=True)
    with pytest.raises(InvalidDataError, match=r"Give each sequence the shape \(F, T\) with one F"):
        dataset([np.ones((1, 2)), np.ones((2, 2))], channels_first=True)


# Empty sequences.

PAIRS = [("ab", "x"), ("", "y"), ("b", "x"), ("ba", "y"), ("", "x")]


def empties(**options: Any) -> tuple[SequenceDataset, RNNClassifier]:
    data = SequenceDataset.from_pairs(PAIRS, allow_empty=True)
    return data, model_for(data, **options)


def test_empty_sequences_are_an_error_by_default() -> None:
    with pytest.raises(InvalidDataError, match=r"sequences must not be empty; got length 0 \(sequence 1\)"):
        SequenceDataset.from_pairs(PAIRS)
    data, model = empties()
    for use in (lambda: fit(model, data, progress=False), lambda: evaluate(model, data), lambda: predict(model, data)):
        with pytest.raises(InvalidDataError, match=r"\(sequence 1\)\. Remove it; or keep it with allow_empty=True"):
            use()
    with pytest.raises(InvalidDataError, match=r"got length 0 \(sequence 1\)"):
        predict(model, ["a", ""])
    with pytest.raises(InvalidDataError, match=r"lengths must be from 1 to the number of steps, 2; got 0 \(row 1\)"):
        model(torch.tensor([[2, 3], [0, 0]]), torch.tensor([2, 0]))


def test_zero_classifies_a_zero_state() -> None:
    data, model = empties(empty="zero", pooling=("last", "attention"), bidirectional=True)
    fit(model, data, epochs=2, batch_size=2, progress=False)
    expected = model.head.bias.softmax(0).detach().numpy()
    for words in (["", "ab", ""], ["", ""], [""]):
        found = predict_proba(model, words)
        assert len(found) == len(words) == len(predict(model, words))
        assert np.allclose([row for row, word in zip(found, words, strict=True) if not word], expected, atol=1e-6)
    assert np.allclose(predict_proba(model, ["ab", ""])[0], predict_proba(model, ["ab"])[0], atol=1e-6)
    assert evaluate(model, data).n == 5


def test_skip_leaves_them_out_and_predicts_none() -> None:
    data, model = empties(empty="skip")
    fit(model, data, epochs=1, progress=False)
    assert evaluate(model, data).n == 3
    labels = predict(model, ["", "ab", ""])
    assert labels[0] is None
    assert labels[2] is None
    assert labels[1] in {"x", "y"}
    probabilities = predict_proba(model, ["", "ab"])
    assert np.isnan(probabilities[0]).all()
    assert np.isfinite(probabilities[1]).all()
    assert predict(model, ["", ""]) == [None, None]
    only = SequenceDataset.from_pairs([("", "x")], vocabulary=data.vocabulary, classes=data.classes, allow_empty=True)
    with pytest.raises(InvalidDataError, match="dataset must hold at least one sequence; got none"):
        evaluate(model, only)


def test_skipping_trains_as_if_they_had_never_been_there() -> None:
    data, model = empties(empty="skip")
    fit(model, data, epochs=3, batch_size=2, progress=False)
    without = SequenceDataset.from_pairs([pair for pair in PAIRS if pair[0]], vocabulary=data.vocabulary)
    other = model_for(without)
    fit(other, without, epochs=3, batch_size=2, progress=False)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


def test_sequences_beside_empty_ones_in_training() -> None:
    """With dropout, sequences beside empty ones lose what they lose without them."""
    model = RNNClassifier(
        3, vocab_size=7, hidden_size=4, num_layers=2, dropout=0.5, input_dropout=0.5, empty="zero", seed=0
    ).double()
    batch = pad_collate([([2, 3], 0), ([], 0), ([4], 1)], allow_empty=True)
    keys = torch.tensor([7, 8, 9])
    together = model(batch.inputs, batch.lengths, keys=keys)
    alone = model(torch.tensor([[4]]), torch.tensor([1]), keys=keys[2:])
    assert (together[2] - alone[0]).abs().max() <= 1e-12
    assert torch.equal(together[1], model.head.bias)
    of_batch, of_single = (
        torch.autograd.grad(one.sum(), model.encoder.weight_ih_l0)[0] for one in (together[2], alone)
    )
    assert (of_batch - of_single).abs().max() <= 1e-12


def test_a_batch_of_nothing_but_empty_sequences() -> None:
    model = RNNClassifier(3, vocab_size=7, empty="zero", vocabulary=Vocabulary("abcde"), seed=0)
    inputs = torch.zeros(2, 0, dtype=torch.int64)
    assert torch.equal(model(inputs, torch.tensor([0, 0])), model.head.bias.expand(2, 3))
    model(inputs, torch.tensor([0, 0])).sum().backward()
    assert model.head.bias.grad is not None
    with pytest.raises(InvalidDataError, match=r"sequences must not be empty; got length 0 \(sequence 0\)"):
        pad_collate([([], 0)])


def test_the_report_counts_what_is_missing_and_empty() -> None:
    gaps = dataset(
        [np.array([[NAN, 1.0], [2.0, NAN]]), np.ones((3, 2)), np.zeros((0, 2))], allow_empty=True, allow_missing=True
    )
    report = gaps.report()
    assert (report.missing_values, report.missing_sequences, report.empty) == (2, 1, 1)
    assert "missing      2 values, in 1 sequences" in repr(report)
    assert "empty        1 sequences have no step" in repr(report)
    assert report.to_dict()["empty"] == 1


@given(st.lists(st.text("ab", max_size=2), min_size=1, max_size=20))
def test_empty_sequences_are_grouped_like_any_other(texts: list[str]) -> None:
    groups = SequenceDataset.from_pairs(
        [(text, 0) for text in texts], allow_empty=True, vocabulary=Vocabulary("ab")
    ).groups
    expected = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    assert groups.tolist() == [expected[text] for text in texts]


def test_calibration_looks_at_what_is_not_skipped() -> None:
    data, model = empties(empty="skip")
    other = model_for(data.drop_empty())
    assert calibrate(model, data) == calibrate(other, data.drop_empty())


def test_studies_take_empty_sequences_and_channels(tmp_path: Path) -> None:
    data = SequenceDataset.from_pairs(PAIRS, allow_empty=True)
    options = {"hidden_size": 4, "epochs": 1, "empty": "skip", "calibrate": True, "priors": [2, 1]}
    for _ in range(2):  # the second time from the cache
        study = run_study(
            data, {"seed": [0]}, base=options, validation_data=data, test_data=data, cache=tmp_path, progress=False
        )
        assert [result.n for result in study.runs[0].results.values()] == [3, 3]
    turned = dataset([trace.T for trace in traces()], channels_first=True)
    study = run_study(turned, {"seed": [0]}, base={"epochs": 1}, cache=tmp_path, keep_models=True, progress=False)
    assert study.runs[0].load_model().channels_first
