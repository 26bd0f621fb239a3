"""The command `seqclf`: train, evaluate, predict, report and export from a shell.

Progress and remarks go to stderr and results to stdout, as text or, with `--json`, as JSON. It exits with 0; with 1
where data, files or training are wrong, and with 2 where arguments are, and says so in one line; with 130 after Ctrl-C.
All that it does is done by the library's own functions, and a few lines of Python do the same.
"""

import argparse
import io
import json
import math
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, get_args

import numpy as np

from seqclf._version import __version__
from seqclf.cells.table import CellName
from seqclf.checks import check_int
from seqclf.data.baseline import can_fit
from seqclf.data.dataset import SequenceDataset
from seqclf.engine.library import describe_engine
from seqclf.errors import InvalidArgumentError, InvalidDataError, SeqclfError, SeqclfWarning
from seqclf.inference.predict import check_encodes, encode_for, predict_proba
from seqclf.models.classifier import RNNClassifier
from seqclf.models.features import MissingPolicy
from seqclf.models.inputs import EmptyPolicy
from seqclf.models.symbols import PositionsName
from seqclf.onnx import export
from seqclf.persistence import load, save
from seqclf.reading.series import read_series
from seqclf.reading.tables import Table
from seqclf.reading.tokenizers import TokenizerName
from seqclf.study.autotune import autotune
from seqclf.training.baseline import linear_baseline
from seqclf.training.calibration import calibrate
from seqclf.training.evaluate import evaluate
from seqclf.training.evaluation import Evaluation
from seqclf.training.fit import fit
from seqclf.training.schedules import ScheduleName
from seqclf.training.stopping import EarlyStopping

__all__ = ["main"]

_OF_MODEL = (
    "cell",
    "hidden_size",
    "num_layers",
    "bidirectional",
    "dropout",
    "input_dropout",
    "pooling",
    "positions",
    "ngrams",
    "missing",
    "empty",
)
_OF_FIT = ("epochs", "learning_rate", "schedule", "label_smoothing")


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
    given = set(sys.argv[1:] if arguments is None else arguments)
    if "--version" in given and given <= {"--version", "-v", "--verbose"}:
        print(f"seqclf {__version__}" + (f"\n{describe_engine()}" if len(given) > 1 else ""))
        return 0
    parsed = _parse(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # for labels that the terminal has no letters for
    try:
        return _run(parsed)
    except KeyboardInterrupt:
        return 130


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return what was asked for; options may stand before or after what they are not about."""
    parser = _parser()
    parsed, more = parser.parse_known_args(arguments)
    if more and (parsed.run is not _predict or any(one.startswith("-") for one in more)):
        parser.error(f"unrecognized arguments: {' '.join(more)}")
    if more:  # argparse takes sequences behind an option for nobody's
        parsed.sequences += more
    return parsed


def _run(parsed: argparse.Namespace) -> int:
    """Do what was asked for; what goes wrong becomes one line on stderr and an exit code."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", SeqclfWarning)
            warnings.showwarning = _show_warning
            if sys.stdout is None:
                raise SeqclfError("standard output must be open; it is closed.")
            parsed.run(parsed)
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


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """Tell a warning in one line, without the place in the library's code."""
    _say(f"warning: {_in_options(str(message))}", 0)


