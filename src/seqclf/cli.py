"""The command `seqclf`: train, evaluate, predict, report and export from a shell.

Progress and remarks go to stderr and results to stdout, as text or, with `--json`, as JSON. It exits with 0; with 2
where the arguments are none of its own; with 1 where data, files, training or values are wrong; with 130 after Ctrl-C.
All that it does is done by the library's own functions, and a few lines of Python do the same.
"""

import argparse
import io
import json
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from seqclf._version import __version__
from seqclf.data.dataset import SequenceDataset
from seqclf.data.tables import read_table
from seqclf.errors import InvalidArgumentError, SeqclfError
from seqclf.export import export
from seqclf.models.classifier import RNNClassifier
from seqclf.persistence import load, save
from seqclf.training.calibration import calibrate
from seqclf.training.evaluate import Evaluation, evaluate
from seqclf.training.fit import fit
from seqclf.training.predictor import Predictor
from seqclf.training.stopping import EarlyStopping

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
        sequences    16, of which 4 are different; the most frequent stands 4 times
        ...
        >>> code
        0
    """
    parsed = _parser().parse_args(arguments)
    try:
        parsed.run(parsed)
    except SeqclfError as error:
        print(f"seqclf: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # who read our output, such as head, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains at its end
        return 0
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="seqclf", description="Classify sequences with recurrent networks.")
    parser.add_argument("--version", action="version", version=f"seqclf {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")

    train = _command(commands, "train", _train, "train a model on a table, and save it")
    _add_table(train)
    train.add_argument("--output", required=True, type=Path, help="where to save the model (.safetensors)")
    train.add_argument(
        "--test-size", type=float, default=0.2, help="the part to test on, 0 for none (default: %(default)s)"
    )
    train.add_argument(
        "--cell", default="lstm", choices=["lstm", "gru", "rnn", "rnn_relu"], help="default: %(default)s"
    )
    train.add_argument("--hidden-size", type=int, default=128, help="default: %(default)s")
    train.add_argument("--num-layers", type=int, default=1, help="default: %(default)s")
    train.add_argument("--bidirectional", action="store_true", help="read both ways")
    train.add_argument("--dropout", type=float, default=0.0, help="default: %(default)s")
    train.add_argument("--pooling", nargs="+", default=["last"], help="last, mean, max, attention, or several")
    train.add_argument("--epochs", type=int, default=20, help="the most epochs (default: %(default)s)")
    train.add_argument("--batch-size", type=int, default=32, help="default: %(default)s")
    train.add_argument(
        "--patience",
        type=int,
        help="keep a tenth apart, stop after so many epochs without a better loss on it, and calibrate on it",
    )
    train.add_argument("--balanced", action="store_true", help="let all classes count the same")
    train.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    train.add_argument("--quiet", action="store_true", help="show no progress")
    train.add_argument("--checkpoint", help="a folder; the same command goes on there if it was cut off")

    measure = _command(commands, "evaluate", _evaluate, "measure a model on a table")
    measure.add_argument("model", help="the saved model")
    _add_table(measure)

    predict = _command(commands, "predict", _predict, "print a label for each sequence, or for each line of stdin")
    predict.add_argument("model", help="the saved model")
    predict.add_argument("sequences", nargs="*", help="strings; without any, lines of standard input")
    predict.add_argument("--proba", action="store_true", help="print the probability beside the label")
    predict.add_argument("--chunk-size", type=int, help="how many lines to read before their answers (default: 4096)")

    report = _command(commands, "report", _report, "examine a table: duplicates, ambiguity, balance, lengths")
    _add_table(report)
    report.add_argument("--test", metavar="TABLE", help="a second table, to see how much of it stands in the first")

    export_ = _command(commands, "export", _export, "write a saved model as ONNX")
    export_.add_argument("model", help="the saved model")
    export_.add_argument("output", help="where to (.onnx)")
    return parser


def _command(commands: Any, name: str, run: Callable[[argparse.Namespace], None], what: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=what, description=what.capitalize() + ".")
    parser.add_argument("--json", action="store_true", help="print results as JSON")
    parser.set_defaults(run=run)
    return parser


def _add_table(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("table", help="a .csv, .tsv, .jsonl or .parquet file")
    parser.add_argument("--sequence", required=True, help="the column of the sequences")
    parser.add_argument("--label", required=True, help="the column of the labels")


def _read(arguments: argparse.Namespace, model: RNNClassifier | None = None) -> SequenceDataset:
    pairs = read_table(arguments.table, sequence=arguments.sequence, label=arguments.label)
    if model is None:
        return SequenceDataset.from_pairs(pairs)
    return SequenceDataset.from_pairs(pairs, vocabulary=model.vocabulary, classes=model.classes)


def _train(arguments: argparse.Namespace) -> None:
    if not arguments.output.parent.is_dir():  # found out now, not when all is done
        raise InvalidArgumentError(f"output must be in a folder that exists; got {arguments.output}. Create it first.")
    data = _read(arguments)
    train, test = (data, None) if not arguments.test_size else data.split(arguments.test_size, seed=arguments.seed)
    validation = None
    if arguments.patience is not None:
        train, validation = train.split(0.1, seed=arguments.seed)
    model = RNNClassifier.for_dataset(
        train,
        cell=arguments.cell,
        hidden_size=arguments.hidden_size,
        num_layers=arguments.num_layers,
        bidirectional=arguments.bidirectional,
        dropout=arguments.dropout,
        pooling=arguments.pooling,
        seed=arguments.seed,
    )
    history = fit(
        model,
        train,
        validation_data=validation,
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        class_weight="balanced" if arguments.balanced else None,
        early_stopping=None if validation is None else EarlyStopping(patience=arguments.patience),
        seed=arguments.seed,
        checkpoint=arguments.checkpoint,
        resume=arguments.checkpoint is not None,
        progress=not arguments.quiet,
    )
    if history.stopped_by == "interrupted":
        raise KeyboardInterrupt
    if validation is not None:
        calibrate(model, validation)
    save(model, arguments.output)
    print(f"{train!r}, {history!r}; saved as {arguments.output}", file=sys.stderr)
    if test is not None:
        _print_evaluation(evaluate(model, test), as_json=arguments.json)


def _evaluate(arguments: argparse.Namespace) -> None:
    model = load(arguments.model)
    _print_evaluation(evaluate(model, _read(arguments, model)), as_json=arguments.json)


def _print_evaluation(result: Evaluation, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(result.to_dict() | {"calibration_error": result.calibration_error()}))
        return
    interval = result.interval()
    print(
        f"accuracy   {result.accuracy:.3f} ({interval.low:.3f} to {interval.high:.3f}), majority {result.majority:.3f}"
    )
    print(f"macro F1   {result.macro_f1:.3f}")
    print(f"loss       {result.loss:.4f}")
    width = max(len(str(label)) for label in result.classes)
    print(f"{'':{width}}  precision  recall     f1  support")
    for label, row in result.per_class.items():
        print(f"{label!s:{width}}  {row.precision:9.3f}  {row.recall:6.3f}  {row.f1:5.3f}  {row.support:7,}")


def _predict(arguments: argparse.Namespace) -> None:
    model = load(arguments.model)
    predictor = Predictor(model)
    sequences = iter(arguments.sequences) if arguments.sequences else _lines()
    for text, row in _both(sequences, predictor, arguments.chunk_size or (1 if sys.stdin.isatty() else 4096)):
        best = int(row.argmax())
        label = best if model.classes is None else model.classes[best]
        if arguments.json:
            print(json.dumps({"sequence": text, "label": label, "probability": round(float(row[best]), 6)}))
        else:
            print(f"{label}\t{row[best]:.3f}" if arguments.proba else label)
    sys.stdout.flush()


def _both(sequences: Iterator[str], predictor: Predictor, chunk_size: int) -> Iterator[tuple[str, Any]]:
    """Yield each sequence beside its probabilities; no more are held than run at once."""
    taken: deque[str] = deque()

    def remember() -> Iterator[str]:
        for text in sequences:
            taken.append(text)
            yield text

    for row in predictor.predict_proba_iter(remember(), chunk_size=chunk_size):
        yield taken.popleft(), row


def _lines() -> Iterator[str]:
    """Yield the lines of standard input; what is not UTF-8 becomes a symbol that no vocabulary knows."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8", errors="replace")
    return (line.rstrip("\r\n") for line in sys.stdin)


def _report(arguments: argparse.Namespace) -> None:
    data, other = _read(arguments), None
    if arguments.test is not None:
        pairs = read_table(arguments.test, sequence=arguments.sequence, label=arguments.label)
        other = SequenceDataset.from_pairs(pairs, vocabulary=data.vocabulary, classes=data.classes)
    report = data.report(other)
    print(json.dumps(report.to_dict()) if arguments.json else report)


def _export(arguments: argparse.Namespace) -> None:
    difference = export(load(arguments.model), arguments.output)
    if arguments.json:
        print(json.dumps({"path": arguments.output, "largest_difference": difference}))
    else:
        print(f"{arguments.output} (logits differ from torch's by {difference:.1e} at most)")
