"""Clients that leave before they have their answer: their requests are given up.

ASGI tells of a departure only to an application that asks, and asking costs a task a request. The
connection calls what the watch leaves in the request's scope instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, MutableMapping
from typing import Any, Self

_KEY = "client_left"  # in the state of a request's scope


class ClientWatch:
    """Cancels the task that answers a request when its client leaves within the `with` block.

    Args:
        scope: the scope of the request.

    Attributes:
        left: whether the client left and the task was cancelled.
    """

    def __init__(self, scope: MutableMapping[str, Any]) -> None:
        self.left = False
        self._task: asyncio.Task[object] | None = None
        scope["state"][_KEY] = self._leave

    async def __aenter__(self) -> Self:
        """From now on the task is cancelled."""
        self._task = asyncio.current_task()
        return self

    async def __aexit__(self, *_: object) -> None:
        """What follows, such as reading the rest of a body, is not cancelled."""
        self._task = None

    def _leave(self) -> None:
        if self._task is not None:
            self.left = True
            self._task.cancel()


def client_left(scope: Mapping[str, Any]) -> None:
    """Tell the watch of a request that the client has closed the connection."""
    leave = scope.get("state", {}).get(_KEY)
    if leave is not None:
        leave()
