"""The for-loop reference: one sequence, one step at a time, written out from the equations; it neither pads nor packs.

It reads a model's weights by their names and uses no recurrent module of torch. Own cells are called with one row.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from seqclf import RNNClassifier

Weights = dict[str, Tensor]
Step = Callable[[Tensor, tuple[Tensor, ...], Weights], tuple[Tensor, ...]]


def lstm_step(x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, ...]:
    """Hochreiter and Schmidhuber 1997 with a forget gate; the gates in torch's order i, f, g, o."""
    h, c = state
    i, f, g, o = (w["weight_ih"] @ x + w["bias_ih"] + w["weight_hh"] @ h + w["bias_hh"]).chunk(4)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def gru_step(x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, ...]:
    """Cho et al. 2014, as torch writes it: the reset gate acts behind the hidden product; order r, z, n."""
    (h,) = state
    from_x, from_h = w["weight_ih"] @ x + w["bias_ih"], w["weight_hh"] @ h + w["bias_hh"]
    (r_x, z_x, n_x), (r_h, z_h, n_h) = from_x.chunk(3), from_h.chunk(3)
    n = torch.tanh(n_x + torch.sigmoid(r_x + r_h) * n_h)
    z = torch.sigmoid(z_x + z_h)
    return ((1 - z) * n + z * h,)


def rnn_step(activation: Callable[[Tensor], Tensor]) -> Step:
    """Elman 1990, with tanh or relu."""

    def step(x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, ...]:
        (h,) = state
        return (activation(w["weight_ih"] @ x + w["bias_ih"] + w["weight_hh"] @ h + w["bias_hh"]),)

    return step


STEPS = {"LSTM": lstm_step, "GRU": gru_step, "RNN_TANH": rnn_step(torch.tanh), "RNN_RELU": rnn_step(torch.relu)}


def built_in_direction(encoder: nn.RNNBase, steps: list[Tensor], suffix: str) -> list[Tensor]:
    """Run one layer of a torch encoder in one direction, step by step."""
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    weights = {name: getattr(encoder, f"{name}_{suffix}") for name in names}
    zeros = steps[0].new_zeros(encoder.hidden_size)
    state: tuple[Tensor, ...] = (zeros, zeros) if encoder.mode == "LSTM" else (zeros,)
    outputs = []
    for x in steps:
        state = STEPS[encoder.mode](x, state, weights)
        outputs.append(state[0])
    return outputs


def own_cell_direction(cell: nn.Module, steps: list[Tensor]) -> list[Tensor]:
    """Run an own cell in one direction, one row at a time."""
    state = None
    outputs = []
    for x in steps:
        state = cell(x[None], state)
        outputs.append((state if isinstance(state, Tensor) else state[0])[0])
    return outputs


def encode(model: RNNClassifier, steps: list[Tensor]) -> Tensor:
    """Return the states (T, directions * H) of the last layer."""
    directions = 2 if model.bidirectional else 1
    for layer in range(model.num_layers):
        halves = []
        for direction in range(directions):
            ordered = steps[::-1] if direction else steps
            if isinstance(model.encoder, nn.RNNBase):
                suffix = f"l{layer}_reverse" if direction else f"l{layer}"
                outputs = built_in_direction(model.encoder, ordered, suffix)
            else:
                outputs = own_cell_direction(model.encoder.cells[layer * directions + direction], ordered)
            halves.append(outputs[::-1] if direction else outputs)
        steps = [torch.cat(parts) for parts in zip(*halves, strict=True)]
    return torch.stack(steps)


def pool(model: RNNClassifier, states: Tensor) -> Tensor:
    """Pool the states (T, D) of one sequence to (S,)."""
    if not model.pooling_names:
        pooled: Tensor = model.pooling(states[None], torch.tensor([len(states)]))[0]
        return pooled
    if len(model.pooling_names) == 1:
        return pool_by(model.pooling_names[0], model, model.pooling, states)
    pairs = zip(model.pooling_names, model.pooling.poolings, strict=True)
    return torch.cat([pool_by(name, model, module, states) for name, module in pairs])


def pool_by(name: str, model: RNNClassifier, module: nn.Module, states: Tensor) -> Tensor:
    """Pool the states (T, D) of one sequence to (D,) in one of the built-in ways."""
    if name == "last":
        return torch.cat([states[-1, : model.hidden_size], states[0, model.hidden_size :]])
    if name == "mean":
        return states.sum(0) / len(states)
    if name == "max":
        return states.amax(0)
    scores = torch.stack([attention_score(module, state) for state in states])
    weights = scores.exp() / scores.exp().sum()
    return sum((w * s for w, s in zip(weights, states, strict=True)), start=torch.zeros_like(states[0]))


def attention_score(module: Any, state: Tensor) -> Tensor:
    """Return v · tanh(W state + b)."""
    score: Tensor = module.context.weight[0] @ torch.tanh(module.hidden.weight @ state + module.hidden.bias)
    return score


def read(model: RNNClassifier, ids: Tensor, t: int) -> Tensor:
    """Return what step t of a sequence of ids is read as: vectors of the id, of n-grams, and of distances, added up."""
    vector = model.embedding.weight[ids[t]]
    if model.ngram_vectors is not None:
        known = {key: row for row, key in enumerate(model.ngram_vectors.keys.tolist())}
        for order in model.ngram_vectors.orders:
            window = ids[t + 1 - order : t + 1].tolist() if t + 1 >= order else [0]
            key = sum(one * int(model.vocab_size or 0) ** place for place, one in enumerate(reversed(window)))
            if 0 not in window and key in known:
                vector = vector + model.ngram_vectors.weight[known[key]]
    if model.positions in {"start", "both"}:
        vector = vector + model.position_vectors.start[min(t, 127)]
    if model.positions in {"end", "both"}:
        vector = vector + model.position_vectors.end[min(len(ids) - 1 - t, 127)]
    return vector


def logits_alone(model: RNNClassifier, sequence: Tensor) -> Tensor:
    """Return the logits (C,) of one sequence of ids (T,) or features (T, F)."""
    steps = list(sequence) if model.input_size is not None else [read(model, sequence, t) for t in range(len(sequence))]
    return model.head.weight @ pool(model, encode(model, steps)) + model.head.bias


def logits(model: RNNClassifier, sequences: Sequence[Tensor]) -> Tensor:
    """Return the logits (B, C) of sequences, each alone."""
    return torch.stack([logits_alone(model, sequence) for sequence in sequences])
