"""What differs between two versions."""

from facemodels.registry.difference.as_text import text
from facemodels.registry.difference.compare import compare
from facemodels.registry.difference.values import Difference

__all__ = ["Difference", "compare", "text"]
