"""Datasets: readers of real ones, the generated sample, and the arrays both end in."""
