"""Other model servers around the same graph; each runs in an environment of its own."""
