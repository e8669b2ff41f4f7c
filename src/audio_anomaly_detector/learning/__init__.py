"""Fitting a detector: stages, training data, cross-fitting, final fit, pool prior."""
