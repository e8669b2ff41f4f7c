"""Clips: finding, reading, checking, splitting, caching and synthesising them."""
