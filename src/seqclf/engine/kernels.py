"""Calls of the compiled kernels: the memory they work in, batches as pointers, and what comes back.

Legend: B sequences, N steps in all, T of the longest, E features of an input, D of the states of all directions.
"""

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqclf.engine.library import OUT_OF_MEMORY, CBatch, CGradients, COutputs, Library, library
from seqclf.engine.parts import NativeModel, Parts
from seqclf.errors import InvalidDataError

_VALUE_TYPES = {torch.uint8: 0, torch.int16: 1, torch.int32: 2, torch.int64: 3, torch.float32: 4, torch.float64: 4}
KINDS = {torch.float32: 0, torch.float64: 1}

Indices = npt.NDArray[np.int64]

MOST_STEPS = 1 << 31  # the kernels number the steps of a batch in 32 bits
_START = np.zeros(1, np.int64)  # where a single sequence starts


class Workspace:
    """Memory that passes work in; it grows to what the largest has needed.

    Args:
        kernels: Whose it is.
        threads: For how many.
        address: Where it is, of one that was there before.
    """

    def __init__(self, kernels: Library, threads: int, address: int | None = None) -> None:
        self._kernels, self.threads = kernels, threads
        self.address: int | None = address or kernels.workspace_new(threads)
        if not self.address:
            raise MemoryError("not enough memory for a pass")

    @property
    def num_bytes(self) -> int:
        """How much memory it holds."""
        return int(self._kernels.workspace_bytes(self.address)) if self.address else 0

    def release(self) -> tuple[int, int] | None:
        """Give up the memory, and return its number of threads and its address; None where it was given up before."""
        address, self.address = self.address, None
        return (self.threads, address) if address else None

    def __del__(self) -> None:
        if getattr(self, "address", None):
            self._kernels.workspace_free(self.address)
            self.address = None


class _Spare:
    """Memory of workspaces that waits for the next pass: list operations are atomic, so threads may share it.

    Addresses wait, not objects: the collector of garbage finalises the parts of a cycle in any order, and an object
    that came back to life from there could still be freed.
    """

    MOST, MOST_BYTES = 8, 1 << 26  # more memory than that is given back to the system

    def __init__(self) -> None:
        self.waiting: list[tuple[int, int]] = []  # number of threads, address

    def take(self, kernels: Library, threads: int) -> Workspace:
        """Return a workspace for so many threads."""
        try:
            own_threads, address = self.waiting.pop()
        except IndexError:
            return Workspace(kernels, threads)
        workspace = Workspace(kernels, own_threads, address)
        return workspace if own_threads >= threads else Workspace(kernels, threads)

    def give_back(self, workspace: Workspace) -> None:
        """Keep the memory of a workspace for the next pass, unless it is large."""
        if len(self.waiting) < self.MOST and workspace.num_bytes <= self.MOST_BYTES and (kept := workspace.release()):
            self.waiting.append(kept)


spare = _Spare()


@dataclass(eq=False)
class NativeBatch:
    """Sequences as the kernels see them.

    Attributes:
        values: The steps of all: integer ids (N,), or features (N, E) of the type of the weights; contiguous.
        starts: Where each sequence starts among them, int64 (B,).
        lengths: How long each is, int64 (B,).
        keys: What dropout chooses by, int64 (B,); None drops nothing.
        drops: What is dropped, as fields of `CBatch`.
        truncate_steps: Between windows of so many steps no gradient flows.
        owner: What owns memory that `drops` points to.
    """

    values: Tensor
    starts: Indices
    lengths: Indices
    keys: Indices | None = None
    drops: Mapping[str, int] = field(default_factory=dict)
    truncate_steps: int | None = None
    owner: object = None
    struct: CBatch = field(init=False)

    def __post_init__(self) -> None:
        check_places(self.values, self.starts, self.lengths)
        check_size(self.lengths)
        keys = None if self.keys is None else address_of(self.keys)
        self.struct = CBatch(
            len(self.starts),
            self.values.data_ptr(),
            _VALUE_TYPES[self.values.dtype],
            address_of(self.starts),
            address_of(self.lengths),
            self.truncate_steps or 0,
            keys,
            **self.drops,
        )

    @property
    def longest(self) -> int:
        """T."""
        return int(self.lengths.max())


def as_values(steps: Tensor) -> Tensor:
    """Return ids or features in one piece, in a type that the kernels read."""
    steps = steps.detach()
    return (steps if steps.dtype in _VALUE_TYPES else steps.long()).contiguous()


def value_type(values: Tensor) -> int:
    """Return what the kernels call the type of ids or features."""
    return _VALUE_TYPES[values.dtype]


def check_places(values: Tensor, starts: Indices, lengths: Indices) -> None:
    """Raise unless all sequences lie within the values: a kernel would read whatever is there."""
    for array in (starts, lengths):
        if array.dtype != np.int64 or not array.flags.c_contiguous:
            raise InvalidDataError(f"starts and lengths must be contiguous int64; got {array.dtype}.")
    inside = len(starts) == len(lengths) and (
        len(starts) == 0
        or (int(starts.min()) >= 0 and int(lengths.min()) >= 0 and int((starts + lengths).max()) <= len(values))
    )
    if not inside or not values.is_contiguous():
        raise InvalidDataError(
            f"sequences must lie within the {len(values)} steps that there are; got starts {starts[:3]}..., lengths "
            f"{lengths[:3]}... . Make the dataset anew."
        )


