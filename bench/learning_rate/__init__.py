"""Learning-rate finder: the range test, on a run's settings, and its files."""
