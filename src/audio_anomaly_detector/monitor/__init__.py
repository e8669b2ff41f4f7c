"""Live monitoring: sound from many sources, each machine's normal sound, events, notifications."""
