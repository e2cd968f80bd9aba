"""Labelled probes, replayed through the live address: how right each version is while it serves."""

from facemodels.rollout.probes.golden import Probes, load
from facemodels.rollout.probes.live import replay
from facemodels.rollout.probes.making import make
from facemodels.rollout.probes.result import Changes, Counts, Result, changes, drop

__all__ = ["Changes", "Counts", "Probes", "Result", "changes", "drop", "load", "make", "replay"]
