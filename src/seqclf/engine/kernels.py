"""Calls of the compiled kernels: models and batches as pointers, and what comes back.

Legend: B sequences, N steps in all, T of the longest, E features of an input, H of a state, D = directions * H.
"""

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from seqclf.engine.library import (
    CELLS,
    MOST_POOLINGS,
    OUT_OF_MEMORY,
    POOLINGS,
    CAttention,
    CBatch,
    CDirection,
    CGradients,
    CModel,
    CObjective,
    COutputs,
    Library,
    library,
)
from seqclf.errors import InvalidDataError

_VALUE_TYPES = {torch.uint8: 0, torch.int16: 1, torch.int32: 2, torch.int64: 3, torch.float32: 4, torch.float64: 4}
_KINDS = {torch.float32: 0, torch.float64: 1}

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Parts:
    """What the kernels need to know of a classifier, or of some of it.

    Attributes:
        encoder: One of torch's encoders.
        vectors: The vectors that stand for ids, (V, E); None where steps are features.
        poolings: The names of the poolings, and their modules; none where states are wanted as they are.
        head: The last layer; None where pooled vectors are wanted.
    """

    encoder: nn.RNNBase
    vectors: Tensor | None
    poolings: tuple[tuple[str, nn.Module], ...] = ()
    head: nn.Linear | None = None

    @property
    def num_directions(self) -> int:
        """1 or 2."""
        return 2 if self.encoder.bidirectional else 1

    @property
    def state_size(self) -> int:
        """D."""
        return self.encoder.hidden_size * self.num_directions

    def weights(self) -> list[Tensor]:
        """Return all weights, in the order in which the kernels name them: layers, vectors, poolings, head."""
        encoder = self.encoder
        found = [getattr(encoder, name) for names in encoder._all_weights for name in names]
        found += [] if self.vectors is None else [self.vectors]
        for name, module in self.poolings:
            if name == "attention":
                attention: Any = module
                found += [attention.hidden.weight, attention.hidden.bias, attention.context.weight]
        return found if self.head is None else [*found, self.head.weight, self.head.bias]


class NativeModel:
    """A classifier, or some of it, as the kernels see it: pointers to weights, which must not be moved meanwhile.

    Args:
        parts: What there is.
        weights: Those to use in place of `parts.weights()`, such as with some dropped.
        gradients: Where their gradients go; None where none are wanted.
    """

    def __init__(
        self, parts: Parts, weights: Sequence[Tensor] | None = None, gradients: Sequence[Tensor] | None = None
    ) -> None:
        self.parts = parts
        self.weights = [weight.detach().contiguous() for weight in (parts.weights() if weights is None else weights)]
        self.gradients = gradients
        self.dtype = self.weights[0].dtype
        encoder, head = parts.encoder, parts.head
        pointers = [weight.data_ptr() for weight in self.weights]
        targets = [None] * len(pointers) if gradients is None else [gradient.data_ptr() for gradient in gradients]
        directions = encoder.num_layers * parts.num_directions
        self._directions = (CDirection * directions)(
            *(CDirection(*pointers[4 * i : 4 * i + 4], *targets[4 * i : 4 * i + 4]) for i in range(directions))
        )
        rest, rest_targets = iter(pointers[4 * directions :]), iter(targets[4 * directions :])
        embedding = (None, None) if parts.vectors is None else (next(rest), next(rest_targets))
        self._attentions = (CAttention * max(1, len(parts.poolings)))()
        for number, (name, _) in enumerate(parts.poolings):
            if name == "attention":
                own = [next(rest) for _ in range(3)]
                self._attentions[number] = CAttention(*own, *(next(rest_targets) for _ in range(3)))
        of_head = (None,) * 4 if head is None else (next(rest), next(rest), next(rest_targets), next(rest_targets))
        self.struct = CModel(
            cell=CELLS[encoder.mode],
            layers=encoder.num_layers,
            directions=parts.num_directions,
            hidden=encoder.hidden_size,
            input=encoder.input_size,
            vocab=0 if parts.vectors is None else len(parts.vectors),
            classes=0 if head is None else head.out_features,
            poolings=len(parts.poolings),
            pooling=(ctypes.c_int64 * MOST_POOLINGS)(*(POOLINGS[name] for name, _ in parts.poolings)),
            embedding=embedding[0],
            d_embedding=embedding[1],
            head_weight=of_head[0],
            head_bias=of_head[1],
            d_head_weight=of_head[2],
            d_head_bias=of_head[3],
            direction=self._directions,
            attention=self._attentions,
        )
        self.address = ctypes.addressof(self.struct)

