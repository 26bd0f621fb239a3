"""The ONNX graph of a classifier, written node by node: ONNX's own LSTM, GRU and RNN know the length of each sequence.

Legend: B sequences, T steps of the longest, D directions, H features of a state. Inside, ONNX runs (T, B, ...).
"""

from typing import Any, cast

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto, checker, helper, numpy_helper
from torch import Tensor, nn

from seqclf.engine.weights import layer_weights
from seqclf.errors import InvalidArgumentError
from seqclf.models.classifier import RNNClassifier
from seqclf.models.context import ContextLogits
from seqclf.models.features import Features, FieldFeatures
from seqclf.models.pooling import AttentionPooling, LastPooling, MaxPooling, MeanPooling, SeveralPoolings
from seqclf.models.symbols import MOST_DISTANCES, NGramVectors, PositionVectors

_OPSET, _IR_VERSION = 18, 9  # of 2023, so that older runtimes take the file too

# Where ONNX has the gates that torch has in its order: i f g o there is i o f g here, and r z n is z r n.
_GATES = {"LSTM": [0, 3, 1, 2], "GRU": [1, 0, 2], "RNN_TANH": [0], "RNN_RELU": [0]}
_ACTIVATIONS = {"RNN_TANH": "Tanh", "RNN_RELU": "Relu"}


class Nodes:
    """The nodes and constants of a graph that is being written; what a node gives is called by a name."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []

    def add(self, operator: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        """Add a node and return the name of its last output; `outputs` is how many it has."""
        names = [f"{operator}_{len(self.nodes)}_{number}" for number in range(outputs)]
        self.nodes.append(helper.make_node(operator, list(inputs), names, **attributes))
        return names[-1]

    def constant(self, value: Any, dtype: npt.DTypeLike = np.float32) -> str:
        """Add a constant and return its name."""
        array = np.ascontiguousarray(value.detach().cpu().numpy() if isinstance(value, Tensor) else value, dtype)
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array.reshape(np.shape(value)), name))
        return name

    def keep_only(self, wanted: set[str]) -> None:
        """Drop what nothing wanted depends on."""
        wanted = set(wanted)
        for node in reversed(self.nodes):
            if wanted.intersection(node.output):
                wanted.update(node.input)
        self.nodes = [node for node in self.nodes if wanted.intersection(node.output)]
        self.constants = [constant for constant in self.constants if constant.name in wanted]

    def integers(self, *values: int) -> str:
        """Add a constant of one dimension, such as axes or a shape."""
        return self.constant(values, np.int64)


def build_model(model: RNNClassifier, metadata: dict[str, str]) -> ModelProto:
    """Return the ONNX model of `model` in eval mode, in float32.

    Inputs are `inputs`, int64 (batch, length) or float32 (batch, length, F), and `lengths`, int64 (batch,), and for a
    model with context `context`, float32 (batch, K); outputs are `logits` and `probabilities`, float32 (batch, C). What
    stands behind the end of a sequence is never read. Categories are numbers in rows: their ids.

    Raises:
        InvalidArgumentError: The cell, the embedding or the pooling has no counterpart in ONNX.
    """
    _check_exportable(model)
    nodes = Nodes()
    pooled = _pool(nodes, model, *_encode(nodes, model))
    logits = nodes.add("Gemm", pooled, *map(nodes.constant, (model.head.weight, model.head.bias)), transB=1)
    if model.context_logits is not None:
        logits = nodes.add("Add", logits, _add_context(nodes, model.context_logits))
    nodes.nodes.append(helper.make_node("Identity", [logits], ["logits"]))
    if model.multi_label:
        nodes.nodes.append(helper.make_node("Sigmoid", [logits], ["probabilities"]))
    else:
        nodes.nodes.append(helper.make_node("Softmax", [logits], ["probabilities"], axis=1))
    nodes.keep_only({"logits", "probabilities"})
    floats, width = TensorProto.FLOAT, [] if model.input_size is None else [model.input_size]
    graph = helper.make_graph(
        nodes.nodes,
        "seqclf",
        [
            helper.make_tensor_value_info(
                "inputs", TensorProto.INT64 if model.input_size is None else floats, ["batch", "length", *width]
            ),
            helper.make_tensor_value_info("lengths", TensorProto.INT64, ["batch"]),
            *(
                []
                if model.context_fields is None
                else [helper.make_tensor_value_info("context", floats, ["batch", len(model.context_fields)])]
            ),
        ],
        [
            helper.make_tensor_value_info(name, floats, ["batch", model.num_classes])
            for name in ("logits", "probabilities")
        ],
        nodes.constants,
    )
    proto = helper.make_model(
        graph, producer_name="seqclf", opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION
    )
    helper.set_model_props(proto, metadata)
    checker.check_model(proto, full_check=True)
    return proto


def _check_exportable(model: RNNClassifier) -> None:
    if not isinstance(model.encoder, nn.RNNBase):
        raise InvalidArgumentError(
            f"cell must be a built-in one to be exported; got {model.cell!r}. ONNX knows LSTM, GRU and RNN alone."
        )
    if model.embedding is not None and (type(model.embedding) is not nn.Embedding or model.embedding.max_norm):
        raise InvalidArgumentError(
            f"embedding must be a plain nn.Embedding to be exported; got {model.embedding!r}. Copy its weights to one."
        )
    if type(model.head) is not nn.Linear or model.head.bias is None:
        raise InvalidArgumentError(f"head must be an nn.Linear with a bias to be exported; got {model.head!r}.")


def _encode(nodes: Nodes, model: RNNClassifier) -> tuple[str, str, str]:
    """Write all layers; return the states (B, T, D * H), each direction's last ones (B, D * H), and what is real."""
    length = nodes.add("Gather", nodes.add("Shape", "inputs"), nodes.constant(1, np.int64))
    steps = nodes.add("Range", nodes.constant(0, np.int64), length, nodes.constant(1, np.int64))
    ends = nodes.add("Unsqueeze", "lengths", nodes.integers(1))
    is_real = nodes.add("Less", steps, ends)  # (B, T)
    at_least_one = nodes.add("Max", "lengths", nodes.constant(1, np.int64))
    lengths = nodes.add("Cast", at_least_one, to=TensorProto.INT32)
    x = nodes.add("Transpose", _embed(nodes, model, is_real, steps), perm=[1, 0, 2])
    encoder = cast(nn.RNNBase, model.encoder)
    last = ""
    for layer in range(encoder.num_layers):
        states, last = _run_layer(nodes, encoder, layer, x, lengths)
        x = _join_directions(nodes, states, [0, 2, 1, 3])
    return nodes.add("Transpose", x, perm=[1, 0, 2]), _join_directions(nodes, last, [1, 0, 2]), is_real


