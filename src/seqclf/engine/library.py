"""The compiled kernels: found, loaded and described for ctypes; `native/model.h` has the same structures."""

import ctypes
import os
import sys
import warnings
from ctypes import POINTER, Structure, c_char_p, c_double, c_int, c_int64, c_void_p
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqclf.errors import InvalidArgumentError, SeqclfWarning

FOLDER = Path(__file__).parent / "native"
NAME = {"win32": "seqclf_kernels.dll", "darwin": "seqclf_kernels.dylib"}.get(sys.platform, "seqclf_kernels.so")
MOST_POOLINGS = 8
MOST_NGRAM = 8

CELLS = {"LSTM": 0, "GRU": 1, "RNN_TANH": 2, "RNN_RELU": 3}
POOLINGS = {"last": 0, "mean": 1, "max": 2, "attention": 3}
UPDATES = {"none": 0, "SGD": 1, "Adam": 2, "AdamW": 3}
OUT_OF_MEMORY, UNKNOWN_ID, NOT_FINITE = -1, -2, -3


class CDirection(Structure):
    """The weights of one direction of one layer, and where their gradients go."""

    _fields_ = [
        (prefix + name, c_void_p) for prefix in ("", "d_") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    ]


class CAttention(Structure):
    """The weights of one attention pooling, and where their gradients go."""

    _fields_ = [
        (prefix + name, c_void_p) for prefix in ("", "d_") for name in ("hidden_weight", "hidden_bias", "context")
    ]


class CModel(Structure):
    """A classifier: sizes, and where its weights lie."""

    _fields_ = [
        *(
            (name, c_int64)
            for name in ("cell", "layers", "directions", "hidden", "input", "vocab", "classes", "poolings")
        ),
        ("pooling", c_int64 * MOST_POOLINGS),
        *(
            (name, c_void_p)
            for name in ("embedding", "d_embedding", "head_weight", "head_bias", "d_head_weight", "d_head_bias")
        ),
        ("starts", c_int64),
        ("ends", c_int64),
        *((name, c_void_p) for name in ("start", "end", "d_start", "d_end")),
        ("orders", c_int64),
        ("order", c_int64 * MOST_NGRAM),
        ("ngrams", c_int64),
        *((name, c_void_p) for name in ("ngram_key", "ngram", "d_ngram")),
        ("direction", POINTER(CDirection)),
        ("attention", POINTER(CAttention)),
    ]


class CBatch(Structure):
    """Sequences, and what of them is dropped."""

    _fields_ = [
        ("count", c_int64),
        ("values", c_void_p),
        ("value_type", c_int64),
        ("starts", c_void_p),
        ("lengths", c_void_p),
        ("truncate", c_int64),
        ("keys", c_void_p),
        *(
            (name, c_int64)
            for name in (
                "drop_symbols",
                "drop_inputs",
                "drop_layers",
                "drop_states",
                "drop_pooled",
                "drop_ngrams",
            )
        ),
        ("drop_symbol", c_void_p),
        ("variational", c_int64),
    ]


class CObjective(Structure):
    """Cross-entropy, with weights and smoothed labels, of one label or several; and where further gradients go."""

    _fields_ = [
        *((name, c_void_p) for name in ("labels", "factor", "class_weight")),
        ("smoothing", c_double),
        *((name, c_void_p) for name in ("targets", "offset", "d_logits", "d_inputs")),
    ]


class COutputs(Structure):
    """Where results go; None is not wanted."""

    _fields_ = [(name, c_void_p) for name in ("logits", "pooled", "states", "every")] + [("longest", c_int64)]


class CGradients(Structure):
    """The gradient of what was put out, and where that of the inputs goes."""

    _fields_ = [
        *((name, c_void_p) for name in ("logits", "pooled", "states")),
        ("longest", c_int64),
        ("inputs", c_void_p),
    ]


class CTensor(Structure):
    """A tensor of weights, its gradient, and what an optimiser keeps of it."""

    _fields_ = [
        *((name, c_void_p) for name in ("weight", "gradient", "average", "square")),
        ("count", c_int64),
        ("is_first", c_int64),
        ("correction1", c_double),
        ("correction2", c_double),
    ]


