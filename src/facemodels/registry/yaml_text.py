"""YAML as DVC writes it, from text: pure."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import yaml

from facemodels.errors import ParamsError
from facemodels.registry.flat import plain

# YAML 1.2, which DVC writes, has 1e-05; YAML 1.1, which PyYAML reads, takes that for text.
_FLOAT = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)[eE][-+]?[0-9]+$")


def parse(text: str, where: str) -> dict[str, Any]:
    """A mapping of keys to values of JSON; an empty file is an empty one.

    Args:
        text: of the file.
        where: names the file in errors.

    Raises:
        ParamsError: the text is no YAML, or no mapping.
    """
    try:
        values = plain(yaml.load(text, Loader=_loader()))  # noqa: S506  (a safe loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ParamsError(
            f"{where} cannot be read: {' '.join(str(error).split())}.",
            "Was it edited by hand, or left in the middle of a merge?",
        ) from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ParamsError(f"{where} holds no mapping of keys to values.")
    return values


@cache
def _loader() -> type[yaml.SafeLoader]:
    """The safe loader, in C where PyYAML has it: ten times as fast."""
    base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    loader: type[yaml.SafeLoader] = type("_Loader", (base,), {})
    loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))
    return loader
