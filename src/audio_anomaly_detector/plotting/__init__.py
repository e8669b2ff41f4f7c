"""Figures and pages: what evaluations, training and the benchmark look like."""
