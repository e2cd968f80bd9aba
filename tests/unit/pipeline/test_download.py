"""A file over HTTP: cut transfers go on, and parts of two files are never joined."""

from __future__ import annotations

import random
import resource
import shutil
import signal
import socket
from collections import namedtuple
from pathlib import Path

import pytest

from facemodels.errors import DataError, ToolError
from facemodels.pipeline.download import download

CONTENT = random.Random(1).randbytes(300_000)


@pytest.fixture
def partial(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "weights.pt.part"


def bring(publisher, partial: Path, *, size: int | None = len(CONTENT), tries: int = 5):
    counted: list[int] = []
    resumed = download(publisher.url, partial, size=size, advance=counted.append, tries=tries)
    return resumed, sum(counted)


@pytest.mark.parametrize("size", [len(CONTENT), None])
def test_a_file_is_downloaded_and_every_byte_is_reported(publisher, partial, size) -> None:
    publisher.content = CONTENT
    assert bring(publisher, partial, size=size) == (False, len(CONTENT))
    assert partial.read_bytes() == CONTENT


def test_a_transfer_that_is_cut_goes_on_by_itself(publisher, partial) -> None:
    publisher.content, publisher.cuts = CONTENT, [100_000, 50_000]
    assert bring(publisher, partial) == (True, len(CONTENT))
    assert partial.read_bytes() == CONTENT
    assert publisher.requests == ["", "bytes=100000-", "bytes=150000-"]


def test_a_command_that_was_ended_goes_on_when_it_is_called_again(publisher, partial) -> None:
    publisher.content, publisher.cuts = CONTENT, [100_000, 0]
    with pytest.raises(ToolError, match=r"breaks off .*goes on after the 100000 bytes"):
        bring(publisher, partial, tries=1)
    assert bring(publisher, partial) == (True, len(CONTENT))
    assert partial.read_bytes() == CONTENT
    assert publisher.requests[-1] == "bytes=100000-"


@pytest.mark.parametrize(
    "change", [{"ranges": False}, {"etag": ""}, {"etag": 'W/"weak"'}],
    ids=["no parts", "no ETag", "weak ETag"],
)  # fmt: skip
def test_without_parts_of_a_known_version_it_starts_again(publisher, partial, change) -> None:
    publisher.content, publisher.cuts = CONTENT, [100_000]
    vars(publisher).update(change)
    assert bring(publisher, partial) == (False, len(CONTENT))
    assert partial.read_bytes() == CONTENT


def test_a_file_that_changed_between_two_connections_is_taken_anew(publisher, partial) -> None:
    publisher.content, publisher.cuts = CONTENT, [100_000, 0]
    with pytest.raises(ToolError):
        bring(publisher, partial, tries=1)
    publisher.content = CONTENT[::-1]
    assert bring(publisher, partial) == (False, len(CONTENT))
    assert partial.read_bytes() == CONTENT[::-1]


def test_a_whole_file_of_unknown_size_is_not_downloaded_again(publisher, partial) -> None:
    publisher.content = CONTENT
    bring(publisher, partial, size=None)
    assert bring(publisher, partial, size=None) == (True, len(CONTENT))
    assert publisher.requests == ["", f"bytes={len(CONTENT)}-"]


@pytest.mark.parametrize("size", [len(CONTENT) - 1, len(CONTENT) + 1])
def test_a_file_of_another_size_is_refused_before_it_is_downloaded(
    publisher, partial, size
) -> None:
    publisher.content = CONTENT
    with pytest.raises(DataError, match=rf"has {len(CONTENT)} bytes, not {size}"):
        bring(publisher, partial, size=size)
    assert not partial.exists()


@pytest.mark.parametrize("status", [403, 404, 500])
def test_an_error_of_the_server_is_named(publisher, partial, status) -> None:
    publisher.status = status
    with pytest.raises(ToolError, match=rf"{publisher.url} answers {status}"):
        bring(publisher, partial)


def test_a_host_that_does_not_answer_is_named(partial) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/weights.pt"
        with pytest.raises(ToolError, match=r"cannot be reached: .*Run it again"):
            download(url, partial, size=1, advance=lambda count: None)


def test_a_disk_without_room_is_named_before_the_first_byte(
    publisher, partial, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher.content = CONTENT
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1000))
    with pytest.raises(ToolError, match=r"has room for 1000 more bytes, and 300000 are missing"):
        bring(publisher, partial)


def test_a_disk_that_fills_up_keeps_what_was_written(publisher, partial) -> None:
    """The limit on a process's files stands for the disk's: the write fails half-way."""
    publisher.content = CONTENT
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, before[1]))
    try:
        with pytest.raises(ToolError, match=r"cannot be written: .*Make room"):
            bring(publisher, partial)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert 0 < partial.stat().st_size <= 150_000
    resumed, _ = bring(publisher, partial)
    assert resumed
    assert partial.read_bytes() == CONTENT
