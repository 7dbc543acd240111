"""Regression by maximum likelihood: of numbers, counts and classes."""
