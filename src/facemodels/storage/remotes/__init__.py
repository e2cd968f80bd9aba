"""DVC's remotes: setting them up, examining them, the rights they need."""
