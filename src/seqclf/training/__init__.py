"""Training: fit, evaluate and predict."""
