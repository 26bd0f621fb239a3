"""The door: whatever users have becomes plain sequences, labels, indices and numbers here, and nowhere else."""
