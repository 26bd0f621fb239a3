"""Tables as the options say: the labelled sequences of a file."""

import argparse
import re
from pathlib import Path
from typing import Any

from seqclf.cli.check import kind_of_source
from seqclf.data.dataset import SequenceDataset
from seqclf.errors import InvalidDataError
from seqclf.reading.events import read_events
from seqclf.reading.fasta import read_fasta
from seqclf.reading.folders import read_folder
from seqclf.reading.rows import RowFile, TableOptions
from seqclf.reading.series import read_series
from seqclf.reading.tables import Table


def read(arguments: argparse.Namespace, table: str, **options: Any) -> SequenceDataset:
    """Return the labelled sequences of a table; `options` are those of `from_pairs`."""
    kind = kind_of_source(table)
    if arguments.series or kind != "table":
        return _read_labelled(arguments, table, kind, **options)
    if arguments.by is not None:
        return _read_events(arguments, table, **options)
    return _read_rows(arguments, table, **options)[0]


def read_with_lines(
    arguments: argparse.Namespace, table: str, **options: Any
) -> tuple[SequenceDataset, dict[str, list[Any]]]:
    """Return the labelled sequences of a table, and where each stands: its line, where it has one of its own."""
    if arguments.series or arguments.by is not None or kind_of_source(table) != "table":
        return read(arguments, table, **options), {}
    data, lines = _read_rows(arguments, table, **options)
    return data, {"line": lines}


def read_with(
    arguments: argparse.Namespace, table: str, column: str, **options: Any
) -> tuple[SequenceDataset, list[Any], dict[str, list[Any]]]:
    """Likewise, with the value that each has in another column."""
    if arguments.by is not None:
        data = _read_events(arguments, table, **options)
        names = None if data.fields is None else data.fields.names
        events = read_events(table, by=arguments.by, order=arguments.order, fields=names, context=[column])
        assert events.context is not None
        return data, events.context[column], {}
    data, lines = _read_rows(arguments, table, **options)
    number: Any = int(column) if arguments.no_header else column
    found = {line: values[0] for values, line in RowFile(Path(table), **options_of(arguments)).columns([number])}
    return data, [found[line] for line in lines], {"line": lines}


def _read_rows(arguments: argparse.Namespace, table: str, **options: Any) -> tuple[SequenceDataset, list[int]]:
    """Read a table with a sequence in each row, and return the lines where they stand too."""
    classes = options.get("classes")
    known = {str(label): label for label in classes or ()}  # a CSV file has only what looks like numbers
    pairs, lines = [], []
    leaves_out = arguments.skip_broken and not options.get("allow_empty")
    for sequence, label, line in _table(arguments, table, may_be_empty=not leaves_out).rows():
        pairs.append((sequence, _labels_of(label, known, arguments.label_separator)))
        lines.append(line)
    try:
        data = SequenceDataset.from_pairs(pairs, multi_label=arguments.label_separator is not None, **options)
    except InvalidDataError as error:
        raise InvalidDataError(_with_lines(str(error), table, lines)) from None
    return data, lines


def _read_labelled(arguments: argparse.Namespace, path: str, kind: str, **options: Any) -> SequenceDataset:
    """Read a file, or a folder, that has a form of its own for sequences and their labels."""
    if kind == "folder":
        pairs: list[Any] = read_folder(path, encoding=arguments.encoding)
    elif kind == "FASTA file":
        pairs = read_fasta(path, label=lambda header: header.split()[arguments.header_word])
    else:
        pairs = read_series(path)
        for name in ("vocabulary", "tokenizer", "fields", "context_fields"):
            options.pop(name, None)
    known = {str(label): label for label in options.get("classes") or ()}
    return SequenceDataset.from_pairs([(sequence, known.get(label, label)) for sequence, label in pairs], **options)


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


def _table(arguments: argparse.Namespace, path: str, *, may_be_empty: bool) -> Table:
    columns: list[Any] = [arguments.sequence, arguments.label]
    sequence, label = map(int, columns) if arguments.no_header else columns
    file = RowFile(Path(path), **options_of(arguments))
    several = arguments.label_separator is not None
    return Table(file, sequence, label, may_lack_label=several, numbers=arguments.numbers, may_be_empty=may_be_empty)


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
    sequence: Any = arguments.sequence
    if arguments.no_header and sequence is not None:
        sequence = int(sequence)
    return {"sequence": sequence, "by": arguments.by, "order": arguments.order}


def _with_lines(message: str, table: str, lines: list[int]) -> str:
    """Return an error that names sequences by their file and line in place of their number."""
    return re.sub(r"\(sequence (\d+)", lambda found: f"({table}, line {lines[int(found[1])]}", message)


def as_encoded(data: SequenceDataset) -> dict[str, Any]:
    """Return the options that encode a table as another was."""
    known = {"fields": data.fields, "context_fields": data.context_fields, "vocabulary": data.vocabulary}
    return known | {"classes": data.classes}
