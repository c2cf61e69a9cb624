"""The process around the work: progress, interrupts, log, several processes."""
