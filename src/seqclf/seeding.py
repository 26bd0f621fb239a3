"""Randomness by argument: draw from a seed, and leave torch's global generators as they were."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Let torch draw from `seed` inside the block, on the CPU and on `device`; afterwards all is as before."""
    on_cuda = device is not None and device.type == "cuda"
    devices = [torch.cuda.current_device() if device.index is None else device.index] if device and on_cuda else []
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would also reseed every other device
        for number in devices:
            torch.cuda.default_generators[number].manual_seed(seed)
        yield
