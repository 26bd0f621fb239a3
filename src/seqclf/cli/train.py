"""`seqclf train`: a model trained on a table, measured on a part of it, and saved."""

import argparse
import sys

from seqclf.cli.evaluate import print_evaluation
from seqclf.cli.parser import given
from seqclf.cli.tables import read
from seqclf.data.baseline import can_fit
from seqclf.data.dataset import SequenceDataset
from seqclf.models.classifier import RNNClassifier
from seqclf.persistence import save
from seqclf.report_page import write_report
from seqclf.study.autotune import autotune
from seqclf.training.baseline import linear_baseline
from seqclf.training.calibration import calibrate
from seqclf.training.evaluate import evaluate
from seqclf.training.fit import fit
from seqclf.training.history import History
from seqclf.training.stopping import EarlyStopping


def run(arguments: argparse.Namespace) -> None:
    """Train a model, save it, and print what it comes to on the part that was kept apart."""
    allow_empty, allow_missing = (one not in {None, "error"} for one in (arguments.empty, arguments.missing))
    data = read(
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
    history = None
    if arguments.autotune is not None:
        model = _autotune(train, arguments)
    else:
        model, history = _fit(train, validation, early_stopping, arguments)
    save(model, arguments.output)
    print(f"{train!r}; saved as {arguments.output}", file=sys.stderr)
    if test is None:
        return
    result = evaluate(model, test)
    linear = linear_baseline(data_of_training, test) if can_fit() else None
    if linear is None:
        print('linear: not measured. Install scikit-learn: pip install "seqclf[sklearn]"', file=sys.stderr)
    print_evaluation(result, as_json=arguments.json, linear=linear)
    if arguments.report is not None:
        write_report(arguments.report, model, data_of_training, test, history, linear=linear or True, result=result)
        print(f"report saved as {arguments.report}", file=sys.stderr)


def _autotune(train: SequenceDataset, arguments: argparse.Namespace) -> RNNClassifier:
    """Train with what does best of many choices, and tell of them."""
    base = given(arguments, arguments.of_model + arguments.of_fit) | {"batch_size": arguments.batch_size}
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
) -> tuple[RNNClassifier, History]:
    model = RNNClassifier.for_dataset(
        train,
        embeddings=arguments.embeddings,
        freeze_embeddings=arguments.freeze_embeddings,
        seed=arguments.seed,
        **given(arguments, arguments.of_model),
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
        **given(arguments, arguments.of_fit),
    )
    if history.stopped_by == "interrupted":
        raise KeyboardInterrupt
    if validation is not None:
        calibrate(model, validation)
    print(repr(history), file=sys.stderr)
    return model, history
