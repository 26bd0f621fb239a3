"""Law 4: padded, packed, and one sequence at a time agree, in logits and in every gradient.

The judge is the for-loop of `reference`; the last tests plant bugs, each of which the same check must catch.
"""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from seqclf import RNNClassifier, pack_collate, pad_collate
from seqclf.engine import torch_kernels as padded_way
from seqclf.models import pooling as poolings
from tests import law_table, reference, strategies

TOLERANCE = 1e-12  # float64; docs/results/law holds the worst differences that were found
TOLERANCES = {torch.float64: TOLERANCE, torch.float32: 1e-5}
# A norm divides by the spread of its features, and rounding with it: gradients came to 4e-5 in 1,500 float32 cases.
TOLERANCE_OF_NORMS = 1e-4

Run = Callable[[RNNClassifier, list[Tensor]], Tensor]


def samples_of(sequences: list[Tensor]) -> list[tuple[Tensor, int]]:
    return [(sequence, 0) for sequence in sequences]


def run_padded(model: RNNClassifier, sequences: list[Tensor]) -> Tensor:
    batch = pad_collate(samples_of(sequences))
    return model(batch.inputs, batch.lengths)


def run_packed(model: RNNClassifier, sequences: list[Tensor]) -> Tensor:
    return model(pack_collate(samples_of(sequences)).inputs)


def run_single(model: RNNClassifier, sequences: list[Tensor]) -> Tensor:
    return torch.cat([model(sequence[None], torch.tensor([len(sequence)])) for sequence in sequences])


def run_reversed(model: RNNClassifier, sequences: list[Tensor]) -> Tensor:
    return run_padded(model, sequences[::-1]).flip(0)


def run_padded_more(extra: int, value: float) -> Run:
    """Return a run with `extra` more padding steps, and `value` for all padding."""

    def run(model: RNNClassifier, sequences: list[Tensor]) -> Tensor:
        batch = pad_collate(samples_of(sequences))
        assert isinstance(batch.inputs, Tensor)
        rows, steps, *width = batch.inputs.shape
        filled = torch.full((rows, steps + extra, *width), value).to(batch.inputs)
        for row, sequence in enumerate(sequences):
            filled[row, : len(sequence)] = sequence
        return model(filled, batch.lengths)

    return run


def gradients(model: RNNClassifier, logits: Tensor, probe: Tensor) -> dict[str, Tensor]:
    """Return the gradient of a random combination of the logits by every weight."""
    names, parameters = zip(*model.named_parameters(), strict=True)
    found = torch.autograd.grad((logits * probe).sum(), parameters, allow_unused=True, materialize_grads=True)
    return dict(zip(names, found, strict=True))


def differences(model: RNNClassifier, sequences: list[Tensor], run: Run) -> tuple[float, float]:
    """Return the largest differences to the reference in float64, in logits and in any gradient.

    They are parts of the largest value, or of 1 where that is more; a wrong shape is infinite.
    """
    judge = copy.deepcopy(model).double()
    expected = reference.logits(judge, [ids if model.input_size is None else ids.double() for ids in sequences])
    got = run(model, sequences)
    if got.shape != expected.shape:
        return float("inf"), float("inf")
    probe = torch.randn(expected.shape, dtype=expected.dtype, generator=torch.Generator().manual_seed(0))
    of_expected, of_got = gradients(judge, expected, probe), gradients(model, got, probe.to(got.dtype))
    return relative(expected, got), max(relative(of_expected[name], of_got[name]) for name in of_expected)


def relative(expected: Tensor, got: Tensor) -> float:
    expected, got = expected.detach(), got.detach()
    difference = (expected - got).abs().max() / expected.abs().max().clamp(min=1)
    return float(difference.nan_to_num(nan=float("inf")))


def worst_difference(model: RNNClassifier, sequences: list[Tensor], run: Run) -> float:
    """Return the larger of the differences in logits and in gradients."""
    return max(differences(model, sequences, run))


def sequences_for(data: st.DataObject, model: RNNClassifier) -> list[Tensor]:
    strategy = strategies.id_sequences() if model.input_size is None else strategies.feature_sequences()
    return data.draw(strategy)


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize(("way", "run"), [("padded", run_padded), ("packed", run_packed), ("single", run_single)])
@given(model=strategies.models(), data=st.data())
def test_every_way_equals_the_reference(
    way: str, run: Run, dtype: torch.dtype, model: RNNClassifier, data: st.DataObject
) -> None:
    logits, gradient = differences(model.to(dtype), sequences_for(data, model), run)
    law_table.record(model, way, dtype, logits, gradient)
    has_norms = model.cell in strategies.NORMALISING_CELLS and dtype == torch.float32
    assert max(logits, gradient) <= (TOLERANCE_OF_NORMS if has_norms else TOLERANCES[dtype])


