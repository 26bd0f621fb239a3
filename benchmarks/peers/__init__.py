"""Peers: what does the same work, each behind the same small interface."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol, get_args

from benchmarks.config import Config, Task, WorkName
from benchmarks.work import Work

FLOOR = "floor"
SEQCLF = "seqclf"
NOT_INSTALLED = "not installed"
_HERE = "benchmarks.peers."


@dataclass(frozen=True)
class Pass:
    """What a pass over the training sequences found.

    Attributes:
        loss: The mean loss while the weights moved.
        padding_waste: Steps run for each real one, where the peer says so.
    """

    loss: float
    padding_waste: float | None = None


class Peer(Protocol):
    """One way to do the work. The worker holds the clock."""

    def prepare(self, work: Work, config: Config) -> None:
        """Make the model and put the data into the peer's own form; not timed."""

    def train(self) -> Pass:
        """Go once through all sequences in random batches, and update the weights after each."""

    def predict(self) -> Sequence[int]:
        """Return the class of every sequence, in order, computed in batches."""

    def predict_one(self, texts: Sequence[str]) -> Sequence[int]:
        """Return the class of each raw sequence, computed one at a time, as they come to a service."""

    def predict_plain(self, texts: Sequence[str]) -> Sequence[int]:
        """Likewise, by the call that a user writes who has prepared nothing."""


@dataclass(frozen=True)
class Spec:
    """Where a peer is found, and when it takes part.

    Attributes:
        module: The module that has the class, imported in the peer's own process alone.
        name: The name of the class.
        packages: The packages that must be installed.
        environment: Variables that must be set before the import.
        tasks: The tasks that the peer takes on.
        works: The works that the peer takes on.
        batch_sizes: The batch sizes that the peer takes on; None is all.
        bidirectional: Whether the peer takes on layers that read both ways.
        options: Whether the peer takes on dropout, and poolings other than the last state.
        shares: The part of the sequences that a turn of this peer goes through, by the work, where it is so slow that
            all others would wait. Rates are by the sequence, so they stay comparable.
    """

    module: str
    name: str
    packages: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    tasks: tuple[Task, ...] = ("train", "predict", "predict-one")
    works: tuple[WorkName, ...] = get_args(WorkName)
    batch_sizes: tuple[int, ...] | None = None
    bidirectional: bool = True
    options: bool = False
    shares: Mapping[WorkName, float] = field(default_factory=dict)

    @property
    def status(self) -> str:
        """Whether the peer can run: `"installed"`, or what is not."""
        missing = [package for package in self.packages if find_spec(package) is None]
        return f"{NOT_INSTALLED}: {', '.join(missing)}" if missing else "installed"

    def takes(self, config: Config) -> bool:
        """Tell whether the peer takes part."""
        return (
            config.work in self.works
            and (self.batch_sizes is None or config.batch_size in self.batch_sizes)
            and (self.bidirectional or not config.bidirectional)
            and (self.options or not config.has_options)
        )

    def make(self) -> Any:
        """Import the class, and return a new one of it."""
        return getattr(import_module(self.module), self.name)()


# What wraps the module of the hand-written loop runs the longest sequences just as slowly; once is enough to show it.
_NOT_LONGEST: tuple[WorkName, ...] = ("names", "all names", "sample", "50-400")
_ALL_TASKS: tuple[Task, ...] = get_args(Task)

PEERS: dict[str, Spec] = {
    SEQCLF: Spec(_HERE + "seqclf_fit", "SeqclfFit", tasks=_ALL_TASKS, options=True),
    "hand-written": Spec(
        _HERE + "hand_written", "HandWritten", tasks=_ALL_TASKS, options=True, shares={"1000-2000": 1 / 2}
    ),
    # One name needs no padding, so that single ones are answered as by the packed loop.
    "hand-padded": Spec(
        _HERE + "hand_written", "HandPadded", tasks=("train", "predict"), bidirectional=False, options=True
    ),
    "skorch": Spec(_HERE + "skorch_net", "SkorchNet", ("skorch",), works=_NOT_LONGEST, options=True),
    "lightning": Spec(
        _HERE + "lightning_trainer",
        "LightningTrainer",
        ("lightning",),
        works=_NOT_LONGEST,
        # Nobody runs a trainer for each single name: users of Lightning call the module, as the hand-written way does.
        tasks=("train", "predict"),
        options=True,
    ),
    "keras-jax": Spec(_HERE + "keras_fit", "KerasFit", ("keras", "jax"), {"KERAS_BACKEND": "jax"}),
    "keras-torch": Spec(
        _HERE + "keras_fit",
        "KerasFit",
        ("keras",),
        {"KERAS_BACKEND": "torch"},
        shares={"names": 1 / 8, "all names": 1 / 8, "sample": 1 / 8, "1000-2000": 1 / 2},
    ),
    "tutorial": Spec(_HERE + "tutorial", "Tutorial", works=("names", "sample"), batch_sizes=(1,)),
}
PACKAGES = ("torch", "numpy", "skorch", "lightning", "keras", "jax")

# Not a peer, but it takes its turns like one.
FLOOR_SPEC = Spec("benchmarks.floor", "Floor", tasks=("train", "predict"), options=True)
