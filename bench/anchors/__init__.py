"""Priors held against the boxes of a data set: how well they fit, and which fit better."""
