"""Cells of tables, and lines, as the sequences and facts that a model takes: texts hold lists as JSON."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from seqclf.errors import InvalidDataError
from seqclf.fields import Field
from seqclf.models.classifier import RNNClassifier


def read_cells(model: RNNClassifier, cells: Sequence[Any]) -> list[Any]:
    """Return sequences for a model, from cells of a table or from lines.

    Args:
        model: What takes them. A model of texts takes them as they stand; for others, a string is read as JSON: a list
            of tokens, of numbers, of rows of numbers, or of objects with the fields of a record.
        cells: Strings, or lists as JSON lines and Parquet files have them; None is a missing one.

    Raises:
        InvalidDataError: One cannot be read.
    """
    if model.vocabulary is not None and model.vocabulary.takes_text:
        return list(cells)
    takes_numbers = model.input_size is not None and model.fields is None
    found = []
    for index, cell in enumerate(cells):
        value = _read_json(cell, index) if isinstance(cell, str) else cell
        found.append(_read_numbers(value, index) if takes_numbers and isinstance(value, list) else value)
    return found


def _read_json(cell: str, index: int) -> list[Any]:
    try:
        value = json.loads(cell)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, list):
        raise InvalidDataError(
            f"sequences must be lists in JSON for this model, which is not of text; got {cell!r:.80} (sequence "
            f"{index})."
        )
    return value


def _read_numbers(rows: list[Any], index: int) -> Any:
    try:
        return np.array(rows, np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidDataError(
            f"series must be lists of numbers, or of rows of them; got {error} (sequence {index})."
        ) from None


def read_facts(field: Field, cells: Sequence[Any]) -> list[Any]:
    """Return facts about sequences from a column of a table, in which text files have strings alone.

    Args:
        field: What it holds. Categories that the model knows as numbers, and all numbers, are read from strings.
        cells: The values; an empty string is a missing one.
    """
    values = [None if isinstance(cell, str) and not cell.strip() else cell for cell in cells]
    if field.vocabulary is None or any(isinstance(symbol, str) for symbol in field.vocabulary.symbols):
        return values  # numbers are read by whoever encodes them
    return [_as_number(value) if isinstance(value, str) else value for value in values]


def _as_number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text
