"""verify_batching: it passes what is right, and catches every planted bug, by the law that the bug breaks."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from seqclf import RNNClassifier, SequenceDataset, Vocabulary, verify_batching
from seqclf.errors import BatchingError, InvalidArgumentError, InvalidDataError
from tests import strategies

SEQUENCES = [torch.tensor(ids) for ids in ([2, 3, 4], [5], [6, 2, 3, 3, 4, 5], [1, 2], [4, 4, 4, 4])]


def broken(model: nn.Module, mode: str | None = None, **options: Any) -> set[str]:
    """Return the laws that a model breaks."""
    report = verify_batching(model, SEQUENCES, **options)
    return {law.law for law in report.laws if not law.passed and mode in {None, law.mode}}


@given(strategies.models(), st.data())
def test_models_of_the_library_pass(model: RNNClassifier, data: st.DataObject) -> None:
    strategy = strategies.id_sequences() if model.input_size is None else strategies.feature_sequences()
    sequences = data.draw(strategy.filter(lambda found: len(found) > 1))
    verify_batching(model, sequences).raise_if_failed()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("rate", ["dropout", "input_dropout", "symbol_dropout", "weight_dropout", "recurrent_dropout"])
def test_dropout_of_the_library_passes_in_training(rate: str, dtype: torch.dtype) -> None:
    model = RNNClassifier(3, vocab_size=7, num_layers=2, bidirectional=True, seed=0, **{rate: 0.5}).to(dtype)
    report = verify_batching(model, SEQUENCES)
    report.raise_if_failed()
    assert report.dtype == dtype
    assert {law.mode for law in report.laws} == {"eval", "train"}


def test_the_model_and_the_generator_stay_as_they_were() -> None:
    model = RNNClassifier(3, vocab_size=7, dropout=0.5, seed=0).train()
    before, state = copy.deepcopy(model.state_dict()), torch.random.get_rng_state()
    verify_batching(model, SEQUENCES)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), state)
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_raw_sequences_ids_and_datasets_are_taken() -> None:
    data = SequenceDataset.from_pairs([("ab", "x"), ("bba", "y"), ("a", "x")])
    model = RNNClassifier.for_dataset(data, hidden_size=4)
    assert verify_batching(model, ["ab", "b", "", "abba"]).passed
    assert verify_batching(model, data).passed
    without = RNNClassifier(2, vocab_size=4, hidden_size=4)
    assert verify_batching(without, [[2, 3], [], [3, 3, 2]]).passed
    assert verify_batching(without, data).passed
    traces = RNNClassifier(2, input_size=2, hidden_size=4)
    assert verify_batching(traces, [np.ones((3, 2)), np.zeros((5, 2), dtype=np.float32)]).passed


class Net(nn.Module):
    """A user's own model, as people write it; each subclass has one bug, or none."""

    bidirectional = False

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding: nn.Module = nn.Embedding(7, 5)
        self.rnn = nn.LSTM(5, 4, batch_first=True, bidirectional=self.bidirectional)
        self.head = nn.Linear(8 if self.bidirectional else 4, 3)
        self.double()

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        states, _ = self.rnn(self.embedding(inputs))
        return self.head(self.pool(states, lengths))

    def pool(self, states: Tensor, lengths: Tensor) -> Tensor:
        return states[torch.arange(len(states)), lengths - 1]


