"""Randomness by argument: what is drawn comes from a seed, and torch's global generators stay as they were."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


class Draws(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Inside the block, and in this thread alone, torch draws from generators with this seed.

    The numbers are those that torch would draw after `manual_seed(seed)`, in layers of the user's own too. Each
    operation takes longer in the block, so it is for what draws alone.

    Attributes:
        have_drawn: Whether anything was drawn.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.have_drawn = False
        self._seed = seed
        self._generators: dict[torch.device, torch.Generator] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run an operation; one that draws is handed a generator."""
        options = dict(kwargs or {})
        device = _device_of(args, options)
        if options.get("generator") is None and device.type != "meta":
            twin = "generator" if func._overloadname == "default" else f"{func._overloadname}_generator"
            if not _takes_generator(func) and twin in func.overloadpacket.overloads():
                func = getattr(func.overloadpacket, twin)
            if _takes_generator(func):
                self.have_drawn = True
                options["generator"] = self._generator(device)
        return func(*args, **options)

    def _generator(self, device: torch.device) -> torch.Generator:
        if device not in self._generators:
            self._generators[device] = torch.Generator(device).manual_seed(self._seed)
        return self._generators[device]

    def state(self) -> dict[str, Tensor]:
        """Return what `load_state` goes on from."""
        return {str(device): generator.get_state() for device, generator in self._generators.items()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` returned."""
        for device, numbers in state.items():
            self._generator(torch.device(device)).set_state(numbers)


def _takes_generator(func: Any) -> bool:
    return any(argument.name == "generator" for argument in func._schema.arguments)


def _device_of(args: tuple[Any, ...], options: Mapping[str, Any]) -> torch.device:
    """Return where an operation works."""
    tensor = next((one for one in args if isinstance(one, Tensor)), None)
    return tensor.device if tensor is not None else torch.device(options.get("device") or "cpu")
