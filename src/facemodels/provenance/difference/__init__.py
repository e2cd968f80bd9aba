"""What differs between two versions of a task.

Modules in reading order:

values       the parts of a difference, and how each is computed from recorded values (pure)
compare      reads both versions from the registry and from Git
as_text      a difference as text for the terminal (pure)
"""

from facemodels.provenance.difference.as_text import text
from facemodels.provenance.difference.compare import compare
from facemodels.provenance.difference.values import VersionDifference

__all__ = ["VersionDifference", "compare", "text"]
