"""Sends the head of an answer together with its body, in one call of the system.

Between two calls a process may be killed, or wait long for a processor. A client or a router that
has the head and never gets the body cannot ask another server any more.
"""

from __future__ import annotations

import asyncio
from typing import Any

_HEAD, _HEAD_END = b"HTTP/1.", b"\r\n\r\n"


class OneWrite:
    """A transport that keeps the head of an answer until its body comes.

    A head without a body goes out as soon as whoever wrote it lets others run.

    Args:
        transport: the transport of the connection, which does everything else.
        loop: the event loop.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send what was kept and this; keep the head of an answer."""
        if not self._head and data.startswith(_HEAD) and data.endswith(_HEAD_END):
            self._head = data
            self._loop.call_soon(self._flush)
            return
        head, self._head = self._head, b""
        self._transport.write(head + data if head else data)

    def close(self) -> None:
        """Send what was kept, then close."""
        self._flush()
        self._transport.close()

    def get_write_buffer_size(self) -> int:
        """The bytes that are not sent yet."""
        return len(self._head) + self._transport.get_write_buffer_size()

    def _flush(self) -> None:
        head, self._head = self._head, b""
        if head:
            self._transport.write(head)
