"""The page at `/`: one answer without anything to fetch, put together of the files here.

The scripts share one scope, in the order of `_SCRIPTS`: `base` holds what all use, a file for each
task says what the page asks and draws for it, and `start` begins when everything is there.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

_SCRIPTS = (
    "base", "upload", "pictures", "camera", "detection", "landmarks", "comparison", "galleries",
    "system", "start",
)  # fmt: skip


@cache
def page() -> str:
    """The whole page as HTML, with its style and its scripts in it."""
    script = "\n".join(_text(f"{name}.js") for name in _SCRIPTS)
    return _text("page.html").replace("{style}", _text("page.css")).replace("{script}", script)


def _text(name: str) -> str:
    return resources.files(__name__).joinpath(name).read_text("utf-8")
