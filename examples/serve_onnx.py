"""Classify sequences with an exported model: onnxruntime and NumPy are all that it needs.

    python examples/serve_onnx.py names.onnx Satoshi Dubois
    cat reviews.txt | python examples/serve_onnx.py reviews.onnx
    python examples/serve_onnx.py sensors.onnx '[[0.5, 20.1], [0.7, null]]'

where `names.onnx` was written by `seqclf.export(model, "names.onnx")`. Prints each sequence, its label, and how
probable that is. A model of texts takes a text a line, and splits it as it was split in training; any other takes JSON
a line: a list of symbols; of numbers or of rows of numbers, null for one that is missing; or of records,
{"field": value}. A model that takes facts about whole sequences takes {"sequence": ..., "context": {"name": value}}.
"""

import argparse
import json
import math
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

Array = npt.NDArray[Any]

LARGEST = float(np.finfo(np.float32).max)


class InputError(ValueError):
    """The model cannot be served, or a sequence does not fit it."""


class Classifier:
    """An exported model, with all that its metadata say of how to encode sequences and to name classes.

    Args:
        path: The .onnx file.
        threads: How many threads one answer may use; 0 leaves it to onnxruntime.
    """

    def __init__(self, path: str | Path, threads: int = 0) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        try:
            self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # noqa: BLE001  # onnxruntime's errors have no other class in common
            raise InputError(f"model must be an ONNX file; got {path}: {error}") from None
        content = self.session.get_modelmeta().custom_metadata_map.get("seqclf")
        if content is None:
            raise InputError(f"model must be one that seqclf.export wrote; got another in {path}.")
        self.about = about = json.loads(content)
        self.classes = about["classes"] or list(range(self.session.get_outputs()[0].shape[1]))
        self.thresholds = about["thresholds"]  # None where each sequence has one label
        self.allows_missing = about.get("missing", "error") != "error"
        self.fields, self.context_fields = (
            None if about[name] is None else list(map(Field, about[name])) for name in ("fields", "context_fields")
        )
        steps = self.session.get_inputs()[0]  # ids (batch, length), or rows of numbers (batch, length, F)
        self.width: int | None = steps.shape[2] if len(steps.shape) == 3 else None
        if self.width is None and about["symbols"] is None:
            raise InputError("model must know its symbols; got one of ids alone. Export one that has a vocabulary.")
        self.ids = numbered(about["symbols"] or [])
        self.split = splitter(about)

    def predict_proba(self, sequences: list[Any], context: list[Any] | None = None) -> Array:
        """Return the probability of each class for each sequence, (n, C); NaN for an empty one that is skipped."""
        encoded = [self.encode(sequence, index) for index, sequence in enumerate(sequences)]
        lengths = np.array([len(one) for one in encoded], np.int64)
        empty = self.about.get("empty", "error")
        if empty == "error" and not lengths.all():
            raise InputError(f"sequences must not be empty; got length 0 (sequence {int(lengths.argmin())}).")
        shape = (len(encoded), max(1, lengths.max(initial=1)))
        inputs = np.zeros(shape, np.int64) if self.width is None else np.zeros((*shape, self.width), np.float32)
        for row, one in enumerate(encoded):
            inputs[row, : len(one)] = one
        feeds = {"inputs": inputs, "lengths": lengths} | self._facts(context, len(encoded))
        if not encoded:
            return np.empty((0, len(self.classes)), np.float32)
        probabilities: Array = np.array(self.session.run(["probabilities"], feeds)[0])
        if empty == "skip":
            probabilities[lengths == 0] = np.nan
        return probabilities

    def _facts(self, context: list[Any] | None, count: int) -> dict[str, Array]:
        """Return what is known about whole sequences as rows (n, K), for a model that takes such."""
        fields = self.context_fields
        if (context is None) != (fields is None) or (context is not None and len(context) != count):
            wanted = "none" if fields is None else f"one for each of the {count} sequences"
            raise InputError(f"context must be {wanted}; got {'none' if context is None else len(context)}.")
        if context is None or fields is None:
            return {}
        rows = [record(facts, fields, True, f"context {index}") for index, facts in enumerate(context)]
        return {"context": np.array(rows, np.float32)}

    def label(self, probabilities: Array) -> Any:
        """Return the label that probabilities (C,) say; of several, all that reach their thresholds; None for none."""
        if np.isnan(probabilities).any():
            return None
        if self.thresholds is None:
            return self.classes[probabilities.argmax()]
        return [self.classes[place] for place in np.flatnonzero(probabilities >= np.array(self.thresholds))]

    def encode(self, sequence: Any, index: int) -> Any:
        """Return the ids of a sequence, (T,), or its rows of numbers, (T, F)."""
        place = f"sequence {index}"
        if self.split is not None and isinstance(sequence, str):
            symbols = self.split(sequence)
        elif self.split is not None or not isinstance(sequence, list):
            wanted = "lists" if self.split is None else "texts"
            raise InputError(f"sequences must be {wanted}; got {type(sequence).__name__} ({place}).")
        elif self.fields is not None:
            steps = enumerate(sequence)
            return [record(step, self.fields, self.allows_missing, f"{place}, step {at}") for at, step in steps]
        elif self.width is not None:
            return series(sequence, self.width, self.about.get("channels_first"), self.allows_missing, place)
        else:
            symbols = [checked(symbol, {str, int, bool}, place) for symbol in sequence]
        ids = [self.ids.get(symbol, 1) for symbol in symbols]  # 1 is the id of what is unknown
        if self.about["strict"] and 1 in ids:
            raise InputError(f"symbols must be known; got {symbols[ids.index(1)]!r} ({place}).")
        return ids


