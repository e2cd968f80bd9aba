"""Versions and their statuses as Git tags: rules are pure, Git is at the edge."""
