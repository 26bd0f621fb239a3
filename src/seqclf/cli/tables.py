"""Tables as the options say: the labelled sequences of a file."""

import argparse
import re
from pathlib import Path
from typing import Any

from seqclf.data.dataset import SequenceDataset
from seqclf.errors import InvalidDataError
from seqclf.reading.events import read_events
from seqclf.reading.rows import RowFile, TableOptions
from seqclf.reading.series import read_series
from seqclf.reading.tables import Table


def read(arguments: argparse.Namespace, table: str, **options: Any) -> SequenceDataset:
    """Return the labelled sequences of a table; `options` are those of `from_pairs`."""
    if arguments.series:
        return _read_series(table, **options)
    if arguments.by is not None:
        return _read_events(arguments, table, **options)
    return _read_rows(arguments, table, **options)[0]


def read_with(
    arguments: argparse.Namespace, table: str, column: str, **options: Any
) -> tuple[SequenceDataset, list[Any]]:
    """Return the labelled sequences of a table, and the value that each has in another column."""
    if arguments.by is not None:
        data = _read_events(arguments, table, **options)
        names = None if data.fields is None else data.fields.names
        events = read_events(table, by=arguments.by, order=arguments.order, fields=names, context=[column])
        assert events.context is not None
        return data, events.context[column]
    data, lines = _read_rows(arguments, table, **options)
    number: Any = int(column) if arguments.no_header else column
    found = {line: values[0] for values, line in RowFile(Path(table), **options_of(arguments)).columns([number])}
    return data, [found[line] for line in lines]


def _read_rows(arguments: argparse.Namespace, table: str, **options: Any) -> tuple[SequenceDataset, list[int]]:
    """Read a table with a sequence in each row, and return the lines where they stand too."""
    classes = options.get("classes")
    known = {str(label): label for label in classes or ()}  # a CSV file has only what looks like numbers
    pairs, lines = [], []
    for sequence, label, line in _table(arguments, table).rows():
        pairs.append((sequence, _labels_of(label, known, arguments.label_separator)))
        lines.append(line)
    try:
        data = SequenceDataset.from_pairs(pairs, multi_label=arguments.label_separator is not None, **options)
    except InvalidDataError as error:
        raise InvalidDataError(_with_lines(str(error), table, lines)) from None
    return data, lines


def _read_series(table: str, **options: Any) -> SequenceDataset:
    """Read a file with a series on each line."""
    kept = {name: options[name] for name in ("classes", "allow_empty", "allow_missing") if name in options}
    known = {str(label): label for label in kept.get("classes") or ()}
    pairs = [(series, known.get(label, label)) for series, label in read_series(table)]
    return SequenceDataset.from_pairs(pairs, **kept)


def _labels_of(label: Any, known: dict[str, Any], separator: str | None) -> Any:
    """Return the label of a row; or its labels, where there may be several."""
    if separator is None:
        return known.get(label, label) if isinstance(label, str) else label
    parts = [] if label is None else [part.strip() for part in str(label).split(separator)]
    return [known.get(part, part) for part in parts if part]


def _read_events(arguments: argparse.Namespace, table: str, **options: Any) -> SequenceDataset:
    """Read a table with a row for each event."""
    for name in ("tokenizer", "vocabulary", "allow_empty"):
        options.pop(name, None)
    fields: Any = options.pop("fields", None) or arguments.fields
    if arguments.categories and isinstance(fields, list):
        fields = dict.fromkeys(fields) | dict.fromkeys(arguments.categories, "category")
    return SequenceDataset.from_events(
        table,
        by=arguments.by,
        order=arguments.order,
        fields=fields,
        context=arguments.context,
        label=arguments.label,
        **options,
    )


def _table(arguments: argparse.Namespace, path: str) -> Table:
    columns: list[Any] = [arguments.sequence, arguments.label]
    sequence, label = map(int, columns) if arguments.no_header else columns
    file = RowFile(Path(path), **options_of(arguments))
    return Table(file, sequence, label, may_lack_label=arguments.label_separator is not None)


def options_of(arguments: argparse.Namespace) -> TableOptions:
    """Return how a table is written; nothing where it is read in its usual form."""
    options: TableOptions = {
        "encoding": arguments.encoding,
        "delimiter": arguments.delimiter,
        "quoting": arguments.quoting,
        "header": not arguments.no_header,
        "skip_broken": arguments.skip_broken,
    }
    usual = {"header": True, "skip_broken": False}
    return {name: value for name, value in options.items() if value != usual.get(name)}  # type: ignore[return-value]


def columns_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the columns of a table that is answered."""
    numbered = arguments.no_header and arguments.sequence is not None
    sequence: Any = int(arguments.sequence) if numbered else arguments.sequence
    return {"sequence": sequence, "by": arguments.by, "order": arguments.order}


def _with_lines(message: str, table: str, lines: list[int]) -> str:
    """Return an error that names sequences by their file and line in place of their number."""
    return re.sub(r"\(sequence (\d+)", lambda found: f"({table}, line {lines[int(found[1])]}", message)


def as_encoded(data: SequenceDataset) -> dict[str, Any]:
    """Return the options that encode a table as another was."""
    known = {"fields": data.fields, "context_fields": data.context_fields, "vocabulary": data.vocabulary}
    return known | {"classes": data.classes}