class Field:
    """A field of records: a number, or a category with ids of its own."""

    def __init__(self, about: dict[str, Any]) -> None:
        self.name = about["name"]
        self.ids = None if about["vocabulary"] is None else numbered(about["vocabulary"]["symbols"])

    def encode(self, value: Any, allows_missing: bool, place: str) -> float:
        """Return the number, or the id of the category."""
        if self.ids is None:
            return number(value, allows_missing, place)
        if value is None:
            if not allows_missing and "<missing>" not in self.ids:
                raise InputError(f"categories must be known; got null ({place}).")
            value = "<missing>"
        return float(self.ids.get(checked(value, {str, int, bool, float}, place), 1))


def splitter(about: dict[str, Any]) -> Callable[[str], Sequence[Any]] | None:
    """Return what splits a text into symbols, as the metadata of a model say; None for a model of no texts."""
    rule = about["tokenizer"]
    if rule is None:
        return list if about["is_text"] else None
    if rule["kind"] == "bytes":
        return lambda text: text.encode("utf-8", "surrogatepass")
    if rule["kind"] == "tokenizers":  # one of Hugging Face
        from tokenizers import Tokenizer  # noqa: PLC0415  # which other models do without

        whole = Tokenizer.from_str(rule["json"])
        return lambda text: whole.encode(text, add_special_tokens=False).tokens
    if "pattern" not in rule:
        raise InputError(f"model must hold its tokenizer; got only the name of one, {rule.get('name', rule['kind'])}.")
    find, fold, form = re.compile(rule["pattern"]).findall, rule["case_fold"], rule["normalization"]
    return lambda text: find(unicodedata.normalize(form, text.casefold() if fold else text))


def numbered(symbols: list[Any]) -> dict[Any, int]:
    """Return the ids of symbols: 0 is padding, and 1 is what is unknown."""
    return {as_python(symbol): index for index, symbol in enumerate(symbols, start=2)}


def as_python(symbol: Any) -> Any:
    """Return a symbol of the metadata as Python has it; those that JSON has none of, which never come, as tuples."""
    if not isinstance(symbol, dict):
        return symbol
    ((kind, value),) = symbol.items()
    if kind == "bool":
        return value
    return float.fromhex(value) if kind == "float" else (kind, json.dumps(value))


