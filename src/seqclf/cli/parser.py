"""The options of the command, which are read before anything heavy is loaded: `--help` and mistakes cost no wait."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from seqclf._version import __version__
from seqclf.choices import (
    CellName,
    EmptyPolicy,
    MissingPolicy,
    PoolingName,
    PositionsName,
    Quoting,
    ScheduleName,
    TokenizerName,
)

_TABLE = "a .csv, .tsv, .jsonl or .parquet file, which may be packed by gzip (.gz)"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return what was asked for; options may stand before or after what they are not about."""
    parser = _parser()
    parsed, more = parser.parse_known_args(arguments)
    if more and (parsed.command != "predict" or any(one.startswith("-") for one in more)):
        parser.error(f"unrecognized arguments: {' '.join(more)}")
    if more:  # argparse takes sequences behind an option for nobody's
        parsed.sequences += more
    return parsed


def given(arguments: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    """Return those of some options that were given; what was not is left to the rules."""
    return {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="seqclf", description="Classify sequences with recurrent networks.")
    text = "print the version and end; with -v also what runs recurrences here"
    parser.add_argument("--version", action="version", version=f"seqclf {__version__}", help=text)
    commands = parser.add_subparsers(required=True, metavar="command", dest="command")
    _add_train(commands)
    _add_evaluate(commands)
    _add_predict(commands)
    _add_embed(commands)
    _add_report(commands)
    _add_export(commands)
    return parser


def _add_train(commands: Any) -> None:
    train = _command(commands, "train", "train a model on a table, and save it")
    _add_table(train)
    _add_tokenizer(train)
    train.add_argument("--output", required=True, type=Path, help="where to save the model (.safetensors)")
    train.add_argument("--test-size", type=float, default=0.2, help="the part to test on, or 0 (default: %(default)s)")
    report = "where to write a page with the data, the curves, the figures and the mistakes (.html)"
    train.add_argument("--report", type=Path, metavar="FILE", help=report)
    patience = "keep a tenth apart, stop after so many epochs without a better loss on it, and calibrate on it"
    train.add_argument("--patience", type=int, help=patience)
    minutes = "try options for so many minutes, and train with the best"
    train.add_argument("--autotune", type=float, metavar="MINUTES", help=minutes)
    train.add_argument("--balanced", action="store_true", help="let all classes count the same")
    train.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    train.add_argument("--quiet", action="store_true", help="show no progress")
    train.add_argument("--checkpoint", help="a folder; the same command goes on there if it was cut off")
    # Where an option is added says where it goes: `of_model` to the model, `of_fit` to fit.
    train.set_defaults(
        of_model=_add_model_options(train.add_argument_group("the model")),
        of_fit=_add_fit_options(train.add_argument_group("training")),
    )


def _add_model_options(group: Any) -> list[str]:
    """Add the options of the model that the rules choose where they are not given, and return their names."""
    vectors = "pretrained vectors: a text file with a symbol and its numbers on each line"
    group.add_argument("--embeddings", type=Path, metavar="FILE", help=vectors)
    group.add_argument("--freeze-embeddings", action="store_true", help="do not train the vectors of symbols")
    both = "read both ways, or with --no-bidirectional forwards only (default: both ways)"
    missing = "what to do with missing values of events (default: error)"
    empty = "what to do with empty sequences (default: error): zero classifies a vector of zeros, skip leaves them out"
    poolings = ", ".join(get_args(PoolingName))
    actions = [
        group.add_argument("--cell", choices=get_args(CellName), help="default: lstm"),
        group.add_argument("--hidden-size", type=int, help="default: 128"),
        group.add_argument("--num-layers", type=int, help="default: 1"),
        group.add_argument("--bidirectional", action=argparse.BooleanOptionalAction, help=both),
        group.add_argument("--dropout", type=float, help="default: chosen by the data, as all without a default"),
        group.add_argument("--input-dropout", type=float, help="the share of the features of inputs that are dropped"),
        group.add_argument("--pooling", nargs="+", help=f"{poolings}, or several"),
        group.add_argument(
            "--positions", choices=get_args(PositionsName), help="what distances from the ends are read"
        ),
        group.add_argument("--ngrams", type=int, nargs="+", metavar="N", help="n-grams that are read, such as 2 3"),
        group.add_argument("--missing", choices=get_args(MissingPolicy), help=missing),
        group.add_argument("--empty", choices=get_args(EmptyPolicy), help=empty),
    ]
    return [action.dest for action in actions]


def _add_fit_options(group: Any) -> list[str]:
    """Add the options of training that the rules choose where they are not given, and return their names."""
    group.add_argument("--batch-size", type=int, default=32, help="default: %(default)s")
    schedules = "of the learning rate (default: one_cycle)"
    actions = [
        group.add_argument("--epochs", type=int, help="the most epochs (default: by the number of sequences)"),
        group.add_argument("--learning-rate", type=float, help="of AdamW (default: 0.003)"),
        group.add_argument("--schedule", choices=get_args(ScheduleName), help=schedules),
        group.add_argument("--label-smoothing", type=float, help="the share of each label that all classes get"),
    ]
    return [action.dest for action in actions]


def _add_evaluate(commands: Any) -> None:
    evaluate = _command(commands, "evaluate", "measure a model on a table")
    evaluate.add_argument("model", help="the saved model")
    _add_table(evaluate)
    _add_others(evaluate)
    evaluate.add_argument("--train", metavar="TABLE", help="what it was trained on, for a linear model beside it")
    mistakes = "where to write the sequences that got a wrong answer, the surest first (.csv, .tsv, .jsonl)"
    evaluate.add_argument("--mistakes", type=Path, metavar="FILE", help=mistakes)
    slices = "print figures for each value of a column too; without one, for four bands of length"
    evaluate.add_argument("--slices", nargs="?", const="", metavar="COLUMN", help=slices)


def _add_predict(commands: Any) -> None:
    what = "print a label for each sequence, for each line of stdin, or for each row of a table"
    predict = _command(commands, "predict", what)
    predict.add_argument("model", help="the saved model")
    strings = "strings (lists in JSON for a model of tokens); without any, stdin; with --sequence or --by, one table"
    predict.add_argument("sequences", nargs="*", help=strings)
    _add_others(predict)
    predict.add_argument("--proba", action="store_true", help="print the probability beside the label")
    predict.add_argument("--top", type=int, metavar="K", help="print the K likeliest labels and their probabilities")
    least = "give no label where the best has a probability below P"
    predict.add_argument("--reject-below", type=float, metavar="P", help=least)
    size = "how many lines to read before their answers (default: 4096; 1 in a terminal)"
    predict.add_argument("--chunk-size", type=int, help=size)
    group = predict.add_argument_group("a table in, a table out")
    _add_columns(group)
    output = "where to write the table with the answers (.csv, .tsv, .jsonl, .parquet; .gz); CSV on stdout without"
    group.add_argument("--output", type=Path, metavar="FILE", help=output)
    group.add_argument("--prefix", default="", help="what stands before the names of the columns that are added")
    group.add_argument("--quiet", action="store_true", help="show no progress")
    _add_writing(predict)


def _add_embed(commands: Any) -> None:
    embed = _command(commands, "embed", "write the pooled vector of each row of a table")
    embed.add_argument("model", help="the saved model")
    embed.add_argument("table", help=_TABLE)
    _add_columns(embed)
    embed.add_argument("--output", required=True, type=Path, metavar="FILE", help="where to write the vectors (.npy)")
    embed.add_argument("--chunk-size", type=int, default=4096, help="rows read at a time (default: %(default)s)")
    embed.add_argument("--quiet", action="store_true", help="show no progress")
    _add_writing(embed)


def _add_report(commands: Any) -> None:
    report = _command(commands, "report", "examine a table: duplicates, ambiguity, balance, lengths")
    _add_table(report)
    _add_tokenizer(report)
    report.add_argument("--test", metavar="TABLE", help="a second table, to see how much of it occurs in the first")


def _add_export(commands: Any) -> None:
    export = _command(commands, "export", "write a saved model as ONNX")
    export.add_argument("model", help="the saved model")
    export.add_argument("output", help="where to (.onnx)")


def _command(commands: Any, name: str, what: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=what, description=what.capitalize() + ".")
    parser.add_argument("--json", action="store_true", help="print results as JSON")
    return parser


def _add_table(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("table", help=_TABLE)
    group = parser.add_argument_group("what the table holds")
    series = "each line is a series: the label and its numbers (UCR), or the .ts format; --label is then not needed"
    group.add_argument("--series", action="store_true", help=series)
    _add_columns(group)
    group.add_argument("--label", metavar="COLUMN", help="the column of the labels")
    several = "a sequence may have several labels, which stand in the column with this between them, such as ;"
    group.add_argument("--label-separator", metavar="SEPARATOR", help=several)
    group.add_argument("--fields", nargs="+", metavar="COLUMN", help="the columns of an event (default: all others)")
    facts = "columns of facts that are the same for all events of a sequence"
    group.add_argument("--context", nargs="+", metavar="COLUMN", help=facts)
    group.add_argument("--categories", nargs="+", metavar="COLUMN", help="fields that are categories, not numbers")
    _add_writing(parser)


def _add_others(parser: argparse.ArgumentParser) -> None:
    others = "another saved model, whose probabilities are averaged with those of the first; may come several times"
    parser.add_argument("--with", dest="others", metavar="MODEL", action="append", default=[], help=others)


def _add_columns(group: Any) -> None:
    text = "the column of the sequences; or, for a table of events, --by"
    group.add_argument("--sequence", metavar="COLUMN", help=text)
    group.add_argument("--by", metavar="COLUMN", help="each row is an event of what this column names")
    group.add_argument("--order", metavar="COLUMN", help="the column of numbers or times that events are sorted by")


def _add_writing(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("how the table is written")
    group.add_argument("--no-header", action="store_true", help="no line of names: columns are numbers from 0")
    group.add_argument("--delimiter", help="what stands between the values of a line (default: recognised)")
    group.add_argument("--quoting", choices=get_args(Quoting), help="whether a quote may stand around a value")
    group.add_argument("--encoding", help="how the file is encoded (default: UTF-8, or as its byte order mark says)")
    group.add_argument("--skip-broken", action="store_true", help="leave out rows that cannot be read, and count them")


def _add_tokenizer(parser: argparse.ArgumentParser) -> None:
    text = "what texts are split into (default: characters)"
    parser.add_argument("--tokenizer", choices=get_args(TokenizerName), help=text)
