"""Face recognition: one module an architecture, one for the metrics."""
