"""Metrics: pure functions of labels and raw scores."""
