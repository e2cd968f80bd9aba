"""Where a version comes from, and what differs between two."""
