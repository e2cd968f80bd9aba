"""What differs between two versions."""

from facemodels.provenance.difference.as_text import text
from facemodels.provenance.difference.compare import compare
from facemodels.provenance.difference.values import VersionDifference

__all__ = ["VersionDifference", "compare", "text"]
