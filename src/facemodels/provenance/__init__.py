"""Where a version comes from, and what differs between two versions, read from Git alone.

Modules and packages in reading order:

flat         nested values as flat keys, and the changes between two of them (pure)
lineage      the parents, code, data and parameters of a version; as text, Mermaid and SVG
difference   two versions side by side: metrics, interface, parameters, data, code

Example:
    >>> from pathlib import Path
    >>> from facemodels.provenance.lineage import text, trace
    >>> from facemodels.registry.registry import open_registry
    >>> registry = open_registry(Path("."))  # doctest: +SKIP
    >>> state = registry.repository.state()  # doctest: +SKIP
    >>> print(text(trace(registry.git, state, "rec-facenet-v2.1.3")))  # doctest: +SKIP
    ● rec-facenet-v2.1.3  production  2026-01-02T03:04:05Z
"""
