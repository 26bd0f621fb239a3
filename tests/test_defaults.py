"""The rules for what is left to them, the schedules by name, the linear baseline, and autotune."""

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from benchmarks.defaults import read_series
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.optim import SGD

from seqclf import (
    History,
    RNNClassifier,
    SequenceDataset,
    autotune,
    defaults,
    evaluate,
    explain,
    fit,
    linear_baseline,
    load,
    predict_proba,
    save,
    verify_batching,
)
from seqclf.data import baseline, ngrams
from seqclf.data.ngrams import count_ngrams
from seqclf.data.ragged import Ragged
from seqclf.defaults import PLAIN
from seqclf.engine.dropout import rarity_thresholds
from seqclf.errors import InvalidArgumentError, InvalidDataError, MissingDependencyError, SeqclfWarning
from seqclf.training.schedules import make_scheduler
from tests import strategies

LETTERS = strategies.letters_dataset()
TOKENS = SequenceDataset.from_pairs([(["a", "b"], "x"), (["b", "a", "a"], "y")] * 6)
ALIGNED = SequenceDataset.from_pairs([("abba", "x"), ("baab", "y"), ("aaba", "x")] * 4)
SERIES = strategies.random_features()
SMALL: Any = {"hidden_size": 4, "embedding_dim": 3, "seed": 0}


# What for_dataset chooses.


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (LETTERS, {"ngrams": None, "positions": None, "symbol_dropout": "rare", "input_dropout": 0.3}),
        (TOKENS, {"ngrams": (2,), "positions": None}),
        (ALIGNED, {"ngrams": (2, 3), "positions": "both"}),
        (SERIES, {"ngrams": None, "positions": None, "standardize": True, "input_dropout": 0.1, "symbol_dropout": 0.0}),
    ],
    ids=["texts", "tokens", "aligned", "series"],
)
def test_options_follow_from_what_the_data_are(data: SequenceDataset, expected: dict[str, Any]) -> None:
    model = RNNClassifier.for_dataset(data, **SMALL)
    shared = {"bidirectional": True, "pooling": ("last", "mean", "max"), "dropout": 0.5}
    assert {name: model.config[name] for name in shared | expected} == shared | expected
    assert set(shared) <= set(model.chosen)
    assert "chosen: bidirectional=True" in str(model)


def test_what_is_given_is_kept_and_auto_is_not_given() -> None:
    model = RNNClassifier.for_dataset(LETTERS, **SMALL, dropout=0.0, ngrams=None, pooling="auto", cell="auto")
    assert (model.dropout, model.ngrams, model.config["pooling"]) == (0.0, None, ("last", "mean", "max"))
    assert "dropout" not in model.chosen
    assert "pooling" in model.chosen
    plain = RNNClassifier.for_dataset(LETTERS, **SMALL, **PLAIN)
    assert plain.chosen == ()
    assert "chosen" not in str(plain)


def test_ngrams_that_are_asked_for_are_forgotten_now_and_then() -> None:
    model = RNNClassifier.for_dataset(LETTERS, **SMALL, ngrams=2)
    assert (model.ngrams, model.ngram_dropout) == ((2,), 0.3)
    assert model.num_ngrams == len(model.ngram_vectors.keys) > 0
    assert RNNClassifier.for_dataset(TOKENS, **SMALL, ngrams=None).ngram_dropout == 0.0


@pytest.mark.parametrize("execution", ["auto", "packed"])
def test_data_without_a_single_ngram_are_trained_on(execution: Any) -> None:
    data = SequenceDataset.from_pairs([("a", "x"), ("b", "y")] * 8)
    model = RNNClassifier.for_dataset(data, **SMALL, ngrams=2, execution=execution)
    assert model.num_ngrams == 0
    fit(model, data, epochs=60, learning_rate=0.02, progress=False)
    assert evaluate(model, data).accuracy == 1.0


def test_the_plain_constructor_stays_plain() -> None:
    model = RNNClassifier(2, vocab_size=5)
    assert (model.bidirectional, model.dropout, model.config["pooling"], model.ngrams) == (False, 0.0, "last", None)


def test_a_pooling_of_ones_own_keeps_the_width_that_it_was_made_for() -> None:
    model = RNNClassifier.for_dataset(LETTERS, **SMALL, pooling=strategies.SumAndCount(4))
    assert not model.bidirectional
    fit(model, LETTERS, epochs=1, progress=False)