@given(strategies.models(), st.data())
def test_order_changes_nothing(model: RNNClassifier, data: st.DataObject) -> None:
    assert worst_difference(model, sequences_for(data, model), run_reversed) <= TOLERANCE


@given(strategies.models(features=True), st.integers(0, 5), st.sampled_from([0.0, 7.5, float("nan")]), st.data())
def test_more_padding_of_any_value_changes_nothing(
    model: RNNClassifier, extra: int, value: float, data: st.DataObject
) -> None:
    assert worst_difference(model, sequences_for(data, model), run_padded_more(extra, value)) <= TOLERANCE


@given(strategies.models(features=False), st.integers(0, 5), st.sampled_from([0, 3, -100, 10**6]), st.data())
def test_more_padding_of_any_id_changes_nothing(
    model: RNNClassifier, extra: int, value: int, data: st.DataObject
) -> None:
    assert worst_difference(model, sequences_for(data, model), run_padded_more(extra, value)) <= TOLERANCE


@pytest.mark.parametrize("execution", ["padded", "packed"])
@pytest.mark.parametrize("cell", strategies.CELLS)
def test_two_bidirectional_layers_agree_for_every_cell(cell: Any, execution: Any) -> None:
    """The case that naive padding gets wrong, once for each cell and way, whatever hypothesis draws."""
    model = RNNClassifier(3, vocab_size=7, cell=cell, hidden_size=5, num_layers=2, bidirectional=True, seed=1)
    model.execution = execution
    model = model.double().eval()
    sequences = [torch.randint(1, 7, (size,), generator=torch.Generator().manual_seed(size)) for size in (4, 9, 1, 6)]
    assert worst_difference(model, sequences, run_padded) <= TOLERANCE
    assert worst_difference(model, sequences, run_packed) <= TOLERANCE


@pytest.mark.parametrize(("cell", "kind"), [("lstm", nn.LSTM), ("gru", nn.GRU), ("rnn", nn.RNN)])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_reference_agrees_with_torch_on_single_sequences(
    cell: Any, kind: type[nn.RNNBase], bidirectional: bool
) -> None:
    """Judge the judge: `torch.nn` on one sequence, and weights that go both ways."""
    model = RNNClassifier(2, input_size=3, cell=cell, hidden_size=4, num_layers=2, bidirectional=bidirectional, seed=0)
    model = model.double().eval()
    torch_module = kind(3, 4, num_layers=2, batch_first=True, bidirectional=bidirectional).double()
    torch_module.load_state_dict(model.encoder.state_dict())
    sequence = torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    states = torch_module(sequence[None])[0][0]
    assert (states - reference.encode(model, list(sequence))).abs().max() <= TOLERANCE

    for parameter in torch_module.parameters():
        nn.init.uniform_(parameter, -0.5, 0.5, generator=torch.Generator().manual_seed(3))
    model.encoder.load_state_dict(torch_module.state_dict())
    states = torch_module(sequence[None])[0][0]
    pooled = torch.cat([states[-1, :4], states[0, 4:]])
    logits = model(sequence[None], torch.tensor([6]))[0]
    assert (model.head(pooled) - logits).abs().max() <= TOLERANCE


def test_torch_cells_as_own_cells_equal_the_built_in() -> None:
    for name, cell in (("lstm", nn.LSTMCell), ("gru", nn.GRUCell), ("rnn", nn.RNNCell)):
        built_in = RNNClassifier(2, vocab_size=7, cell=name, hidden_size=4, bidirectional=True, seed=0).double().eval()
        own = RNNClassifier(2, vocab_size=7, cell=cell, hidden_size=4, bidirectional=True).double().eval()
        renamed = {}
        for key, tensor in built_in.state_dict().items():
            number, suffix = (1, "_l0_reverse") if key.endswith("_reverse") else (0, "_l0")
            is_cell = key.startswith("encoder.")
            renamed[key.replace("encoder.", f"encoder.cells.{number}.").replace(suffix, "") if is_cell else key] = (
                tensor
            )
        own.load_state_dict(renamed)
        sequences = [torch.tensor([2, 3, 4]), torch.tensor([5]), torch.tensor([6, 1, 2, 3])]
        assert (run_padded(own, sequences) - run_padded(built_in, sequences)).abs().max() <= TOLERANCE


