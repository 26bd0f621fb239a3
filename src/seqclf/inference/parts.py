"""Tables for a model, a part at a time: rows, and the sequences and facts that the model takes of them."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqclf.errors import InvalidArgumentError, InvalidDataError
from seqclf.fields import text_fields
from seqclf.inference.cells import read_cells, read_facts
from seqclf.inference.predict import check_encodes
from seqclf.models.classifier import RNNClassifier
from seqclf.progress import progress_bar
from seqclf.reading.events import read_events
from seqclf.reading.rows import Column, RowFile, Rows, TableOptions
from seqclf.writing import TextForm


@dataclass(frozen=True)
class Part:
    """Some rows of a table, and what a model takes of them.

    Attributes:
        rows: The rows.
        sequences: The sequence of each, as `predict` takes it.
        context: The facts about each, by columns; None for a model without.
        by: The column that names sequences of events, where the rows are such.
    """

    rows: Rows
    sequences: list[Any]
    context: dict[str, list[Any]] | None
    by: str | None = None

    def place(self, index: int) -> str:
        """Return how errors name a row."""
        if self.by is None:
            return self.rows.place(index)
        return f"{self.rows.path}, {self.by} {self.rows.column(self.by)[index]!r}"

    def some(self, indices: list[int]) -> tuple[list[Any], dict[str, list[Any]] | None]:
        """Return some of the sequences, and their context."""
        chosen = None
        if self.context is not None:
            chosen = {name: [values[index] for index in indices] for name, values in self.context.items()}
        return [self.sequences[index] for index in indices], chosen

    @contextmanager
    def named(self) -> Iterator[None]:
        """Let errors about sequences name rows in place of them."""
        with _named(self.place, f"{self.place(0)}, or one that follows"):
            yield


class Source:
    """A table of which each row holds a sequence; or one of events, of which each row is a step of one.

    Args:
        model: What takes the sequences.
        path: The file.
        sequence: The column of the sequences; or None.
        by: The column that names the sequences of events; or None.
        order: The column that events are sorted by.
        size: How many rows are read at a time.
        options: How the file is written.
    """

    def __init__(
        self,
        model: RNNClassifier,
        path: Path,
        *,
        sequence: Column | None,
        by: str | None,
        order: str | None,
        size: int,
        options: TableOptions,
    ) -> None:
        if (sequence is None) == (by is None):
            raise InvalidArgumentError(
                f"one of sequence and by must be given, for a table of sequences or of events; got {sequence!r} and "
                f"{by!r}."
            )
        if by is None and order is not None:
            raise InvalidArgumentError(f"order must come with by, for a table of events; got {order!r}.")
        if by is not None and (options or model.fields is None):
            what = f"the option {next(iter(options))!r}" if options else "a model without fields"
            raise InvalidArgumentError(
                f"by must come with a model of records, and a table that is read in its usual form; got {what}."
            )
        check_encodes(model)
        self.file = RowFile(path, **options)
        self.file.check_column("sequence", sequence) if by is None else None
        self.model, self.path, self.size = model, path, size
        self.sequence, self.by, self.order = sequence, by, order

    def parts(self) -> Iterator[Part]:
        """Yield the table, once at least, even where it has no rows."""
        if self.by is not None:
            yield self._events(self.by)
            return
        facts = self.model.context_fields
        names = [] if facts is None else facts.names
        for rows in self.file.chunks([self.sequence, *names], self.size):  # type: ignore[list-item]  # never None here
            with _named(rows.place, ""):
                sequences = read_cells(self.model, rows.column(str(self.sequence)))
            context = None
            if facts is not None:
                context = {field.name: read_facts(rows.column(field.name)) for field in facts.fields}
            yield Part(rows, sequences, context)
        self.file.warn_of_broken()

    def _events(self, by: str) -> Part:
        """Return the sequences of a table of events: a row for each, with the name of what it belongs to."""
        assert self.model.fields is not None  # as was checked
        facts = self.model.context_fields
        names = None if facts is None else facts.names
        texts = text_fields(self.model.fields) | text_fields(facts)
        events = read_events(
            self.path, by=by, order=self.order, fields=self.model.fields.names, context=names, texts=texts
        )
        self.file.share = 1.0
        rows = Rows(self.path, [by], list(range(1, len(events) + 1)), [{by: key} for key in events.keys])
        return Part(rows, list(events.sequences), events.context, by)

    def form(self, kind: str) -> TextForm:
        """Return how an output of some kind is written: as the table was, where it is of the same."""
        delimiter = "\t" if kind == ".tsv" else ","
        if kind == self.file.kind:
            delimiter = self.file.found_delimiter or delimiter
        return TextForm(delimiter, self.file.quoting or ("none" if kind == ".tsv" else "minimal"), self.file.header)

    @contextmanager
    def shown(self, progress: bool, parts: Iterable[Part]) -> Iterator[Iterator[Part]]:
        """Show how much of the file was read while its parts are taken."""
        size = self.path.stat().st_size
        with progress_bar(progress, "B", total=size, unit_scale=True, desc=self.path.name) as bar:

            def counted() -> Iterator[Part]:
                for part in parts:
                    yield part
                    bar.update(round(self.file.share * size) - bar.n)

            yield counted()


@contextmanager
def _named(place: Any, otherwise: str) -> Iterator[None]:
    """Let errors name the places of sequences in place of their numbers."""
    try:
        yield
    except InvalidDataError as error:
        message = re.sub(r"\(sequence (\d+)", lambda found: f"({place(int(found[1]))}", str(error))
        if message == str(error) and otherwise:
            message = f"{error} ({otherwise})"
        raise type(error)(message) from None
