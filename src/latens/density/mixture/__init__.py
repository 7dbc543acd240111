"""Mixtures: of Gaussians, by expectation maximisation in one matrix product a step, and of any other densities."""
