"""Whether the server is ready for requests; the health endpoint and the connections read it."""

from __future__ import annotations


class Readiness:
    """A flag that the server sets.

    Attributes:
        ready: false until the model is warm, and false again from the first signal to end.
    """

    def __init__(self) -> None:
        self.ready = False
