"""External models: detectors that were not trained here, as predictors."""
