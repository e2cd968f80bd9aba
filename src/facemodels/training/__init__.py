"""Training of torch networks: one loop, exact resume, curves."""
