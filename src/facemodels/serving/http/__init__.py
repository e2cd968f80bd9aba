"""One HTTP exchange: connection, access, limits, errors."""
