"""The command `seqclf`: train, evaluate, predict, embed, report and export from a shell.

Progress and remarks go to stderr and results to stdout, as text or, with `--json`, as JSON. It exits with 0; with 1
where data, files or training are wrong, and with 2 where arguments are, and says so in one line; with 130 after Ctrl-C.
All that it does is done by the library's own functions, and a few lines of Python do the same. Each command has a
module of its own, which is loaded when it is run.
"""

import argparse
import importlib
import io
import os
import re
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from seqclf._version import __version__
from seqclf.cli.check import check
from seqclf.cli.parser import parse
from seqclf.errors import InvalidArgumentError, SeqclfError, SeqclfWarning

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    r"""Run the command line and return the exit code.

    Args:
        arguments: What follows the name of the command; None takes them from the command line.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from seqclf.cli import main
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "words.csv"
        ...     _ = path.write_text("word,label\n" + "ab,x\nba,y\naab,x\nbba,y\n" * 4, encoding="utf-8")
        ...     code = main(["report", str(path), "--sequence", "word", "--label", "label"])  # doctest: +ELLIPSIS
        sequences    16, 4 of them distinct; the most frequent occurs 4 times
        ...
        >>> code
        0
    """
    words = set(sys.argv[1:] if arguments is None else arguments)
    if "--version" in words and words <= {"--version", "-v", "--verbose"}:
        _print_version(verbose=len(words) > 1)
        return 0
    parsed = parse(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # for labels that the terminal has no letters for
    try:
        return _run(parsed)
    except KeyboardInterrupt:
        return 130


def _print_version(*, verbose: bool) -> None:
    print(f"seqclf {__version__}")
    if verbose:
        print(importlib.import_module("seqclf.engine.library").describe_engine())


def _run(parsed: argparse.Namespace) -> int:
    """Do what was asked for; what goes wrong becomes one line on stderr and an exit code."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", SeqclfWarning)
            warnings.showwarning = _Warnings()
            if sys.stdout is None:
                raise SeqclfError("standard output must be open; it is closed.")
            check(parsed)
            importlib.import_module(f"seqclf.cli.{parsed.command}").run(parsed)
            sys.stdout.flush()
    except SeqclfError as error:
        return _say(_in_options(str(error)), 2 if isinstance(error, InvalidArgumentError) else 1)
    except BrokenPipeError:  # who read our output, such as head, has had enough
        _close_output()
        return 0
    except OSError as error:
        _close_output()
        return _say(f"could not write: {error.strerror or error}", 1)
    return 0


def _say(message: str, code: int) -> int:
    if sys.stderr is not None:
        print(f"seqclf: {message}", file=sys.stderr)
    return code


class _Warnings:
    """Tells each kind of warning once, in one line, without the place in the library's code."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def __call__(self, message: Warning | str, *_: Any, **__: Any) -> None:
        kind = re.sub(r"\d+", "", str(message))  # tables and streams are read in parts, each with numbers of its own
        if kind not in self._told:
            self._told.add(kind)
            _say(f"warning: {_in_options(str(message))}", 0)


def _close_output() -> None:
    """Let what is left in the output go nowhere, or Python complains at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


_IN_OPTIONS = {
    "or keep it with allow_empty=True in the dataset, and empty='zero' or 'skip' in the model": (
        "leave such rows out with --skip-broken; or keep them by training with --empty zero or --empty skip"
    ),
    "pass tokenizer='words'": "pass --tokenizer words",
    "Pass tokenizer='words'": "Pass --tokenizer words",
    "another learning_rate, or see dataset.report()": "another --learning-rate, or see seqclf report",
    "Correct it, or pass classes that include it": "Correct it, or train with data that include it",
    "pass header=False and the numbers of the columns": "pass --no-header and the numbers of the columns",
    "pass delimiter=": "pass --delimiter",
    "Pass encoding= as it was written": "Pass --encoding as it was written",
    "or leave such rows out with skip_broken=True": "or leave such rows out with --skip-broken",
    "classes must be": "labels must be",
    "Choose another size, or stratify=False": "Choose another --test-size",
    "test_size must": "--test-size must",
    "Pass prefix='predicted_', or another": "Pass --prefix predicted_, or another",
    "reject_below must": "--reject-below must",
    "by must come with a model": "--by must come with a model",
}


def _in_options(message: str) -> str:
    """Return an error of the library in terms of the command's own options."""
    for said, meant in _IN_OPTIONS.items():
        message = message.replace(said, meant)
    return message
