"""Limits and sizes of the server, from conf/serving.yaml."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import Field

from facemodels.params import Frozen, load_yaml, parse
from facemodels.routes import Openable

PATH = Path("conf", "serving.yaml")
Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Wait = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Limits(Frozen):
    """What clients may ask for. The server refuses more before it costs anything.

    Attributes:
        body_bytes: size of the body of one request.
        head_bytes: size of the address and the headers of one request.
        headers: number of headers of one request.
        pixels: number of pixels of the decoded images of one request, together.
        working_pixels: number of pixels of a decoded image that a model works on; a larger one is
            decoded at a half of its sides, a quarter and so on. Boxes and points are of the file.
        decoded_bytes: memory for decoding images, of all requests; a request waits for its
            share for up to half of `deadline_s`, then 503.
        images: number of images of one request.
        rows: number of rows of a raw tensor.
        header_s: time until the head of a request is complete; then 408.
        body_s: time from the head of a request until its body is complete; then 408.
        deadline_s: time from a complete request to its answer; then 504.
        queue: number of requests in work or waiting; the next one gets 503. It gets 503 earlier
            where those before it would take more than half of `deadline_s`.
        buffer_bytes: size of the bodies of all requests, those still arriving included; then 503.
        retry_after_s: time after which a client that got 503 is told to come back.
        connections: number of connections; one more takes the place of the one that has been
            idle longest.
        idle_s: time that a connection without a request is kept; longer than a router keeps it.
        feedback: opinions on answers that count of one client an hour; the next one gets 429.
        drain_s: time after SIGTERM in which the server still answers but says that it is not
            ready, so that a router notices.
        grace_s: time after that until requests in work are given up.
    """

    body_bytes: Count = 10_000_000
    head_bytes: Count = 32_768
    headers: Count = 100
    pixels: Count = 50_000_000
    working_pixels: Count = 12_500_000
    decoded_bytes: Count = 240_000_000
    images: Count = 16
    rows: Count = 256
    header_s: Seconds = 10.0
    body_s: Seconds = 30.0
    deadline_s: Seconds = 10.0
    queue: Count = 64
    buffer_bytes: Count = 96_000_000
    retry_after_s: Count = 1
    connections: Count = 4096
    idle_s: Seconds = 120.0
    feedback: Count = 1000
    drain_s: Wait = 0.0
    grace_s: Seconds = 20.0


class Batching(Frozen):
    """How concurrent requests are gathered into one run of the model.

    Attributes:
        rows: most images in a run; 1 switches batching off.
        wait_ms: time that a run waits for more images; 0 takes those that are there already.
    """

    rows: Count = 16
    wait_ms: Wait = 0.0


class Serving(Frozen):
    """All of conf/serving.yaml.

    Attributes:
        limits: what clients may ask for.
        batching: how requests are gathered.
        workers: number of threads that decode, resize and post-process images.
        open: what is answered without a token, beside health; `page` is the page and that of
            the API alone, which hold nothing of the model and ask for a token themselves.
        origins: the origins whose web pages may ask from a browser (CORS), `*` for all.
        root_path: the prefix of all addresses behind a proxy, such as `/faces`.
        proxies: addresses or networks of proxies whose `X-Forwarded-For` is believed in the log.
    """

    limits: Limits = Limits()
    batching: Batching = Batching()
    workers: Count = 4
    open: tuple[Openable, ...] = ()
    origins: tuple[Annotated[str, Field(pattern=r"^(\*|https?://[^/]+)$")], ...] = ()
    root_path: Annotated[str, Field(pattern="^(/[A-Za-z0-9_.~-]+)*$")] = ""
    proxies: tuple[str, ...] = ("127.0.0.1", "::1")


def load(path: Path | None = None, root: Path = Path()) -> Serving:
    """Read the settings from a file.

    Args:
        path: the file; None for conf/serving.yaml, or for the defaults if that does not exist.
        root: of the repository.

    Raises:
        ParamsError: the file is missing or does not fit the schema.
    """
    default = root / PATH
    if path is None and not os.path.lexists(default):
        return Serving()
    chosen = path or default
    return parse(Serving, load_yaml(chosen), str(chosen))
