"""Densities of y given x, and the classifier that any density makes."""
