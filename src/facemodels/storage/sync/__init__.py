"""Push, pull and audit the objects of released versions."""