class CUpdate(Structure):
    """The kind of an optimiser, and its options."""

    _fields_ = [
        *((name, c_int64) for name in ("kind", "nesterov", "maximize")),
        *(
            (name, c_double)
            for name in ("learning_rate", "weight_decay", "dampening", "beta1", "beta2", "epsilon", "largest_norm")
        ),
    ]


_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "set_name": (c_char_p, [c_int]),
    "set_runs": (c_int, [c_int]),
    "workspace_new": (c_void_p, [c_int]),
    "workspace_free": (None, [c_void_p]),
    "workspace_bytes": (c_int64, [c_void_p]),
    "train": (c_int, [c_int, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_int]),
    "forward": (c_int, [c_int, c_void_p, c_void_p, c_void_p, c_void_p, c_int, c_int, c_int]),
    "backward": (c_int, [c_int, c_void_p, c_void_p, c_int]),
    "pack": (c_int, [c_int, c_void_p, c_void_p, c_int, c_int]),
    "infer": (c_int, [c_int, c_void_p, c_void_p, c_void_p, c_void_p, c_int]),
    "stream": (c_int, [c_int, c_void_p, c_void_p, c_void_p, c_int64, c_void_p]),
    "update": (c_int, [c_int, c_void_p, c_void_p, c_int64, c_void_p, c_int]),
    "softmax": (None, [c_int, c_int64, c_int64, c_void_p]),
    "activations": (None, [c_int, c_int64, c_void_p, c_void_p, c_void_p, c_void_p]),
}


class Library:
    """The loaded kernels.

    Attributes:
        sets: The names of the instruction sets that this processor runs, the best last.
        set: The one that is used.
    """

    def __init__(self, path: Path) -> None:
        loaded = ctypes.CDLL(str(path))
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(loaded, f"seqclf_{name}")
            function.restype, function.argtypes = result, arguments
            setattr(self, name, function)
        self._numbers = {}
        number = 0
        while name := self.set_name(number):
            if self.set_runs(number):
                self._numbers[name.decode()] = number
            number += 1
        self.sets = tuple(self._numbers)
        self.use(os.environ.get("SEQCLF_INSTRUCTION_SET") or self.sets[-1])

    if TYPE_CHECKING:  # the functions of the library, each without its prefix

        def __getattr__(self, name: str) -> Any:
            """Return a function."""

    def use(self, name: str) -> None:
        """Use the kernels for one instruction set from now on.

        Raises:
            InvalidArgumentError: This processor does not run it.
        """
        if name not in self._numbers:
            raise InvalidArgumentError(
                f"the instruction set must be one of {', '.join(map(repr, self.sets))}, which this processor runs; got "
                f"{name!r}. Leave SEQCLF_INSTRUCTION_SET unset for the best."
            )
        self.set = name
        self.kinds = (2 * self._numbers[name], 2 * self._numbers[name] + 1)  # for float32, for float64


@cache
def library() -> Library | None:
    """Return the kernels; None, and a warning once, where they were not built or cannot be loaded."""
    try:
        return Library(FOLDER / NAME)
    except OSError as error:
        warnings.warn(
            f"seqclf runs by torch's kernels, which is several times as slow, as its own cannot be loaded: {error}. "
            "Install it anew on this machine (pip install --force-reinstall --no-cache-dir seqclf).",
            SeqclfWarning,
            stacklevel=2,
        )
        return None


def describe_engine() -> str:
    """Return what runs recurrences here, in one line.

    Example:
        >>> from seqclf.engine.library import describe_engine
        >>> print(describe_engine())  # doctest: +SKIP
        compiled kernels for avx512 (this processor also runs plain, avx2)
    """
    kernels = library()
    if kernels is None:
        return "torch's kernels, as the compiled ones could not be loaded"
    others = [name for name in kernels.sets if name != kernels.set]
    return f"compiled kernels for {kernels.set}" + (
        f" (this processor also runs {', '.join(others)})" if others else ""
    )
