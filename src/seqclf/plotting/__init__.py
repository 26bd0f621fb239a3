"""Pictures of data, training and evaluation. They need the extra `plot` (matplotlib)."""

from seqclf.plotting.evaluation import plot_calibration, plot_confusion
from seqclf.plotting.history import plot_history
from seqclf.plotting.lengths import plot_lengths
from seqclf.plotting.study import plot_study

__all__ = ["plot_calibration", "plot_confusion", "plot_history", "plot_lengths", "plot_study"]