def test_states_start_at_zero_every_time() -> None:
    model = RNNClassifier(3, vocab_size=7, hidden_size=4, seed=0).eval()
    sequences = [torch.tensor([2, 3, 4]), torch.tensor([5, 6])]
    first = run_padded(model, sequences)
    run_padded(model, [torch.tensor([6, 6, 6, 6, 6])])
    assert torch.equal(run_padded(model, sequences), first)


# Law 9: each planted bug must be caught by the very check that the laws above use.


class LastColumn(nn.Module):
    """The commonest bug: `output[:, -1]`."""

    def forward(self, states: Tensor, lengths: Tensor) -> Tensor:
        return states[:, -1]


class MeanOverPadding(nn.Module):
    """A mean that divides by the padded length."""

    def forward(self, states: Tensor, lengths: Tensor) -> Tensor:
        return states.sum(1) / states.shape[1]


class MaxOverPadding(nn.Module):
    """A maximum that sees the zeros of the padding."""

    def forward(self, states: Tensor, lengths: Tensor) -> Tensor:
        return states.amax(1)


class LastOfBothHalves(nn.Module):
    """The backward half taken at the last step, where it has read one symbol only."""

    def forward(self, states: Tensor, lengths: Tensor) -> Tensor:
        return states[torch.arange(len(lengths)), lengths - 1]


class NeighbourCell(nn.Module):
    """A cell that looks at the other rows of the batch."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.cell = nn.GRUCell(input_size, hidden_size)

    def forward(self, x_t: Tensor, state: Tensor | None) -> Tensor:
        new: Tensor = self.cell(x_t, state)
        return new + 0.1 * new.mean(0, keepdim=True)


@pytest.mark.parametrize(
    ("bug", "name"),
    [(LastColumn, "last"), (MeanOverPadding, "mean"), (MaxOverPadding, "max"), (LastOfBothHalves, "last")],
)
def test_a_wrong_pooling_is_caught(bug: type[nn.Module], name: Any) -> None:
    model = RNNClassifier(3, vocab_size=7, hidden_size=4, bidirectional=True, seed=0).double().eval()
    model.pooling = bug()
    model.pooling_names = ()  # so that the padding is zero, as an own pooling may expect
    sequences = [torch.tensor([2, 3, 4, 5]), torch.tensor([6])]
    padded = run_padded(model, sequences)
    model.pooling_names = (name,)  # the reference computes what the name says
    expected = reference.logits(model, sequences)
    assert (padded - expected).abs().max() > 1e-3


def test_a_cell_that_looks_at_its_neighbours_is_caught() -> None:
    model = RNNClassifier(3, vocab_size=7, cell=NeighbourCell, hidden_size=4, seed=0).double().eval()
    assert worst_difference(model, [torch.tensor([2, 3, 4]), torch.tensor([6, 5])], run_padded) > 1e-3


def test_a_backward_half_that_starts_in_the_padding_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(padded_way, "_reverse", lambda x, index: x.flip(1))
    model = (
        RNNClassifier(3, vocab_size=7, hidden_size=4, bidirectional=True, execution="padded", seed=0).double().eval()
    )
    assert worst_difference(model, [torch.tensor([2, 3, 4]), torch.tensor([6])], run_padded) > 1e-3


def test_outputs_in_the_order_of_length_are_caught() -> None:
    model = RNNClassifier(3, vocab_size=7, hidden_size=4, seed=0).double().eval()

    def sorted_by_length(model: RNNClassifier, sequences: list[Tensor]) -> Tensor:
        return run_padded(model, sorted(sequences, key=len, reverse=True))

    assert worst_difference(model, [torch.tensor([2]), torch.tensor([6, 5])], sorted_by_length) > 1e-3


def test_padding_that_is_not_cleared_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(padded_way, "_clear_padding", lambda inputs, lengths: inputs)
    monkeypatch.setattr(
        poolings, "_is_padding", lambda states, lengths: torch.zeros(states.shape[:2], dtype=torch.bool)
    )
    model = RNNClassifier(3, input_size=3, hidden_size=4, pooling="mean", execution="padded", seed=0).double().eval()
    sequences = [torch.ones(3, 3, dtype=torch.float64), torch.ones(1, 3, dtype=torch.float64)]
    assert worst_difference(model, sequences, run_padded_more(2, float("nan"))) == float("inf")
