"""Packs a reading into a few bytes for the store, and unpacks it. Pure."""

from __future__ import annotations

import json
import math
import struct
import zlib
from typing import Any

from facemodels.monitoring.metrics.reading import (
    NOTHING_BESIDE,
    STATUSES,
    Histogram,
    Reading,
    SideCounts,
)

_FLOATS = struct.Struct("<6d")
_SIDE = struct.Struct(f"<{len(SideCounts._fields)}d")
_Bounds = tuple[float, ...]


def shape(reading: Reading) -> str:
    """The bounds of its buckets as text; many readings share them, so they are stored once."""
    return json.dumps([reading.latency.bounds, reading.inference.bounds])


def bounds_of(text: str) -> tuple[_Bounds, _Bounds]:
    """Read the bounds that `shape` wrote."""
    latency, inference = json.loads(text)
    return tuple(latency), tuple(inference)


def encode(reading: Reading) -> bytes:
    """Pack a reading: counts of 8 bytes each, mostly zeros, so compression leaves 150 of 600."""
    counts = (*reading.statuses, *reading.latency.counts, *reading.inference.counts)
    floats = (
        reading.latency.sum,
        reading.inference.sum,
        reading.memory_bytes,
        reading.in_flight,
        math.nan if reading.gpu_memory_bytes is None else reading.gpu_memory_bytes,
        math.nan if reading.gpu_load is None else reading.gpu_load,
    )
    packed = struct.pack(f"<{len(counts)}q", *counts) + _SIDE.pack(*reading.side)
    if reading.sampled_latency.bounds == reading.latency.bounds:
        sample = (*reading.sampled, *reading.sampled_latency.counts)
        packed += struct.pack(f"<{len(sample)}q", *sample)
    return zlib.compress(_FLOATS.pack(*floats) + packed, 1)


def decode(data: bytes, bounds: tuple[_Bounds, _Bounds]) -> Reading:
    """Unpack what `encode` packed.

    Raises:
        ValueError: the bytes are no packed reading.
    """
    latency, inference = bounds
    middle = len(STATUSES) + len(latency) + 1
    try:
        plain = zlib.decompress(data)
        floats = _FLOATS.unpack_from(plain)
        layout = struct.Struct(f"<{middle + len(inference) + 1}q")
        counts = layout.unpack_from(plain, _FLOATS.size)
        tail = plain[_FLOATS.size + layout.size :]  # earlier releases wrote none
        side = SideCounts(*_SIDE.unpack_from(tail)) if tail else NOTHING_BESIDE
        sample = struct.unpack(f"<{middle}q", tail[_SIDE.size :]) if tail[_SIDE.size :] else ()
    except (zlib.error, struct.error) as error:
        raise ValueError(f"no reading: {error}") from error
    return Reading(
        statuses=counts[: len(STATUSES)],
        latency=Histogram(latency, counts[len(STATUSES) : middle], floats[0]),
        inference=Histogram(inference, counts[middle:], floats[1]),
        memory_bytes=floats[2],
        in_flight=floats[3],
        gpu_memory_bytes=_known(floats[4]),
        gpu_load=_known(floats[5]),
        side=side,
        **_sample(sample, latency),
    )


def _sample(counts: tuple[int, ...], bounds: _Bounds) -> dict[str, Any]:
    """The parts of a reading that tell of the sample of one a client; none without it."""
    if not counts:
        return {}
    statuses, latency = counts[: len(STATUSES)], counts[len(STATUSES) :]
    return {"sampled": statuses, "sampled_latency": Histogram(bounds, latency, 0.0)}


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
