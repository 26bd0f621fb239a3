"""Data: from raw sequences to batches."""
