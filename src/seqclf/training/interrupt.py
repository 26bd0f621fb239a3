"""Ctrl-C that is heard at the next good moment, and at once when it is pressed again."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interruption:
    """Whether Ctrl-C was pressed.

    Attributes:
        requested: Whether it was.
    """

    def __init__(self) -> None:
        self.requested = False


@contextmanager
def deferred_interrupts(*, wanted: bool) -> Iterator[Interruption]:
    """Inside the block let the first Ctrl-C only be noted; the second raises KeyboardInterrupt as ever.

    Signals reach the main thread alone, and a handler that somebody else has set is left to do its work: in both cases,
    and where this is not wanted, the block changes nothing.
    """
    interruption = Interruption()
    before = signal.getsignal(signal.SIGINT)
    in_charge = wanted and before is signal.default_int_handler
    if not (in_charge and threading.current_thread() is threading.main_thread()):
        yield interruption
        return

    def note(_number: int, _frame: FrameType | None) -> None:
        interruption.requested = True
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, note)
    try:
        yield interruption
    finally:
        signal.signal(signal.SIGINT, before)
