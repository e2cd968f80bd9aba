"""Nobody gets the head of an answer without its body."""

from __future__ import annotations

import asyncio
from typing import Any

from facemodels.serving.http.one_write import OneWrite

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"


class Sent:
    """A transport that notes each call of the system."""

    def __init__(self) -> None:
        self.calls: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.calls.append(data)

    def close(self) -> None:
        self.closed = True

    def get_write_buffer_size(self) -> int:
        return 0


def test_an_answer_is_one_write_and_a_head_alone_waits_for_nobody() -> None:
    async def answer() -> list[bytes]:
        transport: Any = Sent()
        one = OneWrite(transport, asyncio.get_running_loop())
        one.write(HEAD)
        one.write(b"{}")
        one.write(HEAD)  # of HEAD: no body follows
        assert one.get_write_buffer_size() == len(HEAD)
        await asyncio.sleep(0)
        one.write(HEAD)
        one.close()
        assert transport.closed
        return list(transport.calls)

    assert asyncio.run(answer()) == [HEAD + b"{}", HEAD, HEAD]
