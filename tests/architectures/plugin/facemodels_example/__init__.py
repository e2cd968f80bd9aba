"""A plugin package: one small architecture of each task that exports nothing, and one that does."""