class Workspace:
    """Memory that passes work in; it grows to what the largest has needed."""

    def __init__(self, kernels: Library, threads: int) -> None:
        self._kernels, self.threads = kernels, threads
        self.address = kernels.workspace_new(threads)
        if not self.address:
            raise MemoryError("not enough memory for a pass")

    @property
    def num_bytes(self) -> int:
        """How much memory it holds."""
        return int(self._kernels.workspace_bytes(self.address))

    def __del__(self) -> None:
        if getattr(self, "address", None):
            self._kernels.workspace_free(self.address)


class _Spare:
    """Workspaces that wait for the next pass: list operations are atomic, so threads may share them."""

    MOST, MOST_BYTES = 8, 1 << 26  # more memory than that is given back to the system

    def __init__(self) -> None:
        self.waiting: list[Workspace] = []

    def take(self, kernels: Library, threads: int) -> Workspace:
        """Return a workspace for so many threads."""
        try:
            workspace = self.waiting.pop()
        except IndexError:
            return Workspace(kernels, threads)
        return workspace if workspace.threads >= threads else Workspace(kernels, threads)

    def give_back(self, workspace: Workspace) -> None:
        """Keep a workspace for the next pass, unless it is large."""
        if len(self.waiting) < self.MOST and workspace.num_bytes <= self.MOST_BYTES:
            self.waiting.append(workspace)


spare = _Spare()


@contextmanager
def workspace_for(kernels: Library) -> Iterator[Workspace]:
    """Lend a workspace to one pass."""
    workspace = spare.take(kernels, torch.get_num_threads())
    try:
        yield workspace
    finally:
        spare.give_back(workspace)


@dataclass(eq=False)
class NativeBatch:
    """Sequences as the kernels see them.

    Attributes:
        values: The steps of all: integer ids (N,), or features (N, E) of the type of the weights; contiguous.
        starts: Where each sequence starts among them, int64 (B,).
        lengths: How long each is, int64 (B,).
        keys: What dropout chooses by, int64 (B,); None drops nothing.
        thresholds: What `CBatch` calls drop_symbols, drop_inputs, drop_layers, drop_states, drop_pooled, variational.
        truncate_steps: Between windows of so many steps no gradient flows.
    """

    values: Tensor
    starts: Indices
    lengths: Indices
    keys: Indices | None = None
    thresholds: tuple[int, int, int, int, int, int] = (0, 0, 0, 0, 0, 0)
    truncate_steps: int | None = None
    struct: CBatch = field(init=False)

    def __post_init__(self) -> None:
        check_places(self.values, self.starts, self.lengths)
        keys = None if self.keys is None else address_of(self.keys)
        self.struct = CBatch(
            len(self.starts),
            self.values.data_ptr(),
            _VALUE_TYPES[self.values.dtype],
            address_of(self.starts),
            address_of(self.lengths),
            self.truncate_steps or 0,
            keys,
            *self.thresholds,
        )

    @classmethod
    def of_padded(cls, inputs: Tensor, lengths: Tensor, **options: Any) -> "NativeBatch":
        """Return padded steps (B, T) or (B, T, E), which are read where they lie."""
        inputs = inputs.detach().contiguous()
        starts = np.arange(len(inputs), dtype=np.int64) * inputs.shape[1]
        return cls(inputs.flatten(0, 1), starts, lengths.numpy(), **options)

    @property
    def longest(self) -> int:
        """T."""
        return int(self.lengths.max())


def check_places(values: Tensor, starts: Indices, lengths: Indices) -> None:
    """Raise unless all sequences lie within the values: a kernel would read whatever is there."""
    for array in (starts, lengths):
        if array.dtype != np.int64 or not array.flags.c_contiguous:
            raise InvalidDataError(f"starts and lengths must be contiguous int64; got {array.dtype}.")
    inside = len(starts) == 0 or (
        int(starts.min()) >= 0 and int(lengths.min()) >= 0 and int((starts + lengths).max()) <= len(values)
    )
    if not inside or len(starts) != len(lengths) or not values.is_contiguous() or int(lengths.sum()) >= 1 << 31:
        raise InvalidDataError(
            f"sequences must lie within the {len(values)} steps that there are, less than 2^31 at once; got starts "
            f"{starts[:3]}..., lengths {lengths[:3]}... . Pass smaller batches, or make the dataset anew."
        )


def address_of(array: npt.NDArray[Any]) -> int:
    """Return where the numbers of an array lie."""
    address: int = array.__array_interface__["data"][0]
    return address


