"""One machine's run folder: fit, evaluate, write everything down."""
