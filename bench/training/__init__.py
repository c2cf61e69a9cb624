"""Training: loop, step, optimizer, schedules, validation, checkpoints."""
