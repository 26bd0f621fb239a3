"""The door: whatever users have becomes plain sequences, labels, indices and numbers here, and nowhere else.

Readers of files and tables that give pairs, or sequences and labels, for `SequenceDataset`.
"""

from seqclf.reading.events import Events, read_events
from seqclf.reading.fasta import read_fasta
from seqclf.reading.series import read_series

__all__ = ["Events", "read_events", "read_fasta", "read_series"]
