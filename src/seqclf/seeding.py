"""Randomness by argument: what is drawn comes from a seed, and torch's global generators stay as they were.

Modules of torch and of this library draw by functions that can be told apart, so they are given a generator of their
own, in the thread that asks for it. Modules of the user's own may draw in any way; for them the global generators are
set for a while, one thread after the other, and put back.
"""

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from seqclf.modes import has_modes

_CHANGING = {"uniform_", "normal_", "random_", "bernoulli_", "exponential_", "kaiming_uniform_", "kaiming_normal_"}
_MAKING = {"rand", "randn", "randint", "randperm"}


class _Global:
    """Who sets the global generators for a while; in a forked process, nobody who is still there."""

    lock = threading.RLock()


def _renew() -> None:
    _Global.lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)


class Draws(TorchFunctionMode):
    """Inside the block, and in this thread alone, torch draws from a generator with this seed.

    This holds for what modules of torch and of this library draw: initial weights, and dropout.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._seed = seed
        self._generators: dict[torch.device, torch.Generator] = {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call a function of torch, with a generator if it draws."""
        options = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        if name == "dropout":
            return self._drop(*args, **options)
        if name in _CHANGING and options.get("generator") is None:
            tensor = args[0] if args else options["tensor"]  # as those of torch.nn.init name it
            options["generator"] = self._generator(tensor.device)
        elif name in _MAKING and options.get("generator") is None:
            options["generator"] = self._generator(torch.empty(0, device=options.get("device")).device)
        return func(*args, **options)

    def _generator(self, device: torch.device) -> torch.Generator:
        if device not in self._generators:
            self._generators[device] = torch.Generator(device).manual_seed(self._seed)
        return self._generators[device]

    def _drop(self, inputs: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        if not training or not p:
            return inputs
        kept = torch.empty_like(inputs).bernoulli_(1 - p, generator=self._generator(inputs.device)) / (1 - p)
        return inputs.mul_(kept) if inplace else inputs * kept

    def state(self) -> dict[str, Tensor]:
        """Return what `load_state` goes on from."""
        return {str(device): generator.get_state() for device, generator in self._generators.items()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` returned."""
        for device, numbers in state.items():
            self._generator(torch.device(device)).set_state(numbers)


def _numbers(device: torch.device | None) -> list[int]:
    """Return the number of a CUDA device; of another there is none."""
    if device is None or device.type != "cuda":
        return []
    return [torch.cuda.current_device() if device.index is None else device.index]


@contextmanager
def unchanged_randomness(device: torch.device | None = None) -> Iterator[None]:
    """Make that what is drawn inside the block, on the CPU and on `device`, changes nothing that is drawn after it."""
    with _Global.lock, torch.random.fork_rng(devices=_numbers(device)):
        yield


@contextmanager
def seeded(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Let whatever draws from torch's global generators draw from `seed` inside; afterwards all is as before."""
    with unchanged_randomness(device):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would also reseed every other device
        for number in _numbers(device):
            torch.cuda.default_generators[number].manual_seed(seed)
        yield


class GlobalDraws:
    """As `Draws`, for models with modules of the user's own: the global generators, put back afterwards."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self._seed, self._device = seed, device
        self._blocks = ExitStack()

    def __enter__(self) -> None:
        self._blocks.enter_context(seeded(self._seed, self._device))

    def __exit__(self, *error: object) -> None:
        self._blocks.close()

    def state(self) -> dict[str, Tensor]:
        """Return what `load_state` goes on from."""
        numbers = {"cpu": torch.get_rng_state()}
        return numbers | {str(number): torch.cuda.get_rng_state(number) for number in _numbers(self._device)}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` returned."""
        torch.set_rng_state(state["cpu"])
        for number in _numbers(self._device):
            torch.cuda.set_rng_state(state[str(number)], number)


def draws_for(model: nn.Module, seed: int, device: torch.device) -> Draws | GlobalDraws:
    """Return what a model draws from while it is trained."""
    return GlobalDraws(seed, device) if has_modes(model) else Draws(seed)
