"""Measurements of what the README claims; each prints ratios taken side by side in one run."""
