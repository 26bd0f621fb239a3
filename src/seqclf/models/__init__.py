"""Models: from batches to logits."""
