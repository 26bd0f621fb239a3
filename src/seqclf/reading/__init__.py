"""Whatever users have becomes plain sequences, labels, indices and numbers here, and nowhere else.

Readers of files and tables that give pairs, or sequences and labels, for `SequenceDataset`.
"""

from seqclf.reading.events import Events, read_events
from seqclf.reading.fasta import read_fasta
from seqclf.reading.folders import fold_ascii, read_folder
from seqclf.reading.series import read_series
from seqclf.reading.tables import read_table

__all__ = ["Events", "fold_ascii", "read_events", "read_fasta", "read_folder", "read_series", "read_table"]
