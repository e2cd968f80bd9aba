"""A second copy of everything that was released."""
