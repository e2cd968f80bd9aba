"""The endpoints under /api."""
