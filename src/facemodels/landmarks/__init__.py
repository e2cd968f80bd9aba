"""68-point landmarks: one module an architecture, one for the metrics."""
