"""The model servers of an environment, as processes."""
