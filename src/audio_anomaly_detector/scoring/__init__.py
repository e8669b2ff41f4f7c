"""From statistics of a clip to one calibrated anomaly score, a p-value and a decision."""
