"""`seqclf evaluate`: a model measured on a table; and how what was measured is printed."""

import argparse
import json
import sys
from typing import Any

import numpy as np

from seqclf.cli.tables import as_encoded, read, read_with, read_with_lines
from seqclf.data.dataset import SequenceDataset
from seqclf.inference.average import models_of
from seqclf.inference.predict import check_encodes
from seqclf.persistence import load
from seqclf.training.baseline import linear_baseline
from seqclf.training.evaluate import evaluate
from seqclf.training.evaluation import Evaluation
from seqclf.training.slices import Slices


def run(arguments: argparse.Namespace) -> None:
    """Measure a model, or several, and print the figures."""
    models = models_of([load(path) for path in [arguments.model, *arguments.others]])
    model = models[0]
    for one in models:
        check_encodes(one)
    options = {
        "vocabulary": model.vocabulary,
        "fields": model.fields,
        "context_fields": model.context_fields,
        "allow_missing": model.missing != "error",
        "classes": range(model.num_classes) if model.classes is None else model.classes,
        "allow_empty": model.empty != "error",
    }
    arguments.numbers = arguments.numbers or (model.input_size is not None and model.fields is None)
    values: Any = "length"
    if arguments.slices:
        data, values, places = read_with(arguments, arguments.table, arguments.slices, **options)
    else:
        data, places = read_with_lines(arguments, arguments.table, **options)
    linear = None
    if arguments.train is not None:
        known = read(arguments, arguments.train, **as_encoded(data))
        linear = linear_baseline(known, data)
    result = evaluate(models, data)
    slices = None if arguments.slices is None else result.by(_of_measured(values, data, result))
    print_evaluation(result, as_json=arguments.json, linear=linear, slices=slices)
    if arguments.mistakes is not None:
        mistakes = result.mistakes(data)
        columns = {name: [found[row.index] for row in mistakes] for name, found in places.items()}
        mistakes.write(arguments.mistakes, columns)
        print(f"{len(mistakes):,} mistakes; saved as {arguments.mistakes}", file=sys.stderr)


def _of_measured(values: Any, data: SequenceDataset, result: Evaluation) -> Any:
    """Return the values of those sequences that were measured: not of empty ones that the model skips."""
    if isinstance(values, str) or len(values) == result.n:
        return values
    return [value for value, length in zip(values, data.lengths.tolist(), strict=True) if length]


def print_evaluation(
    result: Evaluation, *, as_json: bool, linear: Evaluation | None, slices: Slices | None = None
) -> None:
    """Print what was measured, with a linear model beside it where there is one."""
    if as_json:
        more: dict[str, Any] = (
            {} if linear is None else {"linear_accuracy": linear.accuracy, "linear_loss": linear.loss}
        )
        if not result.multi_label:
            more["calibration_error"] = result.calibration_error()
        if slices is not None:
            more["slices"] = {str(value): _figures(part) for value, part in slices.items()}
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
    if slices is not None:
        print(f"\n{slices}")


def _figures(part: Evaluation) -> dict[str, float]:
    return {"n": part.n, "accuracy": part.accuracy, "loss": part.loss, "macro_f1": part.macro_f1}