def check_status(status: int, num_ids: int) -> None:
    """Raise what a kernel has reported."""
    if status == OUT_OF_MEMORY:
        raise MemoryError("not enough memory: the kernels could not get what a batch needs")
    if status:
        raise InvalidDataError(
            f"ids must be from 0 to {num_ids - 1}; got others. Encode with the vocabulary that the model was made for."
        )


def _outputs(batch: NativeBatch, **tensors: Tensor | None) -> COutputs:
    pointers = {name: None if tensor is None else tensor.data_ptr() for name, tensor in tensors.items()}
    return COutputs(**pointers, longest=batch.longest)


def output_of(parts: Parts, batch: NativeBatch, dtype: torch.dtype) -> tuple[str, Tensor]:
    """Return what a pass puts out, by name, and room for it: logits (B, C), pooled (B, S) or states (B, T, D)."""
    rows = len(batch.starts)
    if parts.head is not None:
        return "logits", torch.empty(rows, parts.head.out_features, dtype=dtype)
    if parts.poolings:
        return "pooled", torch.empty(rows, len(parts.poolings) * parts.state_size, dtype=dtype)
    return "states", torch.zeros(rows, batch.longest, parts.state_size, dtype=dtype)


class Packed:
    """Weights as they are now, packed for inference; any number of threads may use them at once.

    Args:
        parts: What there is.
        full_table: Whether to compute now what each symbol gives to the gates: worth while for many calls.
    """

    def __init__(self, parts: Parts, *, full_table: bool) -> None:
        kernels = library()
        assert kernels is not None
        self._kernels, self._model = kernels, NativeModel(parts)
        self.parts, self.dtype = parts, self._model.dtype
        self._kind = kernels.kinds[_KINDS[self.dtype]]
        self._workspace = Workspace(kernels, torch.get_num_threads())
        status = kernels.pack(
            self._kind, self._model.address, self._workspace.address, torch.get_num_threads(), int(full_table)
        )
        check_status(status, 0)

    def run(self, batch: NativeBatch) -> Tensor:
        """Return logits (B, C), pooled vectors or states, whichever the model ends with."""
        name, output = output_of(self.parts, batch, self.dtype)
        self._infer(batch, _outputs(batch, **{name: output}))
        return output

    def run_prefixes(self, batch: NativeBatch) -> Tensor:
        """Return the logits after each step, (B, T, C), zero behind the ends."""
        assert self.parts.head is not None
        every = torch.zeros(len(batch.starts), batch.longest, self.parts.head.out_features, dtype=self.dtype)
        self._infer(batch, _outputs(batch, every=every))
        return every

    def _infer(self, batch: NativeBatch, outputs: COutputs) -> None:
        with workspace_for(self._kernels) as workspace:
            status = self._kernels.infer(
                self._kind,
                self._workspace.address,
                ctypes.addressof(batch.struct),
                ctypes.addressof(outputs),
                workspace.address,
                torch.get_num_threads(),
            )
        check_status(status, self._model.struct.vocab)


class Pass:
    """Forwards through a classifier, and later back; what is between the two is kept."""

    def __init__(self, model: NativeModel, batch: NativeBatch, *, wants_inputs: bool = False) -> None:
        kernels = library()
        assert kernels is not None
        self._kernels, self._model, self._batch = kernels, model, batch
        self._kind = kernels.kinds[_KINDS[model.dtype]]
        self._workspace = spare.take(kernels, torch.get_num_threads())
        self.name, self.output = output_of(model.parts, batch, model.dtype)
        self._outputs = _outputs(batch, **{self.name: self.output})
        status = kernels.forward(
            self._kind,
            model.address,
            ctypes.addressof(batch.struct),
            ctypes.addressof(self._outputs),
            self._workspace.address,
            torch.get_num_threads(),
            1,
            int(wants_inputs),
        )
        check_status(status, model.struct.vocab)

    def backward(self, gradient: Tensor, of_inputs: Tensor | None) -> None:
        """Put the gradients of weights where the model has them go, and that of the inputs, if any, into a tensor."""
        gradient = gradient.contiguous()
        gradients = CGradients(
            **{self.name: gradient.data_ptr()},
            longest=self._batch.longest,
            inputs=None if of_inputs is None else of_inputs.data_ptr(),
        )
        status = self._kernels.backward(
            self._kind, ctypes.addressof(gradients), self._workspace.address, torch.get_num_threads()
        )
        check_status(status, 0)
        spare.give_back(self._workspace)


def softmax_(logits: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Turn logits (n, C), float32 or float64 and contiguous, into probabilities, in place."""
    kernels = library()
    assert kernels is not None
    kind = kernels.kinds[0 if logits.dtype == np.float32 else 1]
    kernels.softmax(kind, *logits.shape, address_of(logits))
    return logits