def _embed(nodes: Nodes, model: RNNClassifier, is_real: str, steps: str) -> str:
    """Write what makes of the inputs the vectors that the encoder reads, (B, T, E)."""
    if model.embedding is not None:
        ids = nodes.add("Where", is_real, "inputs", nodes.constant(0, np.int64))
        x = nodes.add("Gather", nodes.constant(model.embedding.weight), ids)
        if model.ngram_vectors is not None and len(model.ngram_vectors.keys):
            for order in model.ngram_vectors.orders:
                x = nodes.add("Add", x, _ngrams(nodes, model.ngram_vectors, ids, order))
        return x if model.position_vectors is None else _add_positions(nodes, model.position_vectors, x, steps)
    real = nodes.add("Unsqueeze", is_real, nodes.integers(2))
    x = nodes.add("Where", real, "inputs", nodes.constant(0.0))
    assert model.features is not None
    if isinstance(model.features, Features):
        return _prepare(nodes, model.features, x)
    return _read_fields(nodes, model.features, x)


def _read_fields(nodes: Nodes, features: FieldFeatures, rows: str) -> str:
    """Write the reading of records (B, T, F): numbers, and the vectors of categories, side by side."""
    numbers = nodes.add("Gather", rows, nodes.integers(*features.number_places), axis=-1)
    parts = [_prepare(nodes, features.numbers, numbers)] if features.number_places else []
    for place, table in zip(features.places, features.categories, strict=True):
        weight = cast(nn.Embedding, table).weight
        parts.append(nodes.add("Gather", nodes.constant(weight), _ids(nodes, rows, place, len(weight))))
    return nodes.add("Concat", *parts, axis=-1)


def _ids(nodes: Nodes, rows: str, place: int, size: int) -> str:
    """Write the ids of the category at a place of rows, as `ids_of` has them."""
    column = nodes.add("Gather", rows, nodes.constant(place, np.int64), axis=-1)
    at_least = nodes.add("GreaterOrEqual", column, nodes.constant(0.0))
    is_known = nodes.add("And", at_least, nodes.add("Less", column, nodes.constant(float(size))))
    return nodes.add("Cast", nodes.add("Where", is_known, column, nodes.constant(1.0)), to=TensorProto.INT64)


