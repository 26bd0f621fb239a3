"""Cells beyond torch's own, each a `cell=` of `RNNClassifier`; and the protocols that a cell of your own fulfils."""

from seqclf.cells.independent import IndRNNCell
from seqclf.cells.layer_norm import LayerNormGRUCell, LayerNormLSTMCell
from seqclf.cells.minimal import MinGRUCell, MinLSTMCell
from seqclf.cells.peephole import PeepholeLSTMCell
from seqclf.cells.protocol import Cell, ProjectedCell, ScanCell
from seqclf.cells.scan import linear_scan

__all__ = [
    "Cell",
    "IndRNNCell",
    "LayerNormGRUCell",
    "LayerNormLSTMCell",
    "MinGRUCell",
    "MinLSTMCell",
    "PeepholeLSTMCell",
    "ProjectedCell",
    "ScanCell",
    "linear_scan",
]
