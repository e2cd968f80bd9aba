"""Procedural faces: data that anyone can have."""