def checked(symbol: Any, kinds: set[type], place: str) -> Any:
    """Return a symbol of a kind that there may be."""
    if type(symbol) not in kinds:
        raise InputError(f"symbols must be strings or integers; got {symbol!r:.60} ({place}).")
    return symbol


def number(value: Any, allows_missing: bool, place: str) -> float:
    """Return a number; NaN for one that is missing."""
    if value is None or value != value:  # noqa: PLR0124  # as NaN does alone
        if not allows_missing:
            raise InputError(f"numbers must be known; got a missing one ({place}).")
        return math.nan
    if type(value) not in {int, float} or not abs(value) <= LARGEST:
        raise InputError(f"numbers must be finite, and fit float32; got {value!r:.60} ({place}).")
    return float(value)


def series(sequence: list[Any], width: int, channels_first: bool, allows_missing: bool, place: str) -> Array:
    """Return numbers, or rows of them, as an array (T, F)."""
    rows = [row if isinstance(row, list) else [row] for row in sequence]
    if channels_first and any(isinstance(row, list) for row in sequence) and len(set(map(len, rows))) == 1:
        rows = [list(step) for step in zip(*rows, strict=True)]
    for at, row in enumerate(rows):
        if len(row) != width:
            raise InputError(f"steps must have {width} numbers; got {len(row)} ({place}, step {at}).")
    found = [[number(value, allows_missing, f"{place}, step {at}") for value in row] for at, row in enumerate(rows)]
    return np.array(found, np.float32).reshape(len(rows), width)


def record(values: Any, fields: list[Field], allows_missing: bool, place: str) -> list[float]:
    """Return a record as a row of numbers (F,)."""
    if not isinstance(values, dict) or any(field.name not in values for field in fields):
        names = [field.name for field in fields]
        raise InputError(f"records must have the fields {names}; got {values!r:.80} ({place}).")
    return [field.encode(values[field.name], allows_missing, f"{place}, {field.name!r}") for field in fields]


def parse(line: str, number: int, with_context: bool) -> tuple[Any, Any]:
    """Return the sequence, and its context, of a line of JSON."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"lines must be JSON for this model; got {line!r:.60} (line {number}): {error}") from None
    if not with_context:
        return found, None
    if not isinstance(found, dict) or set(found) != {"sequence", "context"}:
        raise InputError(f'lines must be {{"sequence": ..., "context": ...}}; got {line!r:.60} (line {number}).')
    return found["sequence"], found["context"]


def main(path: str, lines: Iterable[str]) -> None:
    """Print what the model makes of each line, 256 at a time."""
    classifier, remaining, start = Classifier(path), iter(lines), 0
    with_context = classifier.context_fields is not None
    while chunk := list(islice(remaining, 256)):
        pairs: list[tuple[Any, Any]] = [
            (line, None) if classifier.split and not with_context else parse(line, start + at, with_context)
            for at, line in enumerate(chunk)
        ]
        sequences = [sequence for sequence, _ in pairs]
        try:
            rows = classifier.predict_proba(sequences, [facts for _, facts in pairs] if with_context else None)
        except InputError as error:
            raise InputError(f"{error} (Counted from line {start}.)" if start else str(error)) from None
        for line, row in zip(chunk, rows, strict=True):
            label = classifier.label(row)
            name = ", ".join(map(str, label)) if isinstance(label, list) else label
            print(f"{line}\t{name}\t{row.max():.3f}")
        start += len(chunk)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Classify sequences with an exported model.")
    parser.add_argument("model", help="the .onnx file")
    parser.add_argument("sequences", nargs="*", help="what to classify; without any, lines of standard input")
    arguments = parser.parse_args()
    from_pipe = (line.rstrip("\r\n") for line in sys.stdin)
    try:
        main(arguments.model, arguments.sequences or (line for line in from_pipe if line))
    except InputError as error:
        sys.exit(f"error: {error}")
