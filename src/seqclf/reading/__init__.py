"""The door: whatever users have becomes plain sequences, labels, indices and numbers here, and nowhere else.

Readers of files and tables that give pairs, or sequences and labels, for `SequenceDataset`.
"""

from seqclf.reading.events import Events, read_events

__all__ = ["Events", "read_events"]