def _add_context(nodes: Nodes, context: ContextLogits) -> str:
    """Write what facts about the sequences add to the logits, (B, C)."""
    parts = []
    if context.number_places:
        numbers = nodes.add("Gather", "context", nodes.integers(*context.number_places), axis=-1)
        parts.append(nodes.add("MatMul", _prepare(nodes, context.numbers, numbers), nodes.constant(context.weight)))
    for place, table in zip(context.places, context.categories, strict=True):
        parts.append(nodes.add("Gather", nodes.constant(table), _ids(nodes, "context", place, len(table))))
    return nodes.add("Sum", *parts)


def _ngrams(nodes: Nodes, ngrams: NGramVectors, ids: str, order: int) -> str:
    """Write the vectors of the n-grams of one order that end at each step, (B, T, E); zeros for none that is known."""
    keys, valid = "", ""
    end = nodes.add("Slice", nodes.add("Shape", ids), nodes.integers(1), nodes.integers(2))
    for back in range(order):  # the id so many steps before, 0 before the start
        padded = nodes.add("Pad", ids, nodes.integers(0, back, 0, 0))
        before = nodes.add("Slice", padded, nodes.integers(0), end, nodes.integers(1))
        digit = nodes.add("Mul", before, nodes.constant(ngrams.vocab_size**back, np.int64))
        is_there = nodes.add("Greater", before, nodes.constant(0, np.int64))
        keys = nodes.add("Add", keys, digit) if back else digit
        valid = nodes.add("And", valid, is_there) if back else is_there
    count = len(ngrams.keys)
    bits = count.bit_length()
    table = np.full(1 << bits, np.iinfo(np.int64).max)
    table[:count] = ngrams.keys.numpy()
    known, row = nodes.constant(table, np.int64), nodes.add("Mul", keys, nodes.constant(0, np.int64))
    for bit in reversed(range(bits)):  # how many keys are smaller, by halving what is left
        step = nodes.constant(1 << bit, np.int64)
        last = nodes.add("Gather", known, nodes.add("Add", row, nodes.constant((1 << bit) - 1, np.int64)))
        smaller = nodes.add("Cast", nodes.add("Less", last, keys), to=TensorProto.INT64)
        row = nodes.add("Add", row, nodes.add("Mul", smaller, step))
    is_known = nodes.add("And", valid, nodes.add("Equal", nodes.add("Gather", known, row), keys))
    row = nodes.add("Where", is_known, row, nodes.constant(count, np.int64))
    rows = np.concatenate([ngrams.weight.detach().cpu().float().numpy(), np.zeros((1, ngrams.weight.shape[1]))])
    return nodes.add("Gather", nodes.constant(rows), row)


def _add_positions(nodes: Nodes, positions: PositionVectors, x: str, steps: str) -> str:
    """Write the vectors of distances from start and end, added to x (B, T, E)."""
    most = nodes.constant(MOST_DISTANCES - 1, np.int64)
    if positions.start is not None:
        x = nodes.add("Add", x, nodes.add("Gather", nodes.constant(positions.start), nodes.add("Min", steps, most)))
    if positions.end is not None:
        last = nodes.add("Sub", nodes.add("Unsqueeze", "lengths", nodes.integers(1)), nodes.constant(1, np.int64))
        distance = nodes.add("Max", nodes.add("Sub", last, steps), nodes.constant(0, np.int64))
        x = nodes.add("Add", x, nodes.add("Gather", nodes.constant(positions.end), nodes.add("Min", distance, most)))
    return x


def _prepare(nodes: Nodes, features: Features, x: str) -> str:
    """Write the filling of missing values and the standardising, as `Features` does both."""
    if "mean" not in features._buffers:
        return x
    if features.missing == "forward":
        x = _fill_forward(nodes, x)
    is_missing, mean = nodes.add("IsNaN", x), nodes.constant(features.mean)
    x = nodes.add("Where", is_missing, mean, x)
    if features.standardize:
        x = nodes.add("Div", nodes.add("Sub", x, mean), nodes.constant(features.scale))
    if features.missing == "indicator":
        x = nodes.add("Concat", x, nodes.add("Cast", is_missing, to=TensorProto.FLOAT), axis=-1)
    return x


def _fill_forward(nodes: Nodes, x: str) -> str:
    """Write a scan over the steps that carries the last known value of each feature."""
    floats = TensorProto.FLOAT
    body = helper.make_graph(
        [
            helper.make_node("IsNaN", ["step"], ["is_missing"]),
            helper.make_node("Where", ["is_missing", "known", "step"], ["known_now"]),
            helper.make_node("Identity", ["known_now"], ["filled"]),
        ],
        "fill_forward",
        [helper.make_tensor_value_info(name, floats, None) for name in ("known", "step")],
        [helper.make_tensor_value_info(name, floats, None) for name in ("known_now", "filled")],
    )
    first = nodes.add("Gather", x, nodes.constant(0, np.int64), axis=1)
    unknown = nodes.add("Add", nodes.add("Mul", first, nodes.constant(0.0)), nodes.constant(np.nan))
    return nodes.add(
        "Scan", unknown, x, outputs=2, num_scan_inputs=1, body=body, scan_input_axes=[1], scan_output_axes=[1]
    )


