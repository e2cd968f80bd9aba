"""Which versions stay, and archives of the others."""
