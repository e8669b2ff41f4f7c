"""Where events are sent, and what makes sure that they arrive."""
