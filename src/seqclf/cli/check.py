"""Options at odds with one another are refused here, before anything heavy is loaded or a file is read."""

import argparse
import os
from pathlib import Path

from seqclf.errors import InvalidArgumentError

_OF_EVENTS = ("order", "fields", "context", "categories")
_OF_MISTAKES = (".csv", ".tsv", ".jsonl")
_OF_TEXT_FILES = ("no_header", "delimiter", "quoting", "encoding", "skip_broken")


def check(arguments: argparse.Namespace) -> None:
    """Raise where options cannot go together, or something that one of them needs is not given."""
    if arguments.command in {"train", "evaluate", "report"}:
        _check_labelled_table(arguments)
    if arguments.command == "train":
        _check_output(arguments.output)
        _check_report(arguments)
        _check_autotune(arguments)
    if arguments.command == "evaluate":
        _check_evaluate(arguments)
    if arguments.command == "predict":
        _check_predict(arguments)
    if arguments.command == "embed":
        _check_columns(arguments)
        _check_output(arguments.output)


def _check_labelled_table(arguments: argparse.Namespace) -> None:
    if [arguments.sequence is None, arguments.by is None, not arguments.series].count(False) != 1:
        raise InvalidArgumentError("one of --sequence, --by and --series must be given; got more, or none.")
    if arguments.series:
        others = ("label", "label_separator", *_OF_EVENTS, "tokenizer", *_OF_TEXT_FILES)
        _refuse(arguments, others, "must not come with --series, which has a form of its own")
        return
    if arguments.label is None:
        raise InvalidArgumentError("--label must be given: the column of the labels.")
    if arguments.by is None:
        _refuse(arguments, _OF_EVENTS, "must come with --by, for a table of events; got --sequence")
        _check_numbers(arguments, ("sequence", "label"))
        return
    if getattr(arguments, "tokenizer", None) is not None or arguments.label_separator is not None:
        raise InvalidArgumentError("--tokenizer and --label-separator must not come with --by.")
    _refuse(arguments, _OF_TEXT_FILES, "must not come with --by, whose tables are read in their usual form")
    if arguments.categories and arguments.fields is None:
        raise InvalidArgumentError("--categories must come with --fields, which names all columns of an event.")


def _check_evaluate(arguments: argparse.Namespace) -> None:
    if arguments.mistakes is not None:
        if arguments.mistakes.suffix.lower() not in _OF_MISTAKES:
            ends = ", ".join(_OF_MISTAKES)
            raise InvalidArgumentError(f"--mistakes must end in one of {ends}; got {arguments.mistakes}.")
        _check_output(arguments.mistakes)
    if arguments.slices and arguments.series:
        raise InvalidArgumentError("--slices must come without a column for --series, which has none.")
    if arguments.slices and arguments.no_header and not arguments.slices.isdecimal():
        raise InvalidArgumentError(f"--slices must be the number of a column with --no-header; got {arguments.slices}.")


def _check_predict(arguments: argparse.Namespace) -> None:
    if arguments.top is not None and arguments.reject_below is not None:
        raise InvalidArgumentError("--reject-below must not come with --top, which says how sure each label is.")
    if arguments.sequence is not None or arguments.by is not None:
        _check_columns(arguments)
        if len(arguments.sequences) != 1:
            raise InvalidArgumentError(
                f"--sequence and --by must come with one table; got {arguments.sequences}. For strings, leave them out."
            )
        if arguments.output is not None and str(arguments.output) != "-":
            _check_output(arguments.output)
        return
    others = ("output", "order", "prefix", *_OF_TEXT_FILES)
    _refuse(arguments, others, "must come with --sequence or --by, for a table")
    for sequence in arguments.sequences:
        if "." in sequence and os.path.isfile(sequence):  # noqa: PTH113  # texts may be no paths at all
            raise InvalidArgumentError(
                "sequences must be given as they are, or one on each line of standard input; got the file "
                f"{sequence}. Run: seqclf predict {arguments.model} < {sequence}; or, for a table, name the column of "
                "its sequences with --sequence."
            )


def _check_columns(arguments: argparse.Namespace) -> None:
    """Raise unless a table is one of sequences or of events."""
    if (arguments.sequence is None) == (arguments.by is None):
        raise InvalidArgumentError("one of --sequence and --by must be given; got both, or none.")
    if arguments.by is None:
        _refuse(arguments, ("order",), "must come with --by, for a table of events; got --sequence")
        _check_numbers(arguments, ("sequence",))
    else:
        _refuse(arguments, _OF_TEXT_FILES, "must not come with --by, whose tables are read in their usual form")


def _refuse(arguments: argparse.Namespace, names: tuple[str, ...], why: str) -> None:
    """Raise where one of some options was given."""
    for name in names:
        if getattr(arguments, name, None) not in (None, False, ""):
            raise InvalidArgumentError(f"--{name.replace('_', '-')} {why}.")


def _check_numbers(arguments: argparse.Namespace, names: tuple[str, ...]) -> None:
    """Raise unless columns are given by number where there is no line of names."""
    columns = [getattr(arguments, name) for name in names]
    if arguments.no_header and not all(column.isdecimal() for column in columns):
        options = " and ".join(f"--{name}" for name in names)
        raise InvalidArgumentError(f"{options} must be numbers of columns, from 0, with --no-header; got {columns}.")


def _check_output(path: Path) -> None:
    """Find out now, not when all is done, whether a file can be written."""
    if path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise InvalidArgumentError(
            f"output must be a file in a folder that exists and can be written to; got {path}. Choose another place."
        )


def _check_report(arguments: argparse.Namespace) -> None:
    if arguments.report is None:
        return
    if not arguments.test_size:
        raise InvalidArgumentError("--report must come with a part to test on; got --test-size 0.")
    if arguments.report.suffix.lower() not in {".html", ".htm"}:
        raise InvalidArgumentError(f"--report must end in .html; got {arguments.report}.")
    _check_output(arguments.report)


def _check_autotune(arguments: argparse.Namespace) -> None:
    if arguments.autotune is None:
        return
    if arguments.patience is not None:
        raise InvalidArgumentError("--patience must not come with --autotune, which chooses when training ends.")
    if arguments.embeddings is not None or arguments.freeze_embeddings:
        raise InvalidArgumentError("--embeddings must not come with --autotune, which tries models without.")
