"""The runner: settings, data, training, evaluation, and the command line."""
