"""A page with status 200 is not taken for the list of an empty bucket."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import s3fs

from facemodels.storage.stores.s3_listing import list_one

PORTAL = b"<html><body>Welcome. Please log in to use this network.</body></html>"
EMPTY = (
    b'<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    b"<Name>faces</Name><KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>"
)


@pytest.fixture
def store(request: pytest.FixtureRequest) -> Iterator[s3fs.S3FileSystem]:
    """A store whose server gives one answer to everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", str(len(request.param)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(request.param)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield s3fs.S3FileSystem(
        key="k",
        secret="s",  # noqa: S106
        endpoint_url=f"http://127.0.0.1:{server.server_port}",
        skip_instance_cache=True,
    )
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("store", [PORTAL], indirect=True)
def test_the_page_of_a_portal_is_an_error(store: s3fs.S3FileSystem) -> None:
    assert store.find("faces/files/md5") == ["faces/files/md5"]  # what s3fs makes of it
    with pytest.raises(OSError, match="a portal or a proxy"):
        list_one(store, "faces/files/md5")


@pytest.mark.parametrize("store", [EMPTY], indirect=True)
def test_an_empty_list_is_one(store: s3fs.S3FileSystem) -> None:
    assert list_one(store, "faces/files/md5")["IsTruncated"] is False
