"""`seqclf predict`: answers for sequences in the command, on the lines of standard input, or in a table."""

import argparse
import io
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from seqclf.checks import check_int
from seqclf.cli.tables import columns_of, options_of
from seqclf.data.encode import warn_unknown
from seqclf.errors import InvalidArgumentError, InvalidDataError
from seqclf.inference.average import models_of
from seqclf.inference.cells import read_cells
from seqclf.inference.logits import Floats
from seqclf.inference.predict import answer_all, check_encodes, check_rejection, encode_for, likeliest
from seqclf.inference.tables import predict_table
from seqclf.models.classifier import RNNClassifier
from seqclf.persistence import load
from seqclf.writing import CsvWriter, JsonWriter, TextForm


def run(arguments: argparse.Namespace) -> None:
    """Print an answer for each sequence, or write a table of them."""
    models = models_of([load(path) for path in [arguments.model, *arguments.others]])
    for model in models:
        check_encodes(model)
    if arguments.sequence is not None or arguments.by is not None:
        _answer_table(models, arguments)
    else:
        _answer_lines(models, arguments)


def _answer_table(models: list[RNNClassifier], arguments: argparse.Namespace) -> None:
    to_stdout = arguments.output is None or str(arguments.output) == "-"
    output: Any = arguments.output
    if to_stdout:
        form = TextForm(arguments.delimiter or ",", arguments.quoting or "minimal", not arguments.no_header)
        output = JsonWriter(sys.stdout) if arguments.json else CsvWriter(sys.stdout, form)
    count = predict_table(
        models,
        arguments.sequences[0],
        output,
        **columns_of(arguments),
        top=arguments.top,
        reject_below=arguments.reject_below,
        prefix=arguments.prefix,
        chunk_size=4096 if arguments.chunk_size is None else arguments.chunk_size,
        progress=not (to_stdout or arguments.quiet),
        **options_of(arguments),
    )
    if not to_stdout:
        print(f"{count:,} rows; saved as {output}", file=sys.stderr)
        if arguments.json:
            print(json.dumps({"path": str(output), "rows": count}))


def _answer_lines(models: list[RNNClassifier], arguments: argparse.Namespace) -> None:
    lines = iter(arguments.sequences) if arguments.sequences else _lines()
    default = 1 if sys.stdin is not None and sys.stdin.isatty() else 4096
    size = default if arguments.chunk_size is None else check_int("chunk_size", arguments.chunk_size)
    if arguments.top is not None:
        check_int("top", arguments.top)
    least = check_rejection(models, arguments.reject_below, arguments.top)
    done = 0
    while chunk := list(islice(lines, size)):
        for answer in _answers(models, chunk, done, arguments.top, least):
            _print_answer(answer, arguments)
        sys.stdout.flush()  # who waits for an answer before asking again gets it
        done += len(chunk)


@dataclass(frozen=True)
class _Answer:
    """What is said of one sequence: labels and their probabilities, None for one that is left open.

    `is_one` tells that there is one label at most, and `is_skipped` that the model skips the sequence, which is empty.
    """

    sequence: Any
    pairs: list[tuple[Any, float]]
    is_one: bool
    is_skipped: bool


def _answers(
    models: list[RNNClassifier], lines: list[str], done: int, top: int | None, least: float
) -> Iterator[_Answer]:
    """Yield the answer for each line; where one is wrong, the answers before it come before the error."""
    wrong = None
    try:
        sequences = read_cells(models[0], lines)
        found = answer_all(models, sequences, None, 256)
    except InvalidDataError:
        sequences, wrong = _until_wrong(models, lines, done)
        found = answer_all(models, sequences, None, 256)
    labels, probabilities, unknown = found
    if len(unknown):
        warn_unknown(len(unknown), len(sequences), f"line {done + 1 + int(unknown[0])}")
    for sequence, label, row in zip(sequences, labels, probabilities, strict=True):
        pairs = [] if label is None else _pairs(models[0], label, row, top, least)
        yield _Answer(sequence, pairs, top is not None or not models[0].multi_label, label is None)
    if wrong is not None:
        raise wrong


def _pairs(model: RNNClassifier, label: Any, row: Floats, top: int | None, least: float) -> list[tuple[Any, float]]:
    """Return the labels of one sequence that are wanted, with their probabilities of a row (C,)."""
    if top is not None:
        (pairs,) = likeliest(model, row[None], top)
        found: list[tuple[Any, float]] = pairs
        return found
    if model.multi_label:
        classes = range(model.num_classes) if model.classes is None else model.classes
        chances = dict(zip(classes, row.tolist(), strict=True))
        return [(one, chances[one]) for one in label]
    best = float(row.max())
    return [(label if best >= least else None, best)]


def _until_wrong(models: list[RNNClassifier], lines: list[str], done: int) -> tuple[list[Any], InvalidDataError | None]:
    """Return the sequences before the first that a model cannot take, and the error, which names its line."""
    sequences: list[Any] = []
    for number, line in enumerate(lines, start=done + 1):
        try:
            (sequence,) = read_cells(models[0], [line])
            for model in models:
                encode_for(model, [sequence], warns=False)
        except InvalidDataError as error:
            before, found, after = str(error).rpartition("(sequence 0")
            return sequences, InvalidDataError(
                f"{before}(line {number}{after}" if found else f"{error} (Line {number}.)"
            )
        sequences.append(sequence)
    return sequences, None


def _print_answer(answer: _Answer, arguments: argparse.Namespace) -> None:
    """Print labels; nothing in the place of one that is left open, or of an empty sequence that the model skips."""
    if arguments.json:
        print(json.dumps(_as_json(answer, with_top=arguments.top is not None), default=str))
    elif arguments.proba or arguments.top:
        cells = [f"{'' if label is None else label}\t{probability:.3f}" for label, probability in answer.pairs]
        print("\t".join(cells) or "\t")
    else:
        print("\t".join("" if label is None else str(label) for label, _ in answer.pairs))


def _as_json(answer: _Answer, *, with_top: bool) -> dict[str, Any]:
    sequence = answer.sequence.tolist() if isinstance(answer.sequence, np.ndarray) else answer.sequence
    pairs = [(label, round(probability, 6)) for label, probability in answer.pairs]
    found: dict[str, Any] = {"sequence": sequence}
    if answer.is_skipped:
        found |= {"label": None}
    elif answer.is_one:
        found |= {"label": pairs[0][0], "probability": pairs[0][1]}
    else:
        found |= {"label": [label for label, _ in pairs], "probability": [chance for _, chance in pairs]}
    if with_top:
        found["top"] = [{"label": label, "probability": chance} for label, chance in pairs]
    return found


def _lines() -> Iterator[str]:
    """Yield the lines of standard input; what is not UTF-8 becomes a symbol that no vocabulary knows."""
    if sys.stdin is None:
        raise InvalidArgumentError("standard input must be open where no sequences are given; it is closed.")
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8", errors="replace")
    return (line.rstrip("\r\n") for line in sys.stdin)
