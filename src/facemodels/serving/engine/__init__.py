"""A package ready to predict."""
