"""Rebuild, version, release, deploy, monitor and roll back face recognition models."""

__version__ = "0.1.0"