def test_what_was_chosen_travels_with_the_model(tmp_path: Path) -> None:
    model = RNNClassifier.for_dataset(ALIGNED, **SMALL)
    fit(model, ALIGNED, epochs=2, progress=False)
    save(model, tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    assert again.config == model.config
    assert again.chosen == model.chosen
    texts = ["abba", "bbbb", "zzzz a"]
    assert np.array_equal(predict_proba(again, texts), predict_proba(model, texts))


def test_vocabularies_too_large_for_ngrams_go_without() -> None:
    texts = ["".join(chr(300 + 700 * i + j) for j in range(650)) for i in range(10)]
    data = SequenceDataset.from_pairs([(text, i % 2) for i, text in enumerate(texts)])
    with pytest.raises(InvalidArgumentError, match=r"ngrams must be so short that .*; got 6 with 6\d\d\d ids"):
        RNNClassifier.for_dataset(data, ngrams=6, **SMALL)
    with pytest.raises(InvalidArgumentError, match=r"ngrams must be numbers of symbols from 2 to 8; got 9"):
        RNNClassifier.for_dataset(data, ngrams=9, **SMALL)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"positions": "middle"}, r"positions must be one of 'start', 'end', 'both'; got 'middle'"),
        ({"ngrams": 1}, r"ngrams must be an integer of at least 2; got 1"),
        ({"ngrams": ()}, r"ngrams must be numbers of symbols from 2 to 8; got \(\)"),
        ({"symbol_dropout": "rarer"}, r"symbol_dropout must be one of 'rare'; got 'rarer'"),
        ({"ngram_dropout": 1}, r"ngram_dropout must be a number from 0"),
    ],
)
def test_bad_options(options: Any, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        RNNClassifier(2, vocab_size=5, **options)


@pytest.mark.parametrize("options", [{"positions": "start"}, {"ngrams": 2}, {"symbol_dropout": "rare"}])
def test_series_have_no_symbols(options: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"for float sequences; got"):
        RNNClassifier(2, input_size=3, **options)


@pytest.mark.parametrize("positions", ["end", "both"])
def test_streams_do_not_know_the_end(positions: Any) -> None:
    model = RNNClassifier(2, vocab_size=5, positions=positions)
    with pytest.raises(InvalidArgumentError, match=r"positions must be None or 'start' to classify prefixes"):
        model.stream()


# N-grams and rare symbols.


@given(st.lists(st.lists(st.integers(1, 5), max_size=7), min_size=1, max_size=8), st.integers(1, 3))
def test_ngrams_are_counted_within_sequences(sequences: list[list[int]], least: int) -> None:
    lengths = torch.tensor([0, *map(len, sequences)]).cumsum(0)
    store = Ragged(torch.tensor([one for sequence in sequences for one in sequence], dtype=torch.int64), lengths)
    expected: dict[int, int] = {}
    for sequence in sequences:
        for order in (2, 3):
            for start in range(len(sequence) - order + 1):
                key = sum(one * 6**place for place, one in enumerate(reversed(sequence[start : start + order])))
                expected[key] = expected.get(key, 0) + 1
    kept = sorted(key for key, count in expected.items() if count >= least)
    assert count_ngrams(store, (2, 3), 6, least, 1000).tolist() == kept
    most = count_ngrams(store, (2, 3), 6, least, 2).tolist()
    assert sorted(expected[key] for key in most) == sorted((expected[key] for key in kept), reverse=True)[:2][::-1]


def test_ngrams_are_counted_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = count_ngrams(LETTERS.sequences, (2, 3), 9, 2, 50)
    monkeypatch.setattr(ngrams, "_BLOCK_STEPS", 7)
    assert torch.equal(count_ngrams(LETTERS.sequences, (2, 3), 9, 2, 50), whole)


def test_what_ngrams_and_distances_say_is_told_where_they_stand() -> None:
    model = RNNClassifier.for_dataset(LETTERS, **SMALL, ngrams=2, positions="both").double()
    fit(model, LETTERS, epochs=3, progress=False)
    assert abs(explain(model, "abcab").residual) < 0.01
    assert verify_batching(model, ["ab", "abcabc", "c"]).passed


def test_rare_symbols_become_unknown_in_proportion() -> None:
    thresholds = rarity_thresholds(torch.tensor([5, 5, 0, 1, 3, 10**6]))
    assert thresholds.tolist() == [0, 0, 0, 1 << 15, 1 << 14, 0]
    model = RNNClassifier.for_dataset(LETTERS, **SMALL)
    assert model.symbol_counts is not None
    assert model.symbol_counts.sum() == LETTERS.sequences.total


def test_dropping_rare_symbols_trains_the_unknown_one() -> None:
    pairs = [(f"{a}{chr(200 + number)}", a) for number, a in enumerate("ab" * 40)]
    train = SequenceDataset.from_pairs(pairs)
    for options, is_trained in (({}, True), ({"symbol_dropout": 0.0}, False)):
        model = RNNClassifier.for_dataset(train, **SMALL, **options)
        assert model.embedding is not None
        before = model.embedding.weight[1].clone()
        fit(model, train, epochs=1, optimizer=SGD(model.parameters(), lr=0.1), progress=False)
        assert torch.equal(model.embedding.weight[1], before) != is_trained


def test_the_kernels_get_no_table_of_another_size() -> None:
    model = RNNClassifier.for_dataset(LETTERS, **SMALL, ngrams=2)
    dropout = model.new_dropout(torch.zeros(1, dtype=torch.int64))
    with pytest.raises(InvalidArgumentError, match=r"thresholds must be int32, one for each of 99 symbols"):
        dropout.fields(99)
    assert model.ngram_vectors is not None
    model.ngram_vectors.keys = model.ngram_vectors.keys[:-1]
    with pytest.raises(InvalidArgumentError, match=r"keys must be int64 of shape \(\d+,\), as many as n-grams"):
        predict_proba(model, ["abc"])


# What fit chooses.


@pytest.mark.parametrize("updates", [1, 2, 7, 49, 50, 500, 2000, 8000, 10**6])
def test_small_data_get_enough_updates_and_large_data_few_epochs(updates: int) -> None:
    epochs = defaults.training_options(updates)["epochs"]
    assert defaults.FEWEST_EPOCHS <= epochs <= defaults.MOST_EPOCHS
    assert epochs * updates >= defaults.FEWEST_UPDATES or epochs == defaults.MOST_EPOCHS
    assert epochs in {defaults.USUAL_EPOCHS, defaults.FEWEST_EPOCHS} or updates < 50 or 2000 < updates < 8000


def test_fit_chooses_and_tells(capsys: pytest.CaptureFixture[str]) -> None:
    model = RNNClassifier.for_dataset(LETTERS, **SMALL)
    history = fit(model, LETTERS, epochs=12)
    assert (history.config["schedule"], history.config["learning_rate"]) == ("one_cycle", 3e-3)
    assert (history.config["clip_grad_norm"], history.config["label_smoothing"]) == (1.0, 0.1)
    assert "epochs" not in history.config["chosen"]
    assert history.config["updates"] == 24
    assert History.from_json(history.to_json()).config == history.config
    said = capsys.readouterr().err
    assert said.startswith("fit: learning_rate=0.003, weight_decay=0.01, schedule='one_cycle', clip_grad_norm=1.0, ")
    fit(model, LETTERS, epochs=1, progress=False)
    assert not capsys.readouterr().err


def test_beside_an_optimizer_of_ones_own_nothing_is_added() -> None:
    model = RNNClassifier.for_dataset(LETTERS, **SMALL)
    optimizer = SGD(model.parameters(), lr=0.1)
    config = fit(model, LETTERS, validation_data=LETTERS, optimizer=optimizer, progress=False).config
    found = {name: config[name] for name in ("epochs", "schedule", "clip_grad_norm", "label_smoothing")}
    assert found == {"epochs": 10, "schedule": None, "clip_grad_norm": None, "label_smoothing": 0.0}
    assert config["early_stopping"] is None
    assert (config["optimizer"], optimizer.param_groups[0]["lr"]) == ("SGD", 0.1)


def test_with_validation_data_the_best_epoch_is_kept() -> None:
    train, validation = LETTERS.split(0.3)
    model = RNNClassifier.for_dataset(train, **SMALL)
    history = fit(model, train, validation_data=validation, epochs=6, progress=False)
    assert history.best_epoch == int(np.argmin(history["val_loss"]))
    assert history.config["early_stopping"]["patience"] == 5
    history = fit(model, train, validation_data=validation, epochs=2, early_stopping=None, progress=False)
    assert history.best_epoch is None


def test_few_updates_have_no_schedule() -> None:
    model = RNNClassifier.for_dataset(LETTERS, **SMALL)
    assert fit(model, LETTERS, epochs=2, progress=False).config["schedule"] is None


def test_training_that_comes_to_nothing_says_so() -> None:
    model = RNNClassifier.for_dataset(LETTERS, **SMALL)
    with pytest.warns(SeqclfWarning, match=r"training accuracy came to 0\.\d+ at best, .* learned next to nothing"):
        fit(model, LETTERS, epochs=1, learning_rate=1e-9, progress=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"schedule": "cosin"}, r"schedule must be one of .*; got 'cosin'. Did you mean 'cosine'"),
        ({"warmup": 0.1, "schedule": None}, r"warmup must come with a schedule; got 0.1"),
        ({"warmup": 1.5, "schedule": "linear"}, r"warmup must be a number from 0"),
        (
            {"schedule": "linear", "scheduler": lambda optimizer: torch.optim.lr_scheduler.ExponentialLR(optimizer, 1)},
            r"schedule must be None beside a scheduler, which does the same; got 'linear'",
        ),
        ({"weight_decay": -1}, r"weight_decay must be a finite number above 0; got -1"),
        (
            {"optimizer": lambda parameters: SGD(parameters, 0.1), "weight_decay": 0.1},
            r"weight_decay must be None beside an optimizer, which has its own; got 0.1",
        ),
        ({"epochs": 0}, r"epochs must be an integer of at least 1"),
    ],
)
def test_bad_training_options(options: Any, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        fit(RNNClassifier.for_dataset(LETTERS, **SMALL), LETTERS, progress=False, **options)


TASKS = os.environ.get("SEQCLF_TASKS_DIR")


@pytest.mark.skipif(TASKS is None, reason="SEQCLF_TASKS_DIR is not set: no other data than names are trained on")
def test_the_plain_call_beats_a_linear_model_on_real_series() -> None:
    [(train, test)] = read_series(Path(TASKS or "") / "series" / "ItalyPowerDemand", 0)
    model = RNNClassifier.for_dataset(train, seed=0)
    fit(model, train, progress=False)
    assert evaluate(model, test).accuracy > 0.93 > linear_baseline(train, test).accuracy + 0.05


# Schedules by name.


@pytest.mark.parametrize("warmup", [None, 0.25])
@pytest.mark.parametrize("name", ["one_cycle", "cosine", "linear", "constant"])
def test_schedules_rise_and_fall_by_updates(name: Any, warmup: float | None) -> None:
    updates = 40
    optimizer = SGD([nn.Parameter(torch.zeros(1))], lr=0.1, momentum=0.9)
    scheduler = make_scheduler(name, updates, warmup)(optimizer)
    rates = []
    for _ in range(updates):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    top = int(np.argmax(rates))
    assert math.isclose(rates[top], 0.1, rel_tol=0.02)
    assert top <= 0.3 * updates
    assert np.all(np.diff(rates[: top + 1]) >= -1e-12)
    assert np.all(np.diff(rates[top:]) <= 1e-12)
    assert rates[-1] == 0.1 if name == "constant" else rates[-1] < 0.005
    assert top == 0 if warmup is None and name != "one_cycle" else top > 0


def test_a_run_that_was_cut_off_goes_on_along_its_schedule(tmp_path: Path) -> None:
    def train(epochs: int, **options: Any) -> torch.Tensor:
        model = RNNClassifier.for_dataset(LETTERS, **SMALL)
        fit(model, LETTERS, epochs=epochs, batch_size=8, schedule="cosine", warmup=0.2, progress=False, **options)
        return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])

    whole = train(4)

    def stop(end: Any) -> None:
        if end.epoch == 1:
            raise RuntimeError("cut off")

    with pytest.raises(RuntimeError, match="cut off"):
        train(4, checkpoint=tmp_path / "run", callbacks=stop)
    assert torch.equal(train(4, checkpoint=tmp_path / "run", resume=True), whole)
    with pytest.raises(InvalidArgumentError, match="schedule"):
        train(6, checkpoint=tmp_path / "run", resume=True)


