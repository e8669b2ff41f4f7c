"""The report of one machine: what it shows, its pictures and sounds, and the page."""
