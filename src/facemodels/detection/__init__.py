"""Face detection: one module an architecture, one for the metrics."""
