"""Kernel density estimation: kernels, bandwidths, and sums of many kernels by the right algorithm for each case."""
