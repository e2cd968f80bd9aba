"""Labelled probes, replayed through the live address: how right each version is while it serves."""

from facemodels.monitoring.probes.client import replay
from facemodels.monitoring.probes.generate import make
from facemodels.monitoring.probes.golden_set import GoldenSet, load
from facemodels.monitoring.probes.result import OutcomeCounts, ReplayResult

__all__ = [
    "GoldenSet",
    "OutcomeCounts",
    "ReplayResult",
    "load",
    "make",
    "replay",
]
