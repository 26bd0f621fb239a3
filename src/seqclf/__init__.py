"""seqclf: classify variable-length sequences with recurrent networks in PyTorch."""

from seqclf._version import __version__
from seqclf.attribution import explain
from seqclf.data.batch import Batch, pack_collate, pad_collate
from seqclf.data.dataset import SequenceDataset
from seqclf.data.names import download_names, load_names
from seqclf.data.report import DataReport
from seqclf.data.sampling import BucketBatchSampler
from seqclf.errors import (
    BatchingError,
    DownloadError,
    FileFormatError,
    InvalidArgumentError,
    InvalidDataError,
    MissingDependencyError,
    SeqclfError,
    TrainingError,
)
from seqclf.export import export
from seqclf.inference.embed import embed
from seqclf.inference.predict import predict, predict_prefixes, predict_proba
from seqclf.inference.predictor import Predictor
from seqclf.models.classifier import RNNClassifier
from seqclf.models.explain import explain_execution
from seqclf.persistence import load, save
from seqclf.plotting import plot_calibration, plot_confusion, plot_history, plot_lengths, plot_study
from seqclf.reading.folders import fold_ascii, read_folder
from seqclf.reading.tables import read_table
from seqclf.report_page import write_report
from seqclf.study import StudyResult, autotune, run_study
from seqclf.training.baseline import linear_baseline
from seqclf.training.calibration import adjust_priors, calibrate
from seqclf.training.checkpoint import Checkpoint
from seqclf.training.compare import compare
from seqclf.training.evaluate import evaluate
from seqclf.training.evaluation import Evaluation
from seqclf.training.fit import fit
from seqclf.training.history import History
from seqclf.training.run import EpochEnd
from seqclf.training.stopping import EarlyStopping
from seqclf.verify import BatchingReport, verify_batching
from seqclf.vocabulary import Vocabulary

__all__ = [
    "Batch",
    "BatchingError",
    "BatchingReport",
    "BucketBatchSampler",
    "Checkpoint",
    "DataReport",
    "DownloadError",
    "EarlyStopping",
    "EpochEnd",
    "Evaluation",
    "FileFormatError",
    "History",
    "InvalidArgumentError",
    "InvalidDataError",
    "MissingDependencyError",
    "Predictor",
    "RNNClassifier",
    "SeqclfError",
    "SequenceDataset",
    "StudyResult",
    "TrainingError",
    "Vocabulary",
    "__version__",
    "adjust_priors",
    "autotune",
    "calibrate",
    "compare",
    "download_names",
    "embed",
    "evaluate",
    "explain",
    "explain_execution",
    "export",
    "fit",
    "fold_ascii",
    "linear_baseline",
    "load",
    "load_names",
    "pack_collate",
    "pad_collate",
    "plot_calibration",
    "plot_confusion",
    "plot_history",
    "plot_lengths",
    "plot_study",
    "predict",
    "predict_prefixes",
    "predict_proba",
    "read_folder",
    "read_table",
    "run_study",
    "save",
    "verify_batching",
    "write_report",
]
