"""Schedules of the learning rate by name: each goes by updates, from the first to the last of a run."""

import math
from collections.abc import Callable

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from seqclf.choices import ScheduleName

_WARMUPS = {"one_cycle": 0.3, "cosine": 0.0, "linear": 0.0, "constant": 0.0}  # one_cycle's is torch's own


def make_scheduler(name: ScheduleName, updates: int, warmup: float | None = None) -> Callable[[Optimizer], LRScheduler]:
    """Return what makes a scheduler for a run of so many updates, from its optimiser.

    Args:
        name: `"one_cycle"` rises from a 25th of the rate to the rate and falls to next to nothing; `"cosine"` and
            `"linear"` fall from the rate to nothing, along half a cosine or a line; `"constant"` stays.
        updates: How many updates the run makes.
        warmup: The share of the updates in which the rate rises first; None is 0.3 for `"one_cycle"`, 0 for others.

    References:
        One cycle: Smith and Topin, Super-Convergence, 2018. Cosine: Loshchilov and Hutter, SGDR, ICLR 2017.
    """
    share = _WARMUPS[name] if warmup is None else warmup

    def factor(update: int) -> float:
        rising = share * updates
        if update < rising:
            return (update + 1) / (math.floor(rising) + 1)
        left = 1 - min(1.0, (update - rising) / max(1.0, updates - rising))
        return {"linear": left, "cosine": 0.5 - 0.5 * math.cos(math.pi * left)}.get(name, 1.0)

    def make(optimizer: Optimizer) -> LRScheduler:
        if name != "one_cycle":
            return LambdaLR(optimizer, factor)
        rates = [group["lr"] for group in optimizer.param_groups]
        return OneCycleLR(optimizer, max_lr=rates, total_steps=max(updates, 2), pct_start=share)

    return make
