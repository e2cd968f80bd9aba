"""Where a version comes from: parents, code, data and parameters; as text, JSON and a drawing."""

from facemodels.registry.lineage.ancestry import Lineage
from facemodels.registry.lineage.as_text import mermaid, text
from facemodels.registry.lineage.drawing import draw
from facemodels.registry.lineage.trace import trace

__all__ = ["Lineage", "draw", "mermaid", "text", "trace"]
