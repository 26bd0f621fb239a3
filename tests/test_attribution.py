"""explain: what the scores promise, judged by a loop over steps and by hand."""

import copy
import re
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import seqclf.attribution
from seqclf import RNNClassifier, Vocabulary, explain, predict, predict_proba
from seqclf.errors import InvalidArgumentError, InvalidDataError
from seqclf.models.features import Features
from tests import strategies


def text_model(**options: Any) -> RNNClassifier:
    defaults: dict[str, Any] = {"hidden_size": 5, "embedding_dim": 4, "seed": 3, "classes": ["x", "y", "z"]}
    model = RNNClassifier(3, vocab_size=5, vocabulary=Vocabulary("abc"), **(defaults | options))
    return model.double()


def feature_model(**options: Any) -> RNNClassifier:
    model = RNNClassifier(2, input_size=3, hidden_size=5, seed=3, **options).double()
    if model.features is not None:
        model.features.fit(torch.randn(50, 3, generator=torch.Generator().manual_seed(0)).double() + 2)
    return model


SMOOTH = st.sampled_from([("lstm", "last"), ("gru", "mean"), ("rnn", ("attention", "last")), (nn.GRUCell, "last")])


@given(SMOOTH, st.booleans(), st.sampled_from([1, 2]), st.text("abc?", min_size=1, max_size=9), st.sampled_from("xyz"))
def test_integrated_gradients_sum_to_the_difference_of_logits(
    parts: Any, bidirectional: bool, num_layers: int, text: str, label: str
) -> None:
    cell, pooling = parts
    model = text_model(
        cell=cell, pooling=pooling, bidirectional=bidirectional, num_layers=num_layers, truncate_steps=2, dropout=0.5
    ).train()
    explanation = explain(model, text, label=label)
    logits = alone(model, text)
    assert explanation.logit == pytest.approx(logits["xyz".index(label)], abs=1e-12)
    assert explanation.baseline_logit == pytest.approx(alone(model, text, silent=range(len(text)))["xyz".index(label)])
    difference = explanation.logit - explanation.baseline_logit
    assert explanation.scores.sum() == pytest.approx(difference, rel=1e-3, abs=1e-9)
    assert explanation.residual == explanation.scores.sum() - difference
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())


def alone(model: RNNClassifier, text: str, silent: Any = ()) -> list[float]:
    """Return the logits of a text some of whose symbols have a vector of zeros; to the judge each has an id apart."""
    judge = copy.deepcopy(model).eval()
    assert model.embedding is not None
    assert model.vocabulary is not None
    vectors = model.embedding.weight.detach()[model.vocabulary.to_ids(text)].clone()
    vectors[list(silent)] = 0
    table = torch.cat([torch.zeros_like(vectors[:1]), vectors])
    judge.embedding = nn.Embedding(len(table), table.shape[1], padding_idx=0, _weight=table)
    with torch.no_grad():
        logits: list[float] = judge(torch.arange(1, len(table))[None], torch.tensor([len(text)]))[0].tolist()
    return logits


@given(st.sampled_from(["lstm", "rnn_relu", nn.LSTMCell]), st.booleans(), st.text("abc?", min_size=1, max_size=9))
def test_occlusion_is_a_loop_over_steps(cell: Any, bidirectional: bool, text: str) -> None:
    model = text_model(cell=cell, bidirectional=bidirectional, pooling=("last", "max")).eval()
    explanation = explain(model, text, label="y", method="occlusion")
    falls = [alone(model, text)[1] - alone(model, text, silent=[step])[1] for step in range(len(text))]
    assert np.allclose(explanation.scores, falls, atol=1e-12)


def test_long_sequences_are_done_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    model = text_model()
    whole = [explain(model, "abcab" * 3, method=method) for method in ("occlusion", "integrated_gradients")]
    monkeypatch.setattr(seqclf.attribution, "_CHUNK", 4)
    for one in whole:
        assert np.allclose(explain(model, "abcab" * 3, method=one.method).scores, one.scores, atol=1e-12)


