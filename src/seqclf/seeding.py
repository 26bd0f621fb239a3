"""Randomness by argument: draw from a seed, and leave torch's global generators as they were."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch


def _numbers(device: torch.device | None) -> list[int]:
    """Return the number of a CUDA device; of another there is none."""
    if device is None or device.type != "cuda":
        return []
    return [torch.cuda.current_device() if device.index is None else device.index]


def unchanged_randomness(device: torch.device | None = None) -> AbstractContextManager[None]:
    """Make that what is drawn inside the block, on the CPU and on `device`, changes nothing that is drawn after it."""
    return torch.random.fork_rng(devices=_numbers(device))


@contextmanager
def seeded(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Let torch draw from `seed` inside the block, on the CPU and on `device`; afterwards all is as before."""
    with unchanged_randomness(device):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would also reseed every other device
        for number in _numbers(device):
            torch.cuda.default_generators[number].manual_seed(seed)
        yield