class FloatNet(Net):
    """A correct model of features, which computes on whatever stands in the padding, and leaves it out."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Linear(2, 5).double()


class LastColumn(Net):
    def pool(self, states: Tensor, lengths: Tensor) -> Tensor:
        return states[:, -1]


class FinalState(Net):
    """`h_n` of a padded batch."""

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        _, (h_n, _) = self.rnn(self.embedding(inputs))
        return self.head(h_n[-1])


class BackwardFromPadding(Net):
    bidirectional = True

    def pool(self, states: Tensor, lengths: Tensor) -> Tensor:
        return torch.cat([states[torch.arange(len(states)), lengths - 1, :4], states[:, 0, 4:]], dim=1)


class MeanOverAll(Net):
    def pool(self, states: Tensor, lengths: Tensor) -> Tensor:
        inside = torch.arange(states.shape[1]) < lengths[:, None]
        return (states * inside[..., None]).sum(1) / states.shape[1]


class Unsorted(Net):
    """Packs sorted by length, and forgets to put the results back."""

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        lengths, order = lengths.sort(descending=True)
        packed = pack_padded_sequence(self.embedding(inputs[order]), lengths, batch_first=True)
        states, _ = pad_packed_sequence(self.rnn(packed)[0], batch_first=True)
        return self.head(self.pool(states, lengths))


class NormOverTime(Net):
    """Batch norm over all steps, padding included."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(5).double()

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        x = self.norm(self.embedding(inputs).transpose(1, 2)).transpose(1, 2)
        return self.head(self.pool(self.rnn(x)[0], lengths))


class KeepsState(Net):
    """Starts where the last batch ended, if that was of the same size."""

    def __init__(self) -> None:
        super().__init__()
        self.state: Any = None

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        fits = self.state is not None and self.state[0].shape[1] == len(inputs)
        states, state = self.rnn(self.embedding(inputs), self.state if fits else None)
        self.state = tuple(part.detach() for part in state)
        return self.head(self.pool(states, lengths))


class ReadsPadding(Net):
    """Adds the mean of all ids, those of the padding too."""

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        return super().forward(inputs, lengths) + 0.01 * self.embedding(inputs).sum(1)[:, :3]


class DropsByBatch(Net):
    """Functional dropout, which cannot be seen from outside."""

    def pool(self, states: Tensor, lengths: Tensor) -> Tensor:
        return nn.functional.dropout(super().pool(states, lengths), 0.5, self.training)


class WrongGradient(Net):
    """Right logits, but what flows back is averaged over the batch."""

    def pool(self, states: Tensor, lengths: Tensor) -> Tensor:
        states = super().pool(states, lengths)
        mean = states.mean(0, keepdim=True)
        return states + mean - mean.detach()


class NeedsTwo(Net):
    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        if len(inputs) < 2:
            raise ValueError("too few rows")
        return super().forward(inputs, lengths)


BATCHED = {"a batch, not each alone", "batches of two"}


@pytest.mark.parametrize(
    ("bug", "laws"),
    [
        (LastColumn, {*BATCHED, "more padding", "other values in the padding"}),
        (FinalState, {*BATCHED, "more padding", "other values in the padding"}),
        (BackwardFromPadding, {*BATCHED, "more padding", "other values in the padding"}),
        (MeanOverAll, {*BATCHED, "more padding", "other values in the padding"}),
        (Unsorted, {*BATCHED, "another order"}),
        (KeepsState, {*BATCHED, "the same batch a second time"}),
        (ReadsPadding, {*BATCHED, "more padding", "other values in the padding"}),
        (WrongGradient, BATCHED),
    ],
)
def test_a_planted_bug_is_caught_by_its_law(bug: type[Net], laws: set[str]) -> None:
    found = broken(bug(), mode="eval")
    assert found & laws
    assert found <= laws
    with pytest.raises(BatchingError, match=r"a batch must give the answers of single sequences; broken: \['a batch"):
        verify_batching(bug(), SEQUENCES).raise_if_failed()


def test_a_model_without_the_bug_passes() -> None:
    assert broken(Net()) == set()
    rng = np.random.default_rng(0)
    for model in (FloatNet(), FloatNet().float()):
        verify_batching(model, [rng.normal(size=(size, 2)) for size in (3, 1, 5)]).raise_if_failed()


def test_weights_that_are_frozen_have_no_gradients_to_compare() -> None:
    model = Net()
    model.requires_grad_(False)
    report = verify_batching(model, SEQUENCES)
    report.raise_if_failed()
    assert all(law.gradient is None for law in report.laws)


@pytest.mark.parametrize("bug", [NormOverTime, DropsByBatch])
def test_what_only_training_breaks_is_caught_in_training(bug: type[Net]) -> None:
    assert broken(bug(), mode="eval") == set()
    assert "a batch, not each alone" in broken(bug(), mode="train")