def check_size(lengths: Indices) -> None:
    """Raise where a batch has more steps than the kernels can number."""
    if int(lengths.sum()) >= MOST_STEPS:
        raise InvalidDataError(
            f"a batch must have less than {MOST_STEPS} steps; got {int(lengths.sum())}. Pass smaller batches."
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
        raise unknown_ids(num_ids)


def unknown_ids(num_ids: int) -> InvalidDataError:
    """Return the error for ids that have no vector."""
    return InvalidDataError(
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


class _Borrower:
    """Has a workspace for as long as it lives."""

    def __init__(self, kernels: Library, threads: int) -> None:
        self._workspace, self._give_back = spare.take(kernels, threads), spare.give_back

    def __del__(self) -> None:
        if hasattr(self, "_workspace"):
            self._give_back(self._workspace)


class Packed(_Borrower):
    """Weights as they are now, packed for inference; any number of threads may use them at once.

    Args:
        parts: What there is.
        full_table: Whether to compute now what each symbol gives to the gates: worth while for many calls.
    """

    def __init__(self, parts: Parts, *, full_table: bool) -> None:
        kernels = library()
        assert kernels is not None
        self.kernels, self._model = kernels, NativeModel(parts)
        self.parts, self.dtype = parts, self._model.dtype
        self.kind = kernels.kinds[KINDS[self.dtype]]
        threads = torch.get_num_threads()
        super().__init__(kernels, threads)
        status = kernels.pack(self.kind, self._model.address, self._workspace.address, threads, int(full_table))
        check_status(status, 0)

    def run(self, batch: NativeBatch) -> Tensor:
        """Return logits (B, C), pooled vectors or states, whichever the model ends with."""
        name, output = output_of(self.parts, batch, self.dtype)
        self._infer(batch.struct, _outputs(batch, **{name: output}))
        return output

    @property
    def address(self) -> int:
        """Where the kernels find the packed weights."""
        assert self._workspace.address is not None
        return self._workspace.address

    def new_logits(self) -> npt.NDArray[Any]:
        """Return room for the logits (C,) of one sequence."""
        assert self.parts.head is not None
        return np.empty(self.parts.head.out_features, np.float32 if self.dtype == torch.float32 else np.float64)

    def run_one(self, ids: list[int]) -> npt.NDArray[Any]:
        """Return the logits (C,) of one sequence of ids, which is not empty."""
        logits = self.new_logits()
        length, values = np.array([len(ids)], np.int64), np.array(ids, np.int64)
        batch = CBatch(1, address_of(values), _VALUE_TYPES[torch.int64], address_of(_START), address_of(length))
        self._infer(batch, COutputs(logits=address_of(logits)))
        return logits

    def run_prefixes(self, batch: NativeBatch) -> Tensor:
        """Return the logits after each step, (B, T, C), zero behind the ends."""
        assert self.parts.head is not None
        every = torch.zeros(len(batch.starts), batch.longest, self.parts.head.out_features, dtype=self.dtype)
        self._infer(batch.struct, _outputs(batch, every=every))
        return every

    def _infer(self, batch: CBatch, outputs: COutputs) -> None:
        threads = torch.get_num_threads()
        workspace = spare.take(self.kernels, threads)
        status = self.kernels.infer(
            self.kind,
            self._workspace.address,
            ctypes.addressof(batch),
            ctypes.addressof(outputs),
            workspace.address,
            threads,
        )
        spare.give_back(workspace)
        check_status(status, self._model.struct.vocab)


class NativeStream:
    """One sequence that comes step by step, for a model of one direction."""

    def __init__(self, packed: Packed) -> None:
        self._packed, self._state = packed, Workspace(packed.kernels, 1)

    def push(self, step: Tensor) -> npt.NDArray[Any]:
        """Read an id (1,), or a row of features (1, E), and return the logits (C,) of the sequence up to here."""
        logits = self._packed.new_logits()
        is_id = self._packed.parts.vectors is not None
        values = as_values(step)
        status = self._packed.kernels.stream(
            self._packed.kind,
            self._packed.address,
            self._state.address,
            None if is_id else values.data_ptr(),
            int(values[0]) if is_id else 0,
            address_of(logits),
        )
        check_status(status, self._packed.parts.sizes.vectors)
        return logits


class Pass(_Borrower):
    """Forwards through a classifier, and later back; what is between the two is kept."""

    def __init__(self, model: NativeModel, batch: NativeBatch, *, wants_inputs: bool = False) -> None:
        kernels = library()
        assert kernels is not None
        self._kernels, self._model, self._batch = kernels, model, batch
        self._kind = kernels.kinds[KINDS[model.dtype]]
        super().__init__(kernels, torch.get_num_threads())
        self.name, output = output_of(model.parts, batch, model.dtype)
        self._output: Tensor | None = output
        self._outputs = _outputs(batch, **{self.name: output})
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

    def take_output(self) -> Tensor:
        """Return what the parts make of the batch, once: kept here, it would keep itself alive in autograd's graph."""
        output, self._output = self._output, None
        assert output is not None
        return output

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


def softmax_(logits: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Turn logits (n, C), contiguous, into probabilities, in place."""
    kernels = library()
    if kernels is None or logits.dtype not in (np.float32, np.float64):
        with np.errstate(all="ignore"):  # logits without bound give NaN
            logits -= logits.max(1, keepdims=True, initial=-np.inf)
            np.exp(logits, out=logits)
            logits /= logits.sum(1, keepdims=True)
        return logits
    kind = kernels.kinds[0 if logits.dtype == np.float32 else 1]
    kernels.softmax(kind, *logits.shape, address_of(logits))
    return logits
