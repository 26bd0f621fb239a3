"""Modes of a model: answers do not depend on them, and what others see of them does not change."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import wraps
from typing import Any, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import nn

Given = ParamSpec("Given")
Result = TypeVar("Result")

# Modules of torch that do the same in both modes. Those of this library take what they drop as arguments.
_WITHOUT_MODES = {
    *(nn.Embedding, nn.Linear, nn.Identity, nn.LayerNorm, nn.Module, nn.ModuleList, nn.ModuleDict, nn.Sequential),
    *(nn.LSTM, nn.GRU, nn.RNN, nn.LSTMCell, nn.GRUCell, nn.RNNCell, nn.Tanh, nn.ReLU, nn.Sigmoid, nn.GELU, nn.SiLU),
}
_locks: WeakKeyDictionary[nn.Module, threading.RLock] = WeakKeyDictionary()
_making = threading.Lock()


def _forget_locks() -> None:
    """Let go, in a child process, of locks that threads of the parent held."""
    global _making  # noqa: PLW0603  # a lock that is held cannot be let go of by another
    _making = threading.Lock()
    _locks.clear()


if hasattr(os, "register_at_fork"):  # not on Windows, which cannot fork
    os.register_at_fork(after_in_child=_forget_locks)


def has_modes(model: nn.Module) -> bool:
    """Tell whether some part of a model may answer otherwise in training mode, or draw in a way of its own."""
    return any(
        getattr(module, "dropout", 0) if type(module) in _WITHOUT_MODES else not _is_own(module)
        for module in model.modules()
    )


def _is_own(module: nn.Module) -> bool:
    return type(module).__module__.split(".")[0] == "seqclf"


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put every part of `model` into eval mode inside the block, and each back into its own mode afterwards.

    One thread after the other, for each model.
    """
    with _making:
        lock = _locks.setdefault(model, threading.RLock())
    with lock:
        modes = [(module, module.training) for module in model.modules()]
        model.eval()
        try:
            yield
        finally:
            for module, mode in modes:
                module.training = mode


def without_autocast() -> AbstractContextManager[Any]:
    """Return a block in which nothing is cast, whatever mode the caller is in."""
    devices = [device for device in ("cpu", "cuda") if torch.is_autocast_enabled(device)]
    if not devices:
        return nullcontext()
    stack = ExitStack()
    for device in devices:
        stack.enter_context(torch.autocast(device, enabled=False))
    return stack


def in_usual_modes(function: Callable[Given, Result]) -> Callable[Given, Result]:
    """Let a function that trains run with gradients, and without autocast, whatever mode the caller is in."""

    @wraps(function)
    def run(*args: Given.args, **options: Given.kwargs) -> Result:
        with torch.inference_mode(False), torch.enable_grad(), without_autocast():
            return function(*args, **options)

    return run
