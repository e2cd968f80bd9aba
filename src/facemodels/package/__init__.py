"""A package: the folder that a version is. Written, verified, loaded."""
