"""Config: one point that is measured; every peer gets the same one."""

from dataclasses import dataclass
from typing import Literal

CellName = Literal["lstm", "gru", "rnn"]
WorkName = Literal["names", "all names", "sample", "50-400", "1000-2000"]
PoolingName = Literal["last", "mean", "max"]
Task = Literal["train", "predict", "predict-one", "predict-plain"]

EMBEDDING = 64
MOMENTUM = 0.9
SINGLES = 500  # how many sequences are predicted one at a time in a turn
SINGLE_TASKS: tuple[Task, ...] = ("predict-one", "predict-plain")

# A turn must not take long, so that others get theirs soon after; and small batches are slow for all.
NAMES_IN_A_TURN = {1: 500, 10: 4_000}
MOST_NAMES_IN_A_TURN = 10_000
_WORK_TITLES = {
    "names": "names",
    "all names": "all names",
    "sample": "sample of the names",
    "50-400": "50-400 steps",
    "1000-2000": "1000-2000 steps",
}


@dataclass(frozen=True)
class Config:
    """One point that is measured.

    Attributes:
        work: Which sequences.
        cell: The recurrent cell.
        hidden: The size of its state in one direction.
        layers: How many layers lie on top of each other.
        bidirectional: Whether each layer also reads backwards.
        dropout: The part that is dropped in training, between layers and before the head.
        pooling: What the head is given of the states of the last layer.
        batch_size: How many sequences make one update, or one batch of predictions.
        threads: How many threads compute, on as many cores.
        tasks: What is timed.
    """

    work: WorkName = "names"
    cell: CellName = "lstm"
    hidden: int = 128
    layers: int = 1
    bidirectional: bool = False
    dropout: float = 0.0
    pooling: tuple[PoolingName, ...] = ("last",)
    batch_size: int = 30
    threads: int = 2
    tasks: tuple[Task, ...] = ("train", "predict")

    @property
    def directions(self) -> int:
        """The number of directions in which each layer reads."""
        return 2 if self.bidirectional else 1

    @property
    def learning_rate(self) -> float:
        """A rate at which no peer diverges: small batches take small steps."""
        return 0.1 * min(1.0, self.batch_size / 64)

    @property
    def most_sequences(self) -> int | None:
        """How many sequences a turn goes through at most; None is all."""
        return NAMES_IN_A_TURN.get(self.batch_size, MOST_NAMES_IN_A_TURN) if self.work == "names" else None

    @property
    def has_options(self) -> bool:
        """Whether there is dropout, or another pooling than the last state."""
        return bool(self.dropout) or self.pooling != ("last",)

    @property
    def model_title(self) -> str:
        """What stands in a table for the work and the model, whatever the batch size."""
        size = str(self.hidden) if self.layers == 1 else f"{self.layers} x {self.hidden}"
        parts = [_WORK_TITLES[self.work], f"{self.cell.upper()} {size}"]
        parts += ["bidirectional"] * self.bidirectional
        parts += [f"dropout {self.dropout}"] * bool(self.dropout)
        parts += [" + ".join(self.pooling)] * (self.pooling != ("last",))
        return ", ".join(parts)

    @property
    def threads_title(self) -> str:
        """How many threads, in words."""
        return "1 thread" if self.threads == 1 else f"{self.threads} threads"

    @property
    def title(self) -> str:
        """What stands in the first column of a table."""
        return f"{self.model_title}, batch {self.batch_size}, {self.threads_title}"

    @property
    def series(self) -> str:
        """The title that points of several batch sizes share."""
        return f"{self.model_title}, {self.threads_title}"
