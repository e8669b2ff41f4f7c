"""Fitting a detector: training loop, stages, cross-fitting, pool prior."""