# The linear baseline.


def test_the_baseline_learns_what_a_linear_model_can() -> None:
    last = SequenceDataset.from_pairs([(text, text[-1]) for text in ("aab", "ba", "cca", "bbb", "cab", "aa") * 5])
    assert linear_baseline(last, last).accuracy == 1.0
    assert linear_baseline(ALIGNED, ALIGNED).accuracy == 1.0
    result = linear_baseline(SERIES, SERIES)
    assert result.accuracy > 0.8
    assert result.n == len(SERIES)
    assert np.isfinite(result.losses).all()
    assert linear_baseline(TOKENS, TOKENS).accuracy == 1.0


def test_the_baseline_does_not_look_at_test_labels_and_is_the_same_twice() -> None:
    train, test = strategies.letters_dataset(80).split(0.3)
    first, second = linear_baseline(train, test), linear_baseline(train, test)
    assert np.array_equal(first.losses, second.losses)
    other = SequenceDataset(test.sequences, test.labels.flip(0), test.classes, test.vocabulary)
    assert np.array_equal(linear_baseline(train, other).predictions, first.predictions)


def test_the_baseline_of_odd_data() -> None:
    one = LETTERS.subset(np.flatnonzero(LETTERS.labels.numpy() == 1))
    assert linear_baseline(one, LETTERS).accuracy == pytest.approx(float((LETTERS.labels == 1).double().mean()))
    gaps = SequenceDataset.from_sequences(
        [np.full((2, 1), np.nan), np.ones((3, 1)), np.zeros((1, 1))] * 4, [0, 1, 0] * 4, allow_missing=True
    )
    assert linear_baseline(gaps, gaps).n == 12
    with pytest.raises(InvalidDataError, match="train and test must be of one kind"):
        linear_baseline(LETTERS, SERIES)
    for train, test in ((LETTERS.subset([]), LETTERS), (LETTERS, LETTERS.subset([]))):
        with pytest.raises(InvalidDataError, match="neither must be empty"):
            linear_baseline(train, test)


