"""Training: the loop, one step, the optimizer and checkpoints."""