def _run_layer(nodes: Nodes, encoder: nn.RNNBase, layer: int, x: str, lengths: str) -> tuple[str, str]:
    """Write one layer over (T, B, E); return the states (T, D, B, H) and the last ones (D, B, H)."""
    directions = range(2 if encoder.bidirectional else 1)
    of_directions = [_reordered(encoder, layer, direction) for direction in directions]
    weights = [nodes.constant(np.stack(one)) for one in zip(*of_directions, strict=True)]
    attributes: dict[str, Any] = {"hidden_size": encoder.hidden_size}
    if encoder.bidirectional:
        attributes["direction"] = "bidirectional"
    if encoder.mode == "GRU":
        attributes["linear_before_reset"] = 1
    if encoder.mode in _ACTIVATIONS:
        attributes["activations"] = [_ACTIVATIONS[encoder.mode]] * len(directions)
    last = nodes.add(encoder.mode.partition("_")[0], x, *weights, lengths, outputs=2, **attributes)
    return nodes.nodes[-1].output[0], last


def _reordered(encoder: nn.RNNBase, layer: int, direction: int) -> list[npt.NDArray[np.float32]]:
    """Return the weights of one direction of a layer with the gates in the order of ONNX: W, R, and both biases."""
    order = _GATES[encoder.mode]
    arrays = [
        np.concatenate([np.split(weight.detach().cpu().float().numpy(), len(order))[gate] for gate in order])
        for weight in layer_weights(encoder, layer, direction)
    ]
    return [arrays[0], arrays[1], np.concatenate(arrays[2:])]


def _join_directions(nodes: Nodes, x: str, perm: list[int]) -> str:
    """Write what puts the directions side by side, as the last two dimensions after `perm`."""
    shape = nodes.integers(*[0] * (len(perm) - 2), -1)
    return nodes.add("Reshape", nodes.add("Transpose", x, perm=perm), shape)


def _pool(nodes: Nodes, model: RNNClassifier, states: str, last: str, is_real: str) -> str:
    """Write the pooling: (B, S), zeros for empty sequences."""
    pooling = model.pooling
    several = list(pooling.poolings) if isinstance(pooling, SeveralPoolings) else [pooling]
    real = nodes.add("Unsqueeze", is_real, nodes.integers(2))
    states = nodes.add("Where", real, states, nodes.constant(0.0))
    pooled = [_pool_one(nodes, one, states, last, real) for one in several]
    joined = pooled[0] if len(pooled) == 1 else nodes.add("Concat", *pooled, axis=1)
    has_steps = nodes.add("Greater", nodes.add("Unsqueeze", "lengths", nodes.integers(1)), nodes.constant(0, np.int64))
    return nodes.add("Where", has_steps, joined, nodes.constant(0.0))


def _pool_one(nodes: Nodes, pooling: nn.Module, states: str, last: str, real: str) -> str:
    steps = nodes.integers(1)
    if type(pooling) is LastPooling:
        return last
    if type(pooling) is MeanPooling:
        count = nodes.add("Unsqueeze", nodes.add("Cast", "lengths", to=TensorProto.FLOAT), steps)
        return nodes.add("Div", nodes.add("ReduceSum", states, steps, keepdims=0), count)
    if type(pooling) is MaxPooling:
        candidates = nodes.add("Where", real, states, nodes.constant(-np.inf))
        return nodes.add("ReduceMax", candidates, steps, keepdims=0)
    if type(pooling) is AttentionPooling:
        hidden = nodes.add("MatMul", states, nodes.constant(pooling.hidden.weight.T))
        hidden = nodes.add("Tanh", nodes.add("Add", hidden, nodes.constant(pooling.hidden.bias)))
        scores = nodes.add("MatMul", hidden, nodes.constant(pooling.context.weight.T))
        weights = nodes.add("Softmax", nodes.add("Where", real, scores, nodes.constant(-np.inf)), axis=1)
        return nodes.add("ReduceSum", nodes.add("Mul", weights, states), steps, keepdims=0)
    raise InvalidArgumentError(
        f"pooling must be a built-in one to be exported; got {type(pooling).__name__}. Use 'last', 'mean' or the like."
    )
