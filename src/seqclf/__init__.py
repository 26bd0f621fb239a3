"""seqclf: classify variable-length sequences with recurrent networks in PyTorch.

The names here are loaded when they are first used, so that importing the package costs next to nothing. What is needed
less often stands in `seqclf.callbacks`, `seqclf.datasets`, `seqclf.errors`, `seqclf.plotting` and `seqclf.reading`.
"""

import importlib
import warnings
from typing import TYPE_CHECKING, Any

from seqclf._version import __version__

if TYPE_CHECKING:  # for editors and type checkers, which read no table; a test holds it equal to _NAMES
    from seqclf.attribution import explain
    from seqclf.data.batch import Batch, pack_collate, pad_collate
    from seqclf.data.dataset import SequenceDataset
    from seqclf.data.sampling import BucketBatchSampler
    from seqclf.errors import SeqclfError
    from seqclf.inference.embed import embed
    from seqclf.inference.predict import predict, predict_prefixes, predict_proba
    from seqclf.inference.predictor import Predictor
    from seqclf.models.classifier import RNNClassifier
    from seqclf.models.explain import explain_execution
    from seqclf.onnx import export
    from seqclf.persistence import load, save
    from seqclf.report_page import write_report
    from seqclf.study.autotune import autotune
    from seqclf.study.runner import run_study
    from seqclf.training.baseline import linear_baseline
    from seqclf.training.calibration import adjust_priors, calibrate
    from seqclf.training.compare import compare
    from seqclf.training.evaluate import evaluate
    from seqclf.training.evaluation import Evaluation
    from seqclf.training.fit import fit
    from seqclf.training.history import History
    from seqclf.verify import verify_batching
    from seqclf.vocabulary import Vocabulary

_NAMES = {  # where each name is found
    "Batch": "data.batch",
    "BucketBatchSampler": "data.sampling",
    "Evaluation": "training.evaluation",
    "History": "training.history",
    "Predictor": "inference.predictor",
    "RNNClassifier": "models.classifier",
    "SeqclfError": "errors",
    "SequenceDataset": "data.dataset",
    "Vocabulary": "vocabulary",
    "adjust_priors": "training.calibration",
    "autotune": "study.autotune",
    "calibrate": "training.calibration",
    "compare": "training.compare",
    "embed": "inference.embed",
    "evaluate": "training.evaluate",
    "explain": "attribution",
    "explain_execution": "models.explain",
    "export": "onnx",
    "fit": "training.fit",
    "linear_baseline": "training.baseline",
    "load": "persistence",
    "pack_collate": "data.batch",
    "pad_collate": "data.batch",
    "predict": "inference.predict",
    "predict_prefixes": "inference.predict",
    "predict_proba": "inference.predict",
    "run_study": "study.runner",
    "save": "persistence",
    "verify_batching": "verify",
    "write_report": "report_page",
}

_MODULES = ("callbacks", "cells", "datasets", "errors", "plotting", "reading", "sklearn", "study", "training", "verify")

_MOVED = {  # names of 0.1 that have another home since 0.2; they go with 0.3
    **dict.fromkeys(
        [
            "BatchingError",
            "DownloadError",
            "FileFormatError",
            "InvalidArgumentError",
            "InvalidDataError",
            "MissingDependencyError",
            "TrainingError",
        ],
        "errors",
    ),
    **dict.fromkeys(["plot_calibration", "plot_confusion", "plot_history", "plot_lengths", "plot_study"], "plotting"),
    **dict.fromkeys(["download_names", "load_names"], "datasets"),
    **dict.fromkeys(["fold_ascii", "read_folder", "read_table"], "reading"),
    **dict.fromkeys(["Checkpoint", "EarlyStopping"], "callbacks"),
    "BatchingReport": "verify",
    "DataReport": "data.report",
    "StudyResult": "study",
}

__all__ = [  # the names of the table above, which __getattr__ finds
    "Batch",
    "BucketBatchSampler",
    "Evaluation",
    "History",
    "Predictor",
    "RNNClassifier",
    "SeqclfError",
    "SequenceDataset",
    "Vocabulary",
    "__version__",
    "adjust_priors",
    "autotune",
    "calibrate",
    "compare",
    "embed",
    "evaluate",
    "explain",
    "explain_execution",
    "export",
    "fit",
    "linear_baseline",
    "load",
    "pack_collate",
    "pad_collate",
    "predict",
    "predict_prefixes",
    "predict_proba",
    "run_study",
    "save",
    "verify_batching",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"seqclf.{name}")
    if name in _MOVED:
        home = f"seqclf.{_MOVED[name]}"
        warnings.warn(
            f"seqclf.{name} has moved, and will go from here with version 0.3. Write: from {home} import {name}",
            FutureWarning,
            stacklevel=2,
        )
        return getattr(importlib.import_module(home), name)
    if name not in _NAMES:
        raise AttributeError(f"module 'seqclf' has no attribute {name!r}")
    found = getattr(importlib.import_module(f"seqclf.{_NAMES[name]}"), name)
    globals()[name] = found  # the next time Python finds it without this function
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
