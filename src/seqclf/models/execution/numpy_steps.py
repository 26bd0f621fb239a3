"""The recurrences over one sequence, a step at a time, in NumPy: for one row torch's calls cost more than they compute.

The equations are torch's. With sigmoid(y) = (1 + tanh(y / 2)) / 2 one call of tanh squashes all gates; the halves stand
in the weights. Nothing is overwritten, so states may be kept, and several threads may step at once.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from seqclf.models.execution.weights import layer_weights

Array = npt.NDArray[Any]
State = tuple[Array, ...]  # the output first


class _Layer(ABC):
    """One layer: what its gates get from the inputs, and a step from them and the state before.

    Attributes:
        gates: The numbers that torch gives the gates, in the order of a step, and whether a sigmoid squashes each.
    """

    gates: ClassVar[tuple[tuple[int, bool], ...]]

    def __init__(self, weight_ih: Tensor, weight_hh: Tensor, bias_ih: Tensor, bias_hh: Tensor) -> None:
        self.size = weight_hh.shape[1]
        self.of_inputs, self.of_states = (np.ascontiguousarray(self._order(one).T) for one in (weight_ih, weight_hh))
        self.bias, self.bias_of_states = self._split_bias(self._order(bias_ih), self._order(bias_hh))

    def _order(self, weights: Tensor) -> Array:
        """Return weights with the gates in the order that a step wants, those of sigmoids halved."""
        parts = torch.split(weights.detach(), self.size)
        return torch.cat([parts[gate] * (0.5 if halved else 1.0) for gate, halved in self.gates]).numpy()

    def _split_bias(self, bias_ih: Array, bias_hh: Array) -> tuple[Array, Array]:
        return bias_ih + bias_hh, bias_hh

    def project(self, vectors: Array) -> Array:
        """Return what the gates get from inputs: (..., E) to (..., gates * H)."""
        projected: Array = vectors @ self.of_inputs + self.bias
        return projected

    def run(self, projected: Array, backwards: int = 0) -> Array:
        """Return the outputs (T, H) of all steps, from what the gates get from the inputs."""
        outputs, state = np.empty((len(projected), self.size), projected.dtype), None
        order = range(len(projected))
        for step in reversed(order) if backwards else order:
            state = self.step(projected[step], state)
            outputs[step] = state[0]
        return outputs

    @abstractmethod
    def step(self, x: Array, state: State | None) -> State:
        """Return the state that follows; None stands for zeros."""


class _LSTM(_Layer):
    gates = ((0, True), (1, True), (3, True), (2, False))  # i, f, o, g

    def step(self, x: Array, state: State | None) -> State:
        size = self.size
        z = np.tanh(x if state is None else state[0].dot(self.of_states) + x)
        ifo, g = z[: 3 * size], z[3 * size :]
        ifo *= 0.5
        ifo += 0.5
        memory = z[:size] * g
        if state is not None:
            memory += z[size : 2 * size] * state[1]
        output = np.tanh(memory)
        output *= z[2 * size : 3 * size]
        return output, memory


class _GRU(_Layer):
    gates = ((0, True), (1, True), (2, False))  # r, z, n

    def _split_bias(self, bias_ih: Array, bias_hh: Array) -> tuple[Array, Array]:
        first = 2 * self.size  # r multiplies the bias of the states' part of n
        return np.concatenate([bias_ih[:first] + bias_hh[:first], bias_ih[first:]]), bias_hh[first:]

    def step(self, x: Array, state: State | None) -> State:
        first = 2 * self.size
        if state is None:
            rz, product = np.tanh(x[:first]), self.bias_of_states
        else:
            products = state[0].dot(self.of_states)
            rz, product = np.tanh(products[:first] + x[:first]), products[first:] + self.bias_of_states
        rz *= 0.5
        rz += 0.5
        n = np.tanh(rz[: self.size] * product + x[first:])
        z = rz[self.size :]
        return (n - z * n if state is None else n + z * (state[0] - n),)


class _TanhRNN(_Layer):
    gates = ((0, False),)

    def step(self, x: Array, state: State | None) -> State:
        return (np.tanh(x if state is None else state[0].dot(self.of_states) + x),)


class _ReluRNN(_Layer):
    gates = ((0, False),)

    def step(self, x: Array, state: State | None) -> State:
        return (np.maximum(x if state is None else state[0].dot(self.of_states) + x, 0),)


_LAYERS: dict[str, type[_Layer]] = {"LSTM": _LSTM, "GRU": _GRU, "RNN_TANH": _TanhRNN, "RNN_RELU": _ReluRNN}


def _layers(encoder: nn.RNNBase, direction: int) -> list[_Layer]:
    return [_LAYERS[encoder.mode](*layer_weights(encoder, layer, direction)) for layer in range(encoder.num_layers)]


class NumpyEncoder:
    """An encoder of any depth and direction over one whole sequence; the weights are copied.

    Args:
        encoder: One of torch's encoders.
        vectors: What stands for ids, (V, E); None where it reads features.
    """

    def __init__(self, encoder: nn.RNNBase, vectors: Tensor | None) -> None:
        by_direction = [_layers(encoder, direction) for direction in range(2 if encoder.bidirectional else 1)]
        self.layers = list(zip(*by_direction, strict=True))
        table = None if vectors is None else vectors.detach().numpy()
        self.tables = None if table is None else [layer.project(table) for layer in self.layers[0]]

    def states(self, steps: Array) -> Array:
        """Return the states (T, directions * H) of the last layer, from ids (T,) or features (T, E)."""
        for number, layers in enumerate(self.layers):
            if number == 0 and self.tables is not None:
                projected = [table[steps] for table in self.tables]
            else:
                projected = [layer.project(steps) for layer in layers]
            halves = [layer.run(projected[backwards], backwards) for backwards, layer in enumerate(layers)]
            steps = halves[0] if len(halves) == 1 else np.concatenate(halves, axis=1)
        return steps


class NumpyHead:
    """A linear layer over one vector; the weights are copied."""

    def __init__(self, head: nn.Linear) -> None:
        self.weight, self.bias = (np.array(part.detach().numpy().T, order="C") for part in (head.weight, head.bias))

    def __call__(self, pooled: Array) -> Array:
        """Return the logits (C,) of pooled states (S,)."""
        logits: Array = pooled @ self.weight + self.bias
        return logits


class NumpyLayers:
    """All layers of an encoder, in one direction, over the ids of one sequence; the weights are copied.

    Args:
        encoder: One of torch's encoders; of two directions it may have but one layer.
        vectors: What stands for ids, (V, E).
        direction: 0 for forwards, 1 for backwards.
    """

    def __init__(self, encoder: nn.RNNBase, vectors: Tensor, direction: int = 0) -> None:
        self.layers = _layers(encoder, direction)
        self.rows = list(self.layers[0].project(vectors.detach().numpy()))  # what each symbol gives to the gates

    def step(self, symbol: int, states: list[State] | None) -> list[State]:
        """Return the states of all layers after one symbol, the last layer's at the end."""
        x = self.rows[symbol]
        after: list[State] = []
        for number, layer in enumerate(self.layers):
            if number:
                x = layer.project(after[-1][0])
            after.append(layer.step(x, None if states is None else states[number]))
        return after
