"""Sources of sound, and what keeps them running."""
