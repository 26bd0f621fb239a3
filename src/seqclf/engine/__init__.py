"""The engine: how a recurrence is run, from steps to states, logits and gradients."""
