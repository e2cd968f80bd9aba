"""Labelled probes, replayed through the live address: how right each version is while it serves."""

from facemodels.monitoring.probes.golden import Probes, load
from facemodels.monitoring.probes.live import replay
from facemodels.monitoring.probes.making import make
from facemodels.monitoring.probes.result import Changes, Counts, Result, changes, drop

__all__ = ["Changes", "Counts", "Probes", "Result", "changes", "drop", "load", "make", "replay"]