def test_a_linear_model_is_explained_exactly() -> None:
    """Where the logit is a sum over steps, each step's score is its own part, for both methods."""

    class Sum(nn.Module):
        def forward(self, states: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
            return states.sum(1)

    class Copy(nn.Module):
        def __init__(self, input_size: int, hidden_size: int) -> None:
            super().__init__()
            self.map = nn.Linear(input_size, hidden_size, bias=False)

        def forward(self, x: torch.Tensor, _: Any) -> torch.Tensor:
            return self.map(x)

    model = text_model(cell=Copy, pooling=Sum())
    for method in ("occlusion", "integrated_gradients"):
        scores = explain(model, "abca", label="z", method=method).scores
        assert scores[0] == pytest.approx(scores[3], abs=1e-12)
        assert scores.sum() == pytest.approx(alone(model, "abca")[2] - float(model.head.bias[2].detach()), abs=1e-9)


@pytest.mark.parametrize("options", [{}, {"standardize": True}, {"missing": "indicator", "standardize": True}])
def test_features(options: Any) -> None:
    model = feature_model(**options)
    trace = np.random.default_rng(0).normal(size=(6, 3)) + 2
    if options.get("missing"):
        trace[2, 1] = np.nan
    explanation = explain(model, trace)
    assert explanation.label == predict(model, [trace])[0]
    assert explanation.probability == pytest.approx(predict_proba(model, [trace])[0].max())
    assert explanation.sequence == (0, 1, 2, 3, 4, 5)
    assert explanation.feature_scores.shape == (6, 3)
    assert np.allclose(explanation.feature_scores.sum(1), explanation.scores)
    assert abs(explanation.residual) <= 1e-3 * abs(explanation.logit - explanation.baseline_logit)
    assert isinstance(model.features, Features)
    silent = np.tile(model.features.mean.numpy(), (6, 1)) if options else np.zeros((6, 3))
    assert explanation.baseline_logit == pytest.approx(explain(model, silent, label=explanation.label).logit)
    assert np.allclose(explain(model, silent).scores, 0)
    occlusion = explain(model, trace, method="occlusion")
    assert occlusion.feature_scores is None
    changed = trace.copy()
    changed[4] = silent[4]
    fall = explanation.logit - explain(model, changed, label=explanation.label).logit
    assert occlusion.scores[4] == pytest.approx(fall, abs=1e-6)


def test_tokens_and_models_without_labels() -> None:
    model = RNNClassifier(2, vocab_size=4, vocabulary=Vocabulary(["GET", "PUT"]), hidden_size=4, seed=0)
    explanation = explain(model, ["GET", "DELETE", "PUT"], label=1)
    assert explanation.sequence == ("GET", "DELETE", "PUT")
    assert explanation.label == 1
    numbers = RNNClassifier(2, vocab_size=4, vocabulary=Vocabulary([7, 9]), hidden_size=4, seed=0)
    assert explain(numbers, np.array([7, 8, 9])).sequence == (7, 8, 9)


def test_the_default_is_the_predicted_class_and_its_pictures_show_it() -> None:
    model = text_model()
    explanation = explain(model, "ab<c")
    assert explanation.label == predict(model, ["ab<c"])[0]
    most = int(np.abs(explanation.scores).argmax())
    told = f"4 steps, the strongest {'ab<c'[most]!r} at {most}: {explanation.scores[most]:+.3f}, integrated_gradients)"
    assert repr(explanation) == f"Explanation({explanation.label!r}, {explanation.probability:.1%}, {told}"
    plain = str(explanation).splitlines()
    assert plain[0].startswith(f"{explanation.label}: {explanation.probability:.1%}, logit ")
    assert [line.split()[0] for line in plain[1:]] == ["a", "b", "<", "c"]
    assert [float(line.split()[1]) for line in plain[1:]] == pytest.approx(explanation.scores.tolist(), abs=6e-4)
    bars = [line.split()[2] if len(line.split()) > 2 else "" for line in plain[1:]]
    strongest = int(np.abs(explanation.scores).argmax())
    assert len(bars[strongest]) == 20
    assert all(set(bar) <= {"+" if score > 0 else "-"} for bar, score in zip(bars, explanation.scores, strict=True))
    assert re.sub(r"\x1b\[[0-9;]*m", "", explanation.to_ansi()).endswith("): ab<c")
    page = explanation.to_html()
    assert page == explanation._repr_html_()
    assert page.count("<span title=") == 4
    assert ">&lt;</span>" in page
    strong = "31,119,180" if explanation.scores[strongest] > 0 else "230,120,20"
    assert f"rgb({strong})" in page


def test_tokens_are_set_apart_and_nothing_is_white() -> None:
    silent = text_model()
    with torch.no_grad():
        silent.head.weight.zero_()
    explanation = explain(silent, "ab")
    assert explanation.scores.tolist() == [0, 0]
    assert explanation.to_html().count("background:rgb(255,255,255);color:rgb(0,0,0)") == 2
    model = RNNClassifier(2, vocab_size=4, vocabulary=Vocabulary(["GET", "PUT"]), hidden_size=4, seed=0)
    assert re.sub(r"\x1b\[[0-9;]*m", "", explain(model, ["GET", "PUT"]).to_ansi()).endswith("): GET PUT")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"sequence": "ab", "label": "yy"},
            InvalidArgumentError,
            r"label must be one of the model's 3 classes; got 'yy'",
        ),
        ({"sequence": "ab", "method": "shap"}, InvalidArgumentError, r"method must be one of 'integrated_gradients', "),
        ({"sequence": ""}, InvalidDataError, r"sequences must not be empty"),
        ({"sequence": ["a"]}, InvalidDataError, r"must be strings for a vocabulary of text; got list"),
    ],
)
def test_bad_arguments(arguments: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        explain(text_model(), **arguments)
    with pytest.raises(InvalidDataError, match="sequence must have one step at least to be explained; got none"):
        explain(text_model(empty="zero"), "")


@pytest.mark.parametrize("cell", set(strategies.LIBRARY_CELLS) - set(strategies.NORMALISING_CELLS))
def test_cells_of_the_library(cell: Any) -> None:
    explanation = explain(text_model(cell=cell), "abcabc")
    assert abs(explanation.residual) <= 2e-3 * abs(explanation.logit - explanation.baseline_logit)


@pytest.mark.parametrize("cell", strategies.NORMALISING_CELLS)
def test_the_residual_tells_where_the_integral_fails(cell: Any) -> None:
    """Layers that are normalised jump where all is zero, which no integral sees."""
    explanation = explain(text_model(cell=cell), "abcabc")
    assert abs(explanation.residual) > 0.1 * abs(explanation.logit - explanation.baseline_logit)


def test_a_gradient_at_one_end_alone_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted bug: gradient times input, in place of the integral."""
    mean = seqclf.attribution._mean_gradient
    monkeypatch.setattr(
        seqclf.attribution,
        "_mean_gradient",
        lambda reader, vectors, _b, index, _p: mean(reader, vectors, vectors, index, 1),
    )
    explanation = explain(text_model(hidden_size=20), "abcabcabc")
    assert abs(explanation.residual) > 1e-2 * abs(explanation.logit - explanation.baseline_logit)
