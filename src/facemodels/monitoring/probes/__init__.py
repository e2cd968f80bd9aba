"""Labelled probes, replayed through the live address: the accuracy of each version as it serves.

golden_set  reads and checks a set: images with labels (its format: docs/probes.md)
generate    makes a set from the prepared test split
client      sends a set to one version, and compares the answers with the labels
result      the counts and rates of one replay
replayer    replays the sets to all versions that serve, and stores the rates

Example:
    >>> from facemodels.monitoring.probes import OutcomeCounts
    >>> counts = OutcomeCounts(tp=8, fp=2, fn=0, tn=10)
    >>> counts.precision, counts.recall, counts.right
    (0.8, 1.0, 0.9)

A set is made once and replayed to a version:

    golden_set = make(root, "recognition", folder)
    result = replay("http://127.0.0.1:8080", golden_set, "rec-facenet-v2.1.3")
    result.accuracy  # None unless every probe was answered
"""

from facemodels.monitoring.probes.client import replay
from facemodels.monitoring.probes.generate import make
from facemodels.monitoring.probes.golden_set import GoldenSet, load
from facemodels.monitoring.probes.result import OutcomeCounts, ReplayResult

__all__ = ["GoldenSet", "OutcomeCounts", "ReplayResult", "load", "make", "replay"]
