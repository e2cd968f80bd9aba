"""Limits and sizes of the server, from conf/serving.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from facemodels.params import Frozen, load_yaml, parse

PATH = Path("conf", "serving.yaml")
Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0)]


class Limits(Frozen):
    """What one request may ask for; more is refused before it costs anything."""

    body_bytes: Count = 10_000_000
    pixels: Count = 50_000_000  # of one decoded image
    images: Count = 16  # a request
    rows: Count = 256  # of a raw tensor
    header_s: Seconds = 10.0  # until the head of a request is complete
    deadline_s: Seconds = 10.0  # from the head of a request to its answer
    queue: Count = 64  # requests in work or waiting; the next one is told to come back
    retry_after_s: Count = 1
    connections: Count = 4096
    grace_s: Seconds = 20.0  # from SIGTERM until what is in work is given up


class Batching(Frozen):
    """How concurrent requests are gathered into one run."""

    rows: Count = 16  # most images a run; 1 switches it off
    wait_ms: Annotated[float, Field(ge=0)] = 0.0  # for company; 0: take who is there already


class Serving(Frozen):
    """All of conf/serving.yaml."""

    limits: Limits = Limits()
    batching: Batching = Batching()
    workers: Count = 4  # threads that decode, resize and post-process


def load(path: Path = PATH) -> Serving:
    """The settings in a file, or the defaults where there is none.

    Raises:
        ParamsError: the file does not fit the schema.
    """
    return parse(Serving, load_yaml(path), str(path)) if path.is_file() else Serving()
