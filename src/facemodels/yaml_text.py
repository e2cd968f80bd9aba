"""The text of a YAML file as values that JSON has, fast."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import yaml

from facemodels.errors import ParamsError

# YAML 1.2, which DVC writes, has 1e-05; YAML 1.1, which PyYAML reads, takes that for text.
_FLOAT = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)[eE][-+]?[0-9]+$")


def parse_yaml(text: str, where: str) -> dict[str, Any]:
    """Parse YAML that holds a mapping into values that JSON has; an empty file gives an empty one.

    Args:
        text: the text of the file.
        where: the name of the file in errors.

    Raises:
        ParamsError: the text is no YAML, or holds no mapping.
    """
    try:
        values = plain(yaml.load(text, Loader=loader()))  # noqa: S506  (a safe loader)
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
def loader() -> type[yaml.SafeLoader]:
    """Make a safe loader, in C where PyYAML has it, which is ten times as fast."""
    base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    made: type[yaml.SafeLoader] = type("_Loader", (base,), {})
    made.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))
    return made


def plain(value: Any) -> Any:
    """Turn a value of YAML into one that JSON has: text keys, no dates, no NaN.

    Raises:
        RecursionError: the value contains itself.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, str | int | float):
        return value
    return str(value)
