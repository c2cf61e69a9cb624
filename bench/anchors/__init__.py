"""Fit of a variant's priors to the boxes of a data set, and search for better priors."""
