"""Predictors made of other predictors, or of other people's models."""
