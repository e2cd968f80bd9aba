"""Downloads one file over HTTP and goes on where an earlier try was cut.

DVC downloads a URL too, but it starts a cut transfer again from the beginning and takes
whatever the server sends. Here the bytes collect in a partial file, which outlives the command;
only its caller gives it a name, after it has verified the digest.
"""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path

import httpx

from facemodels.errors import DataError, ToolError
from facemodels.files import write_text
from facemodels.progress import Advance

_TIMEOUT = httpx.Timeout(60, connect=20)  # seconds
_RANGE_BEYOND_THE_END = 416
_PARTIAL_CONTENT = 206


def download(
    url: str, partial: Path, *, size: int | None, advance: Advance, tries: int = 5
) -> bool:
    """Download a file, and go on by itself when the connection breaks.

    A later part is asked for only if the server names the version of the file by a strong ETag
    (RFC 9110, 8.8.3 and 13.1.5): parts of two versions are never joined.

    Args:
        url: the file, over HTTP or HTTPS; redirections are followed.
        partial: the file that collects the bytes. Its ETag lies beside it.
        size: the number of bytes that the file must have; None if nobody knows.
        advance: is called with the number of bytes, those of an earlier try included.
        tries: how many times a connection may break without a new byte.

    Returns:
        Whether some of the bytes came from an earlier connection.

    Raises:
        DataError: the server has a file of another size.
        ToolError: the server cannot be reached or refuses, or the disk has no room.
    """
    partial.parent.mkdir(parents=True, exist_ok=True)
    transfer = _Transfer(url, partial, size, advance)
    left = tries
    with httpx.Client(follow_redirects=True, timeout=_TIMEOUT) as client:
        while True:
            before = transfer.done
            try:
                transfer.run(client)
            except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol) as error:
                raise ToolError(f"{url} cannot be reached: {error}.", transfer.remedy()) from error
            except httpx.TransportError as error:
                left = tries if transfer.done > before else left - 1
                if left == 0:
                    raise ToolError(
                        f"{url} breaks off again and again: {error}.", transfer.remedy()
                    ) from error
            except OSError as error:
                full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
                raise ToolError(
                    f"{partial} cannot be written: {error.strerror or error}.",
                    ("Make room. " if full else "") + transfer.remedy(),
                ) from error
            else:
                return transfer.resumed


def discard(partial: Path) -> None:
    """Remove a partial file and what lies beside it."""
    for path in (partial, _etag_path(partial)):
        path.unlink(missing_ok=True)


class _Transfer:
    """One file on its way, over as many connections as it takes."""

    def __init__(self, url: str, partial: Path, size: int | None, advance: Advance) -> None:
        self.url, self.partial, self.size = url, partial, size
        self.resumed = False
        self._advance = advance
        self._reported = 0
        self.done = partial.stat().st_size if self._etag() else 0
        self._report()

    def remedy(self) -> str:
        """What a person can do about a transfer that ended early."""
        if self._etag() and self.done:
            return f"Run it again: it goes on after the {self.done} bytes that are there."
        return "Run it again: it starts from the beginning."

    def run(self, client: httpx.Client) -> None:
        """Ask for what is missing and write it, over one connection."""
        etag, asked = self._etag(), self.done
        headers = {"Accept-Encoding": "identity"}
        if asked and etag:
            headers |= {"Range": f"bytes={asked}-", "If-Range": etag}
        with client.stream("GET", self.url, headers=headers) as response:
            if response.status_code == _RANGE_BEYOND_THE_END:
                self._complete_or_again(response, asked)
                return
            total = self._accept(response, asked)
            self._require_room(total)
            with self.partial.open("ab" if self.done else "wb") as stream:
                for block in response.iter_raw():
                    if total is not None and self.done + len(block) > total:
                        raise self._other_size(f"more than {total}")
                    stream.write(block)
                    self.done += len(block)
                    self._report()
        if total is not None and self.done != total:
            raise httpx.ReadError(f"it ended after {self.done} of {total} bytes")

    def _accept(self, response: httpx.Response, asked: int) -> int | None:
        """Decide by the answer's head whether it goes on or starts again; the file's size."""
        if not response.is_success:
            raise ToolError(
                f"{self.url} answers {response.status_code} {response.reason_phrase}.",
                "Check the URL in conf/weights.yaml.",
            )
        goes_on = response.status_code == _PARTIAL_CONTENT
        announced = _size_of(response, asked if goes_on else 0)
        if None not in (announced, self.size) and announced != self.size:
            raise self._other_size(str(announced))
        if goes_on and _start_of(response) == asked:
            self.resumed = True
        elif goes_on:
            raise ToolError(f"{self.url} sends another part than it was asked for.", "Try again.")
        else:
            self._begin(response)
        return announced if announced is not None else self.size

    def _complete_or_again(self, response: httpx.Response, asked: int) -> None:
        """A part that begins at the end of the file is refused: then nothing is missing."""
        if response.headers.get("Content-Range") == f"bytes */{asked}":
            self.resumed = True
            return
        discard(self.partial)
        self.done = 0
        raise httpx.ReadError("the partial file did not fit and was thrown away")

    def _begin(self, response: httpx.Response) -> None:
        discard(self.partial)
        self.done = 0
        etag = response.headers.get("ETag", "")
        if etag and not etag.startswith("W/"):
            kept = json.dumps({"url": self.url, "etag": etag})
            write_text(_etag_path(self.partial), kept)

    def _etag(self) -> str:
        """The ETag of what the partial file holds; "" where it is not known."""
        try:
            kept = json.loads(_etag_path(self.partial).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return ""
        same = self.partial.is_file() and kept.get("url") == self.url
        return str(kept.get("etag", "")) if same else ""

    def _require_room(self, total: int | None) -> None:
        free = shutil.disk_usage(self.partial.parent).free
        if total is not None and total - self.done > free:
            raise ToolError(
                f"{self.partial.parent} has room for {free} more bytes, and "
                f"{total - self.done} are missing.",
                f"Make room. {self.remedy()}",
            )

    def _other_size(self, found: str) -> DataError:
        discard(self.partial)
        return DataError(
            f"{self.url} has {found} bytes, not {self.size}: it is another file than the one "
            "that is pinned.",
            "Nothing was kept. Ask its author before you pin it anew in conf/weights.yaml.",
        )

    def _report(self) -> None:
        if self.done > self._reported:
            self._advance(self.done - self._reported)
            self._reported = self.done


def _etag_path(partial: Path) -> Path:
    return partial.with_name(f"{partial.name}.etag")


def _size_of(response: httpx.Response, start: int) -> int | None:
    """Bytes of the whole file, as the answer announces them."""
    length = response.headers.get("Content-Length", "")
    return start + int(length) if length.isdigit() else None


def _start_of(response: httpx.Response) -> int | None:
    """First byte of the part that the answer holds: `bytes 100-199/200`."""
    first = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    return int(first) if first.isdigit() else None
