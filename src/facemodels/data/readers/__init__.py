"""Readers of real datasets: what they cannot read they report, with path and reason."""
