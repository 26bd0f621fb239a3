"""Processes that were forked: torch's threads do not live on in them, and whoever waits for one waits for ever."""

import os

import torch


class _Fork:
    """Whether this process was forked from one that had imported the library, and has not been made safe yet."""

    has_happened = False


def _notice() -> None:
    _Fork.has_happened = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_notice)


def leave_lost_threads() -> None:
    """Let torch compute with one thread in a forked process, as `DataLoader` does in its workers."""
    if _Fork.has_happened:
        _Fork.has_happened = False
        torch.set_num_threads(1)
