"""Judging models: protocols, uncertainty, comparison and gates."""
