"""The library's own cells: each against its paper's equations, row by row, and every gradient against differences."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from seqclf.cells import (
    IndRNNCell,
    LayerNormGRUCell,
    LayerNormLSTMCell,
    MinGRUCell,
    MinLSTMCell,
    PeepholeLSTMCell,
    ProjectedCell,
    ScanCell,
    linear_scan,
)
from seqclf.errors import InvalidArgumentError
from tests import strategies

INPUT, HIDDEN = 3, 2


def normalise(row: Tensor, gain: Tensor, shift: Tensor | float) -> Tensor:
    mean = row.sum() / len(row)
    deviation = (((row - mean) ** 2).sum() / len(row) + 1e-5) ** 0.5
    return (row - mean) / deviation * gain + shift


def zeros(state: Any) -> Tensor:
    return torch.zeros(HIDDEN, dtype=torch.float64) if state is None else state


def indrnn(cell: Any, x: Tensor, state: Any) -> tuple[Tensor, ...]:
    (h,) = state or (zeros(None),)
    return (torch.relu(cell.project.weight @ x + cell.project.bias + cell.recurrent * h),)


def layer_norm_lstm(cell: Any, x: Tensor, state: Any) -> tuple[Tensor, ...]:
    h, c = state or (zeros(None), zeros(None))
    (w_x, norm_x), (w_h, norm_h) = cell.project, cell.recur
    gates = normalise(w_x.weight @ x, norm_x.weight, norm_x.bias) + normalise(w_h.weight @ h, norm_h.weight, 0.0)
    i, f, g, o = gates.chunk(4)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(normalise(c, cell.norm.weight, cell.norm.bias)), c


def layer_norm_gru(cell: Any, x: Tensor, state: Any) -> tuple[Tensor, ...]:
    (h,) = state or (zeros(None),)
    from_x, from_h = cell.from_input.weight @ x, cell.from_state.weight @ h
    gates_x, new_x = (
        normalise(part, norm.weight, norm.bias)
        for part, norm in zip((from_x[: 2 * HIDDEN], from_x[2 * HIDDEN :]), cell.input_norms, strict=True)
    )
    gates_h = normalise(from_h[: 2 * HIDDEN], cell.state_norms[0].weight, 0.0)
    new_h = normalise(from_h[2 * HIDDEN :], cell.state_norms[1].weight, cell.state_norms[1].bias)
    r, z = torch.sigmoid(gates_x + gates_h).chunk(2)
    return (z * h + (1 - z) * torch.tanh(new_x + r * new_h),)


def peephole(cell: Any, x: Tensor, state: Any) -> tuple[Tensor, ...]:
    h, c = state or (zeros(None), zeros(None))
    i, f, g, o = (cell.project.weight @ x + cell.project.bias + cell.recurrent.weight @ h).chunk(4)
    p_i, p_f, p_o = cell.peepholes
    i, f = torch.sigmoid(i + p_i * c), torch.sigmoid(f + p_f * c)
    c = f * c + i * torch.tanh(g)
    return torch.sigmoid(o + p_o * c) * torch.tanh(c), c


def min_gru(cell: Any, x: Tensor, state: Any) -> tuple[Tensor, ...]:
    (h,) = state or (zeros(None),)
    gate, candidate = (cell.project.weight @ x + cell.project.bias).chunk(2)
    z = torch.sigmoid(gate)
    return ((1 - z) * h + z * candidate,)


def min_lstm(cell: Any, x: Tensor, state: Any) -> tuple[Tensor, ...]:
    (h,) = state or (zeros(None),)
    f, i, candidate = (cell.project.weight @ x + cell.project.bias).chunk(3)
    f, i = torch.sigmoid(f), torch.sigmoid(i)
    return (f / (f + i) * h + i / (f + i) * candidate,)


EQUATIONS: list[tuple[type[ProjectedCell], Callable[..., tuple[Tensor, ...]]]] = [
    (IndRNNCell, indrnn),
    (LayerNormLSTMCell, layer_norm_lstm),
    (LayerNormGRUCell, layer_norm_gru),
    (PeepholeLSTMCell, peephole),
    (MinGRUCell, min_gru),
    (MinLSTMCell, min_lstm),
]


def make(kind: Callable[[int, int], nn.Module], seed: int = 0) -> Any:
    """Return a float64 cell, none of whose weights has a special value."""
    cell = kind(INPUT, HIDDEN).double()
    generator = torch.Generator().manual_seed(seed)
    for parameter in cell.parameters():
        nn.init.normal_(parameter, generator=generator)
    return cell


def steps(count: int, rows: int, seed: int) -> Tensor:
    return torch.randn(count, rows, INPUT, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def run(cell: nn.Module, inputs: Tensor) -> Tensor:
    state, outputs = None, []
    for x_t in inputs:
        state = cell(x_t, state)
        outputs.append(state if isinstance(state, Tensor) else state[0])
    return torch.stack(outputs)


@pytest.mark.parametrize(("kind", "equations"), EQUATIONS)
@given(seed=strategies.seeds, count=st.integers(1, 6), rows=st.integers(1, 4))
def test_a_cell_is_what_its_paper_says(kind: Any, equations: Any, seed: int, count: int, rows: int) -> None:
    cell, inputs = make(kind, seed), steps(count, rows, seed)
    outputs = run(cell, inputs)
    for row in range(rows):
        state: Any = None
        for step in range(count):
            state = equations(cell, inputs[step, row], state)
            assert torch.allclose(outputs[step, row], state[0], rtol=0, atol=1e-12)


def test_indrnn_with_tanh_stays_between_minus_one_and_one() -> None:
    cell = IndRNNCell(INPUT, HIDDEN, nonlinearity="tanh")
    assert run(cell, steps(30, 2, 0).float() * 9).abs().max() <= 1


@pytest.mark.parametrize(("kind", "equations"), EQUATIONS)
def test_the_gradients_of_a_cell(kind: Any, equations: Any) -> None:
    cell, inputs = make(kind, 1), steps(3, 2, 1).requires_grad_()
    names = [name for name, _ in cell.named_parameters()]

    def outputs(inputs: Tensor, *weights: Tensor) -> Tensor:
        state, found = None, []
        for x_t in inputs:
            state = torch.func.functional_call(cell, dict(zip(names, weights, strict=True)), (x_t, state))
            found.append(state if isinstance(state, Tensor) else state[0])
        return torch.stack(found)

    assert torch.autograd.gradcheck(outputs, (inputs, *cell.parameters()))


@pytest.mark.parametrize("kind", [MinGRUCell, MinLSTMCell])
@given(seed=strategies.seeds, count=st.integers(1, 40), rows=st.integers(1, 3))
def test_a_scan_equals_the_steps(kind: Any, seed: int, count: int, rows: int) -> None:
    cell, inputs = make(kind, seed), steps(count, rows, seed)
    assert isinstance(cell, ScanCell)
    whole = cell.scan(cell.project(inputs.transpose(0, 1)), None)
    assert torch.allclose(whole.transpose(0, 1), run(cell, inputs), rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [HIDDEN, 5000])  # in blocks, and one step after the other
@given(seed=strategies.seeds, count=st.integers(1, 50), rows=st.integers(1, 3), cut=st.integers(0, 50))
def test_a_scan_may_be_cut_anywhere(size: int, seed: int, count: int, rows: int, cut: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    keep, new = (torch.randn(rows, count, size, dtype=torch.float64, generator=generator) for _ in range(2))
    keep = keep.sigmoid()
    expected, state = [], torch.zeros(rows, size, dtype=torch.float64)
    for step in range(count):
        state = keep[:, step] * state + new[:, step]
        expected.append(state)
    whole = linear_scan(keep, new)
    assert torch.allclose(whole, torch.stack(expected, dim=1), rtol=0, atol=1e-12)
    cut = min(cut, count - 1)
    if cut:
        first = linear_scan(keep[:, :cut], new[:, :cut])
        rest = linear_scan(keep[:, cut:], new[:, cut:], first[:, -1])
        assert torch.allclose(torch.cat([first, rest], dim=1), whole, rtol=0, atol=1e-12)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 12])
@pytest.mark.parametrize("with_state", [False, True])
def test_the_gradients_of_a_scan(count: int, with_state: bool) -> None:
    generator = torch.Generator().manual_seed(count)
    keep, new = (
        torch.randn(2, count, HIDDEN, dtype=torch.float64, generator=generator, requires_grad=True) for _ in range(2)
    )
    state = torch.randn(2, HIDDEN, dtype=torch.float64, generator=generator, requires_grad=True)
    assert torch.autograd.gradcheck(linear_scan, (keep, new, state) if with_state else (keep, new))


def test_an_unknown_nonlinearity_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="nonlinearity must be one of 'relu', 'tanh'; got 'sigmoid'"):
        IndRNNCell(INPUT, HIDDEN, nonlinearity="sigmoid")


def test_large_steps_have_the_gradients_of_a_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    keep, new = (
        torch.randn(2, 7, 4000, dtype=torch.float64, generator=generator, requires_grad=True) for _ in range(2)
    )
    probe = torch.randn(2, 7, 4000, dtype=torch.float64, generator=generator)
    state, states = torch.zeros(2, 4000, dtype=torch.float64), []
    for step in range(7):
        state = keep[:, step] * state + new[:, step]
        states.append(state)
    expected = torch.autograd.grad((torch.stack(states, dim=1) * probe).sum(), (keep, new))
    found = torch.autograd.grad((linear_scan(keep, new) * probe).sum(), (keep, new))
    assert all((a - b).abs().max() <= 1e-12 * a.abs().max() for a, b in zip(expected, found, strict=True))


def test_a_scan_loses_nothing_over_gates_of_zero() -> None:
    """Where a scan in logarithms, or one that divides by products, gives NaN."""
    keep = torch.zeros(1, 1000, 1)
    assert torch.equal(linear_scan(keep, torch.ones(1, 1000, 1)), torch.ones(1, 1000, 1))
