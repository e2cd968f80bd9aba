"""The controller of an environment."""
