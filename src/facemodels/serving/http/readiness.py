"""Whether the server wants requests."""

from __future__ import annotations


class Readiness:
    """Not ready before the model is warm, nor once the server is to end."""

    def __init__(self) -> None:
        self.ready = False
