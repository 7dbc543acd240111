"""Histograms: where bins begin and end, and the weight in each."""
