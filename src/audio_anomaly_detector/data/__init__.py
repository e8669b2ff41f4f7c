"""Clips: finding, reading, checking, splitting and caching them."""