def test_a_cell_that_looks_at_its_neighbours_is_caught() -> None:
    class NeighbourCell(nn.GRUCell):
        def forward(self, x_t: Tensor, state: Tensor | None = None) -> Tensor:
            new = super().forward(x_t, state)
            return new + 0.1 * new.mean(0, keepdim=True)

    assert broken(RNNClassifier(3, vocab_size=7, cell=NeighbourCell, seed=0)) >= BATCHED


def test_a_wrong_gradient_is_not_looked_for_when_told_so() -> None:
    assert broken(WrongGradient(), gradients=False) == set()
    report = verify_batching(WrongGradient(), SEQUENCES, gradients=False)
    assert all(law.gradient is None for law in report.laws)


def test_the_report_says_which_law_where_and_by_how_much() -> None:
    report = verify_batching(LastColumn(), SEQUENCES)
    law = report.laws[0]
    alone = torch.cat([LastColumn()(ids[None], torch.tensor([len(ids)])).detach() for ids in SEQUENCES])
    padded = nn.utils.rnn.pad_sequence(SEQUENCES, batch_first=True)
    together = LastColumn()(padded, torch.tensor([len(ids) for ids in SEQUENCES])).detach()
    scale = max(1.0, float(alone.abs().max()))
    assert law.logits == pytest.approx(float((alone - together).abs().max()) / scale)
    assert law.sequence == int((alone - together).abs().amax(1).argmax())
    assert law.gradient is not None
    assert law.gradient > 1e-3
    text = str(report)
    assert f"worst: sequence {law.sequence}, weight {law.parameter}" in text
    assert "allowed 1e-12 in logits, 1e-12 in gradients (float64 on cpu)" in text
    assert text.count("FAIL") == sum(not law.passed for law in report.laws)


def test_what_the_model_raises_breaks_the_law_and_is_told() -> None:
    report = verify_batching(NeedsTwo(), SEQUENCES)
    assert not report.passed
    assert "raised ValueError: too few rows" in str(report)
    mixed = verify_batching(_MoreLogits(), SEQUENCES)
    assert "a model must return logits of shape (5, C); got (10, 3)" in str(mixed)


class OneArgument(Net):
    def forward(self, inputs: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(inputs, torch.tensor([1]))


class BreaksInTraining(Net):
    def pool(self, states: Tensor, lengths: Tensor) -> Tensor:
        if self.training:
            raise RuntimeError("not for training")
        return super().pool(states, lengths)


def test_a_model_that_takes_nothing_is_refused_at_once() -> None:
    message = (
        r"model must take padded steps and lengths, .*; it raised TypeError: .*forward\(\) takes 2 pos.*\(in eval mode"
    )
    with pytest.raises(InvalidArgumentError, match=message) as caught:
        verify_batching(OneArgument(), SEQUENCES)
    assert isinstance(caught.value.__cause__, TypeError)
    with pytest.raises(InvalidArgumentError, match=r"RuntimeError: not for training \(in train mode"):
        verify_batching(BreaksInTraining(), SEQUENCES)


class _MoreLogits(Net):
    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        logits = super().forward(inputs, lengths)
        return logits if len(inputs) == 1 else torch.cat([logits, logits])


def test_the_tolerance_can_be_set() -> None:
    assert broken(LastColumn(), tolerance=100.0) == set()


@pytest.mark.parametrize("sequences", [[], [[2, 3]], [[], [2]]])
def test_too_few_sequences_are_refused(sequences: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"at least two sequences that are not empty; got \d+ weights and"):
        verify_batching(Net(), sequences)


def test_a_model_without_weights_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="got 0 weights and 0 sequences"):
        verify_batching(nn.Identity(), SEQUENCES)


def test_sequences_that_do_not_fit_are_refused() -> None:
    model = RNNClassifier(2, vocab_size=4, vocabulary=Vocabulary("ab"))
    with pytest.raises(InvalidDataError, match=r"sequences must be a list, an array or a column, .*; got str"):
        verify_batching(model, "ab")
