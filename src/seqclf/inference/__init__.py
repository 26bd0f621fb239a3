"""Inference: what a trained model answers, for many sequences, for one, and for one that grows."""
