"""How good the scores are: metrics with intervals, the protocol, plots and the report."""
