"""Limits and sizes of the server, from conf/serving.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from facemodels.params import Frozen, load_yaml, parse

PATH = Path("conf", "serving.yaml")
Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Wait = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Limits(Frozen):
    """What clients may ask for; more is refused before it costs anything."""

    # one request
    body_bytes: Count = 10_000_000
    head_bytes: Count = 32_768  # address and headers
    headers: Count = 100
    pixels: Count = 50_000_000  # of the decoded images of a request, together
    images: Count = 16
    rows: Count = 256  # of a raw tensor
    header_s: Seconds = 10.0  # until its head is complete
    deadline_s: Seconds = 10.0  # from its head to its answer
    # all requests together
    queue: Count = 64  # in work or waiting; the next one is told to come back
    buffer_bytes: Count = 256_000_000  # of their bodies, those still on their way included
    retry_after_s: Count = 1
    # connections
    connections: Count = 4096  # one more takes the place of the one that idled longest
    idle_s: Seconds = 120.0  # kept alive without a request; longer than a router keeps its own
    # the end
    drain_s: Wait = 0.0  # from SIGTERM on not ready, but answering, so that a router notices
    grace_s: Seconds = 20.0  # after that, until what is in work is given up


class Batching(Frozen):
    """How concurrent requests are gathered into one run."""

    rows: Count = 16  # most images a run; 1 switches it off
    wait_ms: Wait = 0.0  # for company; 0: take who is there already


class Serving(Frozen):
    """All of conf/serving.yaml."""

    limits: Limits = Limits()
    batching: Batching = Batching()
    workers: Count = 4  # threads that decode, resize and post-process


def load(path: Path | None = None) -> Serving:
    """The settings in a file.

    Args:
        path: without it conf/serving.yaml, or the defaults where that does not exist.

    Raises:
        ParamsError: the file is missing or does not fit the schema.
    """
    if path is None and not PATH.is_file():
        return Serving()
    chosen = path or PATH
    return parse(Serving, load_yaml(chosen), str(chosen))
