"""Stores of objects: the DVC cache, remotes and backups."""
