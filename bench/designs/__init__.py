"""Designs of experiments: folds, sizes of the training set, several data sets; each consists of runs that machines can share."""
