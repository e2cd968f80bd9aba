"""The steps from images to compared packages, each called by a stage and by a command."""
