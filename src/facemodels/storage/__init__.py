"""Where weights are kept: remotes that are proven, retention, archives, backups."""
