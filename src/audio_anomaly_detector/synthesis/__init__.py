"""Synthetic recordings: machines, faults, halls and data sets of them."""