def _close_output() -> None:
    """Let what is left in the output go nowhere, or Python complains at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


_IN_OPTIONS = {
    "allow_empty=True in the dataset, and empty='zero' or 'skip' in the model": "--empty zero or --empty skip",
    "pass header=False and the numbers of the columns": "pass --no-header and the numbers of the columns",
    "pass delimiter=": "pass --delimiter",
    "Pass encoding= as it was written": "Pass --encoding as it was written",
    "or leave such rows out with skip_broken=True": "or leave such rows out with --skip-broken",
    "classes must be": "labels must be",
    "Choose another size, or stratify=False": "Choose another --test-size",
    "test_size must": "--test-size must",
}


def _in_options(message: str) -> str:
    """Return an error of the library in terms of the command's own options."""
    for said, meant in _IN_OPTIONS.items():
        message = message.replace(said, meant)
    return message


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="seqclf", description="Classify sequences with recurrent networks.")
    text = "print the version and end; with -v also what runs recurrences here"
    parser.add_argument("--version", action="version", version=f"seqclf {__version__}", help=text)
    commands = parser.add_subparsers(required=True, metavar="command")
    _add_train(commands)

    measure = _command(commands, "evaluate", _evaluate, "measure a model on a table")
    measure.add_argument("model", help="the saved model")
    _add_table(measure)
    measure.add_argument("--train", metavar="TABLE", help="what it was trained on, for a linear model beside it")

    predict = _command(commands, "predict", _predict, "print a label for each sequence, or for each line of stdin")
    predict.add_argument("model", help="the saved model")
    predict.add_argument(
        "sequences", nargs="*", help="strings (lists in JSON for a model of tokens); without any, stdin"
    )
    predict.add_argument("--proba", action="store_true", help="print the probability beside the label")
    predict.add_argument("--top", type=int, metavar="K", help="print the K likeliest labels and their probabilities")
    predict.add_argument(
        "--chunk-size", type=int, help="how many lines to read before their answers (default: 4096; 1 in a terminal)"
    )

    report = _command(commands, "report", _report, "examine a table: duplicates, ambiguity, balance, lengths")
    _add_table(report)
    _add_tokenizer(report)
    report.add_argument("--test", metavar="TABLE", help="a second table, to see how much of it occurs in the first")

    export_ = _command(commands, "export", _export, "write a saved model as ONNX")
    export_.add_argument("model", help="the saved model")
    export_.add_argument("output", help="where to (.onnx)")
    return parser


def _add_train(commands: Any) -> None:
    train = _command(commands, "train", _train, "train a model on a table, and save it")
    _add_table(train)
    _add_tokenizer(train)
    train.add_argument("--output", required=True, type=Path, help="where to save the model (.safetensors)")
    train.add_argument("--test-size", type=float, default=0.2, help="the part to test on, or 0 (default: %(default)s)")
    _add_options(train)
    patience = "keep a tenth apart, stop after so many epochs without a better loss on it, and calibrate on it"
    train.add_argument("--patience", type=int, help=patience)
    minutes = "try options for so many minutes, and train with the best"
    train.add_argument("--autotune", type=float, metavar="MINUTES", help=minutes)
    train.add_argument("--balanced", action="store_true", help="let all classes count the same")
    train.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    train.add_argument("--quiet", action="store_true", help="show no progress")
    train.add_argument("--checkpoint", help="a folder; the same command goes on there if it was cut off")


def _add_options(train: argparse.ArgumentParser) -> None:
    """Add those of the model and of training that the rules choose where they are not given."""
    train.add_argument("--cell", choices=get_args(CellName), help="default: lstm")
    train.add_argument("--hidden-size", type=int, help="default: 128")
    train.add_argument("--num-layers", type=int, help="default: 1")
    both = "read both ways, or with --no-bidirectional forwards only (default: both ways)"
    train.add_argument("--bidirectional", action=argparse.BooleanOptionalAction, help=both)
    train.add_argument("--dropout", type=float, help="default: chosen by the data, as all options without a default")
    train.add_argument("--input-dropout", type=float, help="the share of the features of inputs that are dropped")
    train.add_argument("--pooling", nargs="+", help="last, mean, max, attention, or several")
    train.add_argument("--positions", choices=get_args(PositionsName), help="what distances from the ends are read")
    train.add_argument("--ngrams", type=int, nargs="+", metavar="N", help="n-grams that are read, such as 2 3")
    vectors = "pretrained vectors: a text file with a symbol and its numbers on each line"
    train.add_argument("--embeddings", type=Path, metavar="FILE", help=vectors)
    train.add_argument("--freeze-embeddings", action="store_true", help="do not train the vectors of symbols")
    missing = "what to do with missing values of events (default: error)"
    train.add_argument("--missing", choices=get_args(MissingPolicy), help=missing)
    empty = "what to do with empty sequences (default: error): zero classifies a vector of zeros, skip leaves them out"
    train.add_argument("--empty", choices=get_args(EmptyPolicy), help=empty)
    train.add_argument("--epochs", type=int, help="the most epochs (default: by the number of sequences)")
    train.add_argument("--batch-size", type=int, default=32, help="default: %(default)s")
    train.add_argument("--learning-rate", type=float, help="of AdamW (default: 0.003)")
    train.add_argument("--schedule", choices=get_args(ScheduleName), help="of the learning rate (default: one_cycle)")
    train.add_argument("--label-smoothing", type=float, help="the share of each label that all classes get")


