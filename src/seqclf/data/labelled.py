"""What modules that a `SequenceDataset` uses read of one."""

from typing import Any, Protocol

from torch import Tensor

from seqclf.data.ragged import Ragged
from seqclf.fields import Fields
from seqclf.vocabulary import Vocabulary


class LabelledSequences(Protocol):
    """What is read of a `SequenceDataset`."""

    def __len__(self) -> int: ...
    @property
    def sequences(self) -> Ragged:
        """The store of all steps."""
        ...

    @property
    def labels(self) -> Tensor:
        """The class index of each, (n,); or 0 and 1 for each class, (n, C)."""
        ...

    @property
    def answers(self) -> Any:
        """A number for what each is labelled with, an array (n,)."""
        ...

    @property
    def context_fields(self) -> Fields | None:
        """What the facts about whole sequences are; None without."""
        ...

    @property
    def fields(self) -> Fields | None:
        """What the columns of records are; None for others."""
        ...

    @property
    def lengths(self) -> Tensor:
        """How long each is, (n,)."""
        ...

    @property
    def classes(self) -> tuple[Any, ...]:
        """The labels of the classes."""
        ...

    @property
    def vocabulary(self) -> Vocabulary | None:
        """What encodes symbols; None for measurements, and for ids without."""
        ...

    @property
    def input_size(self) -> int | None:
        """F; None for symbols."""
        ...

    @property
    def groups(self) -> Any:
        """Which sequences are equal, an array (n,), computed when it is first asked for."""
        ...
