"""Where a version comes from: parents, code, data and parameters; as text, JSON and a drawing."""

from facemodels.provenance.lineage.ancestry import Lineage
from facemodels.provenance.lineage.as_text import mermaid, text
from facemodels.provenance.lineage.drawing import draw
from facemodels.provenance.lineage.trace import trace

__all__ = ["Lineage", "draw", "mermaid", "text", "trace"]
