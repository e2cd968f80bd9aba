"""How the router behaves: addresses, limits, patience."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from facemodels.deployment.settings import Environment
from facemodels.serving.settings import Serving


@dataclass(frozen=True)
class RouterSettings:
    """What does not change while a router runs, and what its routes have in common.

    Attributes:
        port: that clients use; 0 takes a free one.
        host: likewise.
        body_bytes: of a request; more gets 413.
        head_bytes: of a request, address and headers.
        receive_s: for a client to send a whole request.
        idle_s: an unused connection of a client is kept; to the servers, half as long.
        connect_s: to reach a server.
        answer_s: until a server begins to answer; then the next one is asked.
        health_s: between two looks whether a server is ready.
        patience_s: for the answer to that; a slow server is no dead one.
        start_s: for the router to be there.
        grace_s: for requests in work, at its end.
    """

    port: int
    host: str = "127.0.0.1"
    body_bytes: int = 10_000_000
    head_bytes: int = 32_768
    receive_s: float = 30.0
    idle_s: float = 60.0
    connect_s: float = 1.0
    answer_s: float = 5.0
    health_s: float = 1.0
    patience_s: float = 2.0
    start_s: float = 15.0
    grace_s: float = 10.0

    @classmethod
    def of(cls, environment: Environment, serving: Serving) -> Self:
        """Those of an environment whose servers have these limits."""
        return cls(
            port=environment.address.port,
            host=environment.address.host,
            body_bytes=serving.limits.body_bytes,
            head_bytes=serving.limits.head_bytes,
            answer_s=environment.hang_s,
            patience_s=environment.hang_s / 2,
            idle_s=min(60.0, serving.limits.idle_s),
        )
