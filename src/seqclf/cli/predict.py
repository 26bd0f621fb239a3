"""`seqclf predict`: answers for sequences in the command, or on the lines of standard input."""

import argparse
import io
import json
import math
import os
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import numpy as np

from seqclf.checks import check_int
from seqclf.errors import InvalidArgumentError, InvalidDataError
from seqclf.inference.predict import check_encodes, encode_for, predict_proba
from seqclf.models.classifier import RNNClassifier
from seqclf.persistence import load


def run(arguments: argparse.Namespace) -> None:
    """Print an answer for each sequence."""
    model = load(arguments.model)
    check_encodes(model)
    for sequence in arguments.sequences:
        if "." in sequence and os.path.isfile(sequence):  # noqa: PTH113  # texts may be no paths at all
            raise InvalidArgumentError(
                "sequences must be given as they are, or one on each line of standard input; got the file "
                f"{sequence}. Run: seqclf predict {arguments.model} < {sequence}"
            )
    lines = iter(arguments.sequences) if arguments.sequences else _lines()
    default = 1 if sys.stdin is not None and sys.stdin.isatty() else 4096
    size = default if arguments.chunk_size is None else check_int("chunk_size", arguments.chunk_size)
    if arguments.top is not None:
        check_int("top", arguments.top)
    done = 0
    while chunk := list(islice(lines, size)):
        for sequence, row in _answers(model, chunk, done):
            _print_answer(sequence, row, model, arguments)
        sys.stdout.flush()  # who waits for an answer before asking again gets it
        done += len(chunk)


def _answers(model: RNNClassifier, lines: list[str], done: int) -> Iterator[tuple[Any, Any]]:
    """Yield each sequence and its probabilities; where one is wrong, the answers before it come before the error."""
    read = str if model.vocabulary is not None and model.vocabulary.takes_text else _tokens
    if model.input_size is not None and model.fields is None:
        read = _rows_of_numbers
    wrong = None
    try:
        sequences = [read(line) for line in lines]
        rows = predict_proba(model, sequences)
    except InvalidDataError:
        sequences, wrong = _until_wrong(model, read, lines, done)
        rows = predict_proba(model, sequences)
    yield from zip(sequences, rows, strict=True)
    if wrong is not None:
        raise wrong


def _until_wrong(
    model: RNNClassifier, read: Callable[[str], Any], lines: list[str], done: int
) -> tuple[list[Any], InvalidDataError | None]:
    """Return the sequences before the first that the model cannot take, and the error, which names its line."""
    sequences: list[Any] = []
    for number, line in enumerate(lines, start=done + 1):
        try:
            sequence = read(line)
            encode_for(model, [sequence])
        except InvalidDataError as error:
            before, found, after = str(error).rpartition("(sequence 0")
            return sequences, InvalidDataError(
                f"{before}(line {number}{after}" if found else f"{error} (Line {number}.)"
            )
        sequences.append(sequence)
    return sequences, None


def _tokens(line: str) -> list[Any]:
    try:
        tokens = json.loads(line)
    except (ValueError, RecursionError):
        tokens = None
    if not isinstance(tokens, list):
        raise InvalidDataError(
            f"sequences must be lists in JSON for this model, which is not of text; got {line!r:.80}."
        )
    return tokens


def _rows_of_numbers(line: str) -> Any:
    rows = _tokens(line)
    try:
        return np.array(rows, np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidDataError(f"series must be lists of numbers, or of rows of them, in JSON; got {error}.") from None


def _print_answer(sequence: Any, row: Any, model: RNNClassifier, arguments: argparse.Namespace) -> None:
    """Print the likeliest labels; nothing in their place for an empty sequence that the model skips."""
    answers = []
    if not math.isnan(row[0]):
        best = (-row).argsort(kind="stable")[: arguments.top] if arguments.top else [row.argmax()]
        labels = range(len(row)) if model.classes is None else model.classes
        answers = [(labels[index], float(row[index])) for index in best]
    sequence = sequence.tolist() if isinstance(sequence, np.ndarray) else sequence
    if arguments.json:
        named = [{"label": label, "probability": round(probability, 6)} for label, probability in answers]
        answer = {"sequence": sequence} | (named[0] if named else {"label": None})
        print(json.dumps(answer | ({"top": named} if arguments.top else {})))
    elif arguments.proba or arguments.top:
        print("\t".join(f"{label}\t{probability:.3f}" for label, probability in answers) or "\t")
    else:
        print(answers[0][0] if answers else "")


def _lines() -> Iterator[str]:
    """Yield the lines of standard input; what is not UTF-8 becomes a symbol that no vocabulary knows."""
    if sys.stdin is None:
        raise InvalidArgumentError("standard input must be open where no sequences are given; it is closed.")
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8", errors="replace")
    return (line.rstrip("\r\n") for line in sys.stdin)
