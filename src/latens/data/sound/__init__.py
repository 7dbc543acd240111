"""Recordings: read from files, brought to one rate and length, seen as waveforms or log-mel spectrograms, and back."""
