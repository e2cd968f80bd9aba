"""Where a version comes from: parents, code, data and parameters; as text, JSON and a drawing.

Modules in reading order:

inputs       what one package was made of (values)
dvc_lock     finds the inputs in dvc.lock, `.dvc` files and params.yaml (pure)
ancestry     a version and its ancestors, and what differs from parent to child (values)
trace        reads a version and its ancestors from the registry and from Git
as_text      a lineage as text for the terminal and as a Mermaid flowchart (pure)
graph        a lineage as a graph whose nodes have positions (pure)
drawing      draws that graph as SVG
"""

from facemodels.provenance.lineage.ancestry import Lineage
from facemodels.provenance.lineage.as_text import mermaid, text
from facemodels.provenance.lineage.drawing import draw
from facemodels.provenance.lineage.trace import trace

__all__ = ["Lineage", "draw", "mermaid", "text", "trace"]
