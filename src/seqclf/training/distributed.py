"""Several processes that train one model: each takes its share of every batch, and gradients are summed over all.

The batches are those that one process would make, so `batch_size` means the same whatever the number of processes. Each
gradient counts by the sequences, or class weights, of its share; so the sum is the gradient of the whole batch, and all
processes make the same update. Processes are started by `torchrun`, or by whoever has called `init_process_group`.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from torch import Tensor, nn

from seqclf.errors import TrainingError

_TIMEOUT = timedelta(minutes=10)  # how long to wait for a process that has stopped, before all end


def is_launched() -> bool:
    """Tell whether this process is one of several that train together."""
    if not dist.is_available():
        return False
    return dist.is_initialized() or int(os.environ.get("WORLD_SIZE", "1")) > 1


def process_rank() -> int:
    """Return the number of this process among those that train together; 0 where it is alone."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank()
    return int(os.environ.get("RANK", "0")) if is_launched() else 0


class StepActions(NamedTuple):
    """What should happen after an update.

    Attributes:
        write: The state should be written.
        stop: Training should stop.
    """

    write: bool = False
    stop: bool = False


class Group:
    """The processes that train together; alone, it does nothing.

    Attributes:
        rank: The number of this process.
        count: How many there are.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.rank, self.count = 0, 1
        if is_launched():
            if not dist.is_initialized():
                dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_TIMEOUT)
            self.rank, self.count = dist.get_rank(), dist.get_world_size()

    def share(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return this process's share of a batch; where there is none, one sequence, whose `part` is nothing."""
        return indices[self.rank :: self.count] if self.rank < len(indices) else indices[:1]

    def has_share(self, indices: npt.NDArray[np.int64]) -> bool:
        """Tell whether a batch is large enough for this process to have a share."""
        return self.rank < len(indices)

    def sum(self, tensor: Tensor) -> Tensor:
        """Add up a tensor over all processes, in place, and return it.

        Raises:
            TrainingError: Another process is gone.
        """
        if self.count > 1:
            with _loss_of_others():
                dist.all_reduce(tensor)
        return tensor

    def sum_gradients(self, parameters: Sequence[nn.Parameter], part: float, actions: StepActions) -> StepActions:
        """Make each gradient the sum of all processes', each times its part; return the actions that any has given.

        Args:
            parameters: The parameters, in the same order in all processes.
            part: The part of the batch that this process's share counts for.
            actions: What this process has to say.
        """
        if self.count == 1:
            return actions
        held = [parameter for parameter in parameters if parameter.requires_grad]
        gradients = [torch.zeros_like(one) if one.grad is None else one.grad * part for one in held]
        flags = gradients[0].new_tensor([actions.write, actions.stop])
        flat = self.sum(torch.cat([*(gradient.reshape(-1) for gradient in gradients), flags]))
        start = 0
        for parameter, gradient in zip(held, gradients, strict=True):
            parameter.grad = flat[start : start + gradient.numel()].view_as(gradient)
            start += gradient.numel()
        write, stop = (flat[-2:] > 0).tolist()
        return StepActions(write, stop)

    def copy_from_first(self, module: nn.Module) -> None:
        """Give a module in all processes the weights that it has in the first."""
        if self.count > 1:
            with _loss_of_others(), torch.no_grad():
                for tensor in module.state_dict().values():
                    dist.broadcast(tensor, 0)

    def any(self, value: bool) -> bool:
        """Tell whether a value is true in any process."""
        return value if self.count == 1 else bool(self.sum(torch.tensor([float(value)], device=self.device))[0] > 0)

    def barrier(self) -> None:
        """Wait for all."""
        self.any(False)


@contextmanager
def _loss_of_others() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # whatever the backend says when a connection breaks
        raise TrainingError(
            f"all processes must go on together; another one is gone: {str(error).splitlines()[0]:.200}. See its own "
            "error; then start all again, with resume=True if there is a checkpoint."
        ) from error
