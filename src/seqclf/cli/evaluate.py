"""`seqclf evaluate`: a model measured on a table; and how what was measured is printed."""

import argparse
import json

import numpy as np

from seqclf.cli.tables import as_encoded, read
from seqclf.inference.predict import check_encodes
from seqclf.persistence import load
from seqclf.training.baseline import linear_baseline
from seqclf.training.evaluate import evaluate
from seqclf.training.evaluation import Evaluation


def run(arguments: argparse.Namespace) -> None:
    """Measure a model, and print the figures."""
    model = load(arguments.model)
    check_encodes(model)
    data = read(
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
        known = read(arguments, arguments.train, **as_encoded(data))
        linear = linear_baseline(known, data)
    print_evaluation(evaluate(model, data), as_json=arguments.json, linear=linear)


def print_evaluation(result: Evaluation, *, as_json: bool, linear: Evaluation | None) -> None:
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