def test_the_baseline_and_the_report_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    train, test = LETTERS.split(0.3)
    assert train.report(test).linear == linear_baseline(train, test).accuracy
    assert "accuracy of a linear model" in str(train.report(test))
    monkeypatch.setattr(baseline, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"scikit-learn; it is not there. .* \"seqclf\[sklearn\]\""):
        linear_baseline(train, test)
    assert train.report(test).linear is None


# Autotune.


def test_autotune_tries_the_rules_first_and_refits_on_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = {"hidden_size": 4, "embedding_dim": 3, "epochs": 2}
    model, trials = autotune(LETTERS, 30, base=base, cache=tmp_path, progress=False)
    assert any(not one.options for one in trials.trials)
    assert trials.best.accuracies
    assert len(trials.best.accuracies) == 3
    for name, value in trials.best.options.items():
        assert model.config.get(name, value) == value
    assert model.hidden_size == 4
    assert not any("hidden_size" in one.options for one in trials.trials)
    assert "linear model" in str(trials)
    assert trials.sentence.startswith(f"Of {len(trials.trials)} choices ")
    again, same = autotune(LETTERS, 30, base=base, cache=tmp_path, progress=False)
    assert [one.options for one in same.trials] == [one.options for one in trials.trials]
    assert [one.accuracies for one in same.trials] == [one.accuracies for one in trials.trials]
    texts = ["abc", "c"]
    assert np.array_equal(predict_proba(again, texts), predict_proba(model, texts))
    monkeypatch.setattr(baseline, "find_spec", lambda name: None)
    _, few = autotune(LETTERS, 1e-9, base=base, cache=tmp_path, progress=False)
    assert [one.options for one in few.trials] == [{}]
    assert few.linear is None
    assert "linear" not in str(few)


def test_autotune_refuses_what_no_part_could_tell() -> None:
    with pytest.raises(InvalidArgumentError, match=r"train must hold at least 10 sequences, .*; got 4"):
        autotune(LETTERS.subset(range(4)))
    with pytest.raises(InvalidArgumentError, match=r"minutes must be a finite number above 0; got 0"):
        autotune(LETTERS, 0)
