"""Statistics of designs of experiments: folds, learning curves, several data sets, corruptions."""
