"""Studies: grids of training runs, cached on disk, compared over seeds."""

from seqclf.study.autotune import Trials, autotune
from seqclf.study.result import StudyResult, Summary, format_measure
from seqclf.study.run import Run
from seqclf.study.runner import run_study

__all__ = ["Run", "StudyResult", "Summary", "Trials", "autotune", "format_measure", "run_study"]