def _command(commands: Any, name: str, run: Callable[[argparse.Namespace], None], what: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=what, description=what.capitalize() + ".")
    parser.add_argument("--json", action="store_true", help="print results as JSON")
    parser.set_defaults(run=run)
    return parser


def _add_table(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("table", help="a .csv, .tsv, .jsonl or .parquet file, which may be packed by gzip (.gz)")
    series = "each line is a series: the label and its numbers (UCR), or the .ts format; --label is then not needed"
    parser.add_argument("--series", action="store_true", help=series)
    parser.add_argument("--sequence", help="the column of the sequences; or, for a table of events, --by")
    parser.add_argument("--label", help="the column of the labels")
    several = "a sequence may have several labels, which stand in the column with this between them, such as ;"
    parser.add_argument("--label-separator", metavar="SEPARATOR", help=several)
    parser.add_argument("--by", metavar="COLUMN", help="each row is an event of what this column names")
    parser.add_argument("--order", metavar="COLUMN", help="the column of numbers or times that events are sorted by")
    parser.add_argument("--fields", nargs="+", metavar="COLUMN", help="the columns of an event (default: all others)")
    facts = "columns of facts that are the same for all events of a sequence"
    parser.add_argument("--context", nargs="+", metavar="COLUMN", help=facts)
    parser.add_argument("--categories", nargs="+", metavar="COLUMN", help="fields that are categories, not numbers")
    parser.add_argument("--no-header", action="store_true", help="no line of names: columns are numbers from 0")
    parser.add_argument("--delimiter", help="what stands between the values of a line (default: recognised)")
    parser.add_argument("--quoting", choices=("minimal", "none"), help="whether a quote may stand around a value")
    parser.add_argument("--encoding", help="how the file is encoded (default: UTF-8, or as its byte order mark says)")
    parser.add_argument("--skip-broken", action="store_true", help="leave out rows that cannot be read, and count them")


def _add_tokenizer(parser: argparse.ArgumentParser) -> None:
    text = "what texts are split into (default: characters)"
    parser.add_argument("--tokenizer", choices=get_args(TokenizerName), help=text)


def _read(arguments: argparse.Namespace, table: str, **options: Any) -> SequenceDataset:
    if [arguments.sequence is None, arguments.by is None, not arguments.series].count(False) != 1:
        raise InvalidArgumentError("one of --sequence, --by and --series must be given; got more, or none.")
    if arguments.series:
        for name in ("label", "label_separator", "order", "fields", "context", "categories", "tokenizer"):
            if getattr(arguments, name, None) is not None:
                option = name.replace("_", "-")
                raise InvalidArgumentError(f"--{option} must not come with --series, which has a form of its own.")
        return _read_series(table, **options)
    if arguments.label is None:
        raise InvalidArgumentError("--label must be given: the column of the labels.")
    if arguments.by is not None:
        return _read_events(arguments, table, **options)
    for name in ("order", "fields", "context", "categories"):
        if getattr(arguments, name) is not None:
            raise InvalidArgumentError(f"--{name} must come with --by, for a table of events; got --sequence.")
    classes = options.get("classes")
    known = {str(label): label for label in classes or ()}  # a CSV file has only what looks like numbers
    pairs, lines = [], []
    for sequence, label, line in _table(arguments, table).rows():
        pairs.append((sequence, _labels_of(label, known, arguments.label_separator)))
        lines.append(line)
    try:
        return SequenceDataset.from_pairs(pairs, multi_label=arguments.label_separator is not None, **options)
    except InvalidDataError as error:
        raise InvalidDataError(_with_lines(str(error), table, lines)) from None


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
    if options.pop("tokenizer", None) is not None or arguments.label_separator is not None:
        raise InvalidArgumentError("--tokenizer and --label-separator must not come with --by.")
    options.pop("vocabulary", None)
    options.pop("allow_empty", None)
    fields: Any = options.pop("fields", None) or arguments.fields
    if arguments.categories:
        if arguments.fields is None:
            raise InvalidArgumentError("--categories must come with --fields, which names all columns of an event.")
        if isinstance(fields, list):
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
    if arguments.no_header:
        if not all(column.isdecimal() for column in columns):
            raise InvalidArgumentError(
                f"--sequence and --label must be numbers of columns, from 0, with --no-header; got {columns}."
            )
        columns = list(map(int, columns))
    sequence, label = columns
    return Table(
        Path(path),
        sequence,
        label,
        encoding=arguments.encoding,
        delimiter=arguments.delimiter,
        quoting=arguments.quoting,
        header=not arguments.no_header,
        skip_broken=arguments.skip_broken,
        may_lack_label=arguments.label_separator is not None,
    )


def _with_lines(message: str, table: str, lines: list[int]) -> str:
    """Return an error that names sequences by their file and line in place of their number."""
    return re.sub(r"\(sequence (\d+)", lambda found: f"({table}, line {lines[int(found[1])]}", message)


def _train(arguments: argparse.Namespace) -> None:
    _check_output(arguments.output)
    allow_empty, allow_missing = (one not in {None, "error"} for one in (arguments.empty, arguments.missing))
    data = _read(
        arguments,
        arguments.table,
        allow_empty=allow_empty,
        allow_missing=allow_missing,
        tokenizer=arguments.tokenizer,
    )
    train, test = (data, None) if not arguments.test_size else data.split(arguments.test_size, seed=arguments.seed)
    data_of_training = train
    validation = early_stopping = None
    if arguments.patience is not None:
        early_stopping = EarlyStopping(patience=arguments.patience)
        train, validation = train.split(0.1, seed=arguments.seed)
    if arguments.autotune is not None:
        model = _autotune(train, arguments)
    else:
        model = _fit(train, validation, early_stopping, arguments)
    save(model, arguments.output)
    print(f"{train!r}; saved as {arguments.output}", file=sys.stderr)
    if test is not None:
        _print_evaluation(evaluate(model, test), as_json=arguments.json, linear=_linear(data_of_training, test))


def _autotune(train: SequenceDataset, arguments: argparse.Namespace) -> RNNClassifier:
    """Train with what does best of many choices, and tell of them."""
    if arguments.patience is not None:
        raise InvalidArgumentError("--patience must not come with --autotune, which chooses when training ends.")
    if arguments.embeddings is not None or arguments.freeze_embeddings:
        raise InvalidArgumentError("--embeddings must not come with --autotune, which tries models without.")
    base = _given(arguments, (*_OF_MODEL, *_OF_FIT)) | {"batch_size": arguments.batch_size}
    base |= {"class_weight": "balanced"} if arguments.balanced else {}
    model, trials = autotune(
        train,
        arguments.autotune,
        base=base,
        seed=arguments.seed,
        cache=arguments.checkpoint,
        progress=not arguments.quiet,
    )
    print(trials, file=sys.stderr)
    return model


def _fit(
    train: SequenceDataset,
    validation: SequenceDataset | None,
    early_stopping: EarlyStopping | None,
    arguments: argparse.Namespace,
) -> RNNClassifier:
    model = RNNClassifier.for_dataset(
        train,
        embeddings=arguments.embeddings,
        freeze_embeddings=arguments.freeze_embeddings,
        seed=arguments.seed,
        **_given(arguments, _OF_MODEL),
    )
    if model.pretrained_symbols is not None:
        known = len(model.vocabulary.symbols) if model.vocabulary is not None else 0
        print(f"embeddings: {model.pretrained_symbols:,} of {known:,} symbols have a vector", file=sys.stderr)
    history = fit(
        model,
        train,
        validation_data=validation,
        batch_size=arguments.batch_size,
        class_weight="balanced" if arguments.balanced else None,
        early_stopping=early_stopping,
        seed=arguments.seed,
        checkpoint=arguments.checkpoint,
        resume=arguments.checkpoint is not None,
        progress=not arguments.quiet,
        **_given(arguments, _OF_FIT),
    )
    if history.stopped_by == "interrupted":
        raise KeyboardInterrupt
    if validation is not None:
        calibrate(model, validation)
    print(repr(history), file=sys.stderr)
    return model


def _given(arguments: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    """Return those of some options that were given; what was not is left to the rules."""
    return {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}


def _as_encoded(data: SequenceDataset) -> dict[str, Any]:
    """Return the options that encode a table as another was."""
    known = {"fields": data.fields, "context_fields": data.context_fields, "vocabulary": data.vocabulary}
    return known | {"classes": data.classes}


def _linear(train: SequenceDataset, test: SequenceDataset) -> Evaluation | None:
    """Return what a linear model comes to, where it can be had."""
    return linear_baseline(train, test) if can_fit() else None


def _check_output(path: Path) -> None:
    """Find out now, not when all is done, whether a model can be saved."""
    if path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise InvalidArgumentError(
            f"output must be a file in a folder that exists and can be written to; got {path}. Choose another place."
        )


def _evaluate(arguments: argparse.Namespace) -> None:
    model = load(arguments.model)
    check_encodes(model)
    data = _read(
        arguments,
        arguments.table,
        vocabulary=model.vocabulary,
        fields=model.fields,
        context_fields=model.context_fields,
        allow_missing=model.missing != "error",
        classes=range(model.num_classes) if model.classes is None else model.classes,
        allow_empty=model.empty != "error",
    )
    linear = None
    if arguments.train is not None:
        known = _read(arguments, arguments.train, **_as_encoded(data))
        linear = linear_baseline(known, data)
    _print_evaluation(evaluate(model, data), as_json=arguments.json, linear=linear)


def _print_evaluation(result: Evaluation, *, as_json: bool, linear: Evaluation | None) -> None:
    """Print what was measured, with a linear model beside it where there is one."""
    if as_json:
        more = {} if linear is None else {"linear_accuracy": linear.accuracy, "linear_loss": linear.loss}
        if not result.multi_label:
            more["calibration_error"] = result.calibration_error()
        print(json.dumps(result.to_dict() | more))
        return
    interval = result.interval()
    print(
        f"accuracy   {result.accuracy:.3f} ({interval.low:.3f} to {interval.high:.3f}), majority {result.majority:.3f}"
    )
    if linear is not None:
        verdict = "" if linear.accuracy <= result.accuracy else ", which is better: it may be all that these data need"
        print(f"linear     {linear.accuracy:.3f} by a linear model on the same data{verdict}")
    print(f"macro F1   {result.macro_f1:.3f}")
    if result.multi_label:
        print(f"micro F1   {result.micro_f1:.3f} (accuracy is that of all labels of a sequence together)")
    print(f"loss       {result.loss:.4f}")
    width = max(len(str(label)) for label in result.classes)
    print(f"{'':{width}}  precision  recall     f1  support")
    answered = (
        result.predictions.sum(0)
        if result.multi_label
        else np.bincount(result.predictions, minlength=len(result.classes))
    )
    for (label, row), count in zip(result.per_class.items(), answered, strict=True):
        if not (row.support or count):  # a class that is neither there nor answered
            continue
        print(f"{label!s:{width}}  {row.precision:9.3f}  {row.recall:6.3f}  {row.f1:5.3f}  {row.support:7,}")


def _predict(arguments: argparse.Namespace) -> None:
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


def _report(arguments: argparse.Namespace) -> None:
    data, other = _read(arguments, arguments.table, tokenizer=arguments.tokenizer), None
    if arguments.test is not None:
        other = _read(arguments, arguments.test, **_as_encoded(data))
    report = data.report(other)
    print(json.dumps(report.to_dict()) if arguments.json else report)


def _export(arguments: argparse.Namespace) -> None:
    difference = export(load(arguments.model), arguments.output)
    if arguments.json:
        print(json.dumps({"path": arguments.output, "largest_difference": difference}))
    else:
        print(f"{arguments.output} (logits differ from torch's by {difference:.1e} at most)")
