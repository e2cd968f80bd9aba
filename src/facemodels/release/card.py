"""Edits the version card in conf/, text to text; comments and layout are kept. Pure."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

from facemodels.errors import InputError

_WIDTH = 4096  # columns; no line is folded that was not


@dataclass(frozen=True)
class CardWords:
    """What a release writes into a model's card.

    Attributes:
        version: the new version number.
        created_at: the time of the release in UTC, in ISO 8601.
        changelog: what is new.
        parent_version: the version number before it.
    """

    version: str
    created_at: str
    changelog: str
    parent_version: str


def edit_card(text: str, words: CardWords, where: str) -> str:
    """Write the words of a release into the conf file of a model.

    A card that has the version already keeps its date. The date belongs to the version, and not
    to the command that continued its release.

    Args:
        text: the text of conf/model/<name>.yaml.
        words: what is written into it.
        where: the name of the file in errors.

    Raises:
        InputError: the file has no card.
    """
    yaml, values = _load(text, where)
    card = values.get("card")
    if not isinstance(card, dict) or "version" not in values:
        raise InputError(f"{where} has no version and card.", "Restore it with `git restore`.")
    same = str(values["version"]) == words.version and card.get("created_at")
    changes = {"changelog": words.changelog, "parent_version": words.parent_version}
    if not same:
        changes["created_at"] = words.created_at
    _set(values, "version", words.version)
    for key, value in changes.items():
        _set(card, key, value)
    return _dump(yaml, values)


def edit_baseline(text: str, task: str, folder: str, where: str) -> str:
    """Write another baseline for a task into the text of conf/config.yaml.

    Raises:
        InputError: the file has no `compare.baselines`.
    """
    yaml, values = _load(text, where)
    baselines = (values.get("compare") or {}).get("baselines")
    if not isinstance(baselines, dict):
        raise InputError(f"{where} has no compare.baselines.", "Restore it with `git restore`.")
    _set(baselines, task, folder)
    return _dump(yaml, values)


def baseline(text: str, task: str, where: str) -> str:
    """Read the baseline that conf/config.yaml pins for a task; "" for none.

    Raises:
        InputError: the file cannot be read.
    """
    _, values = _load(text, where)
    return str(((values.get("compare") or {}).get("baselines") or {}).get(task) or "")


def version(text: str, where: str) -> str:
    """Read the version that the conf file of a model names.

    Raises:
        InputError: the file cannot be read.
    """
    _, values = _load(text, where)
    return str(values.get("version", ""))


def _set(values: Any, key: str, value: str) -> None:
    """Change a value and keep the quotes of the old one; an equal value is left as it is."""
    old = values.get(key)
    if isinstance(old, str) and old == value:
        return
    from ruamel.yaml.scalarstring import (
        DoubleQuotedScalarString,
        LiteralScalarString,
        SingleQuotedScalarString,
    )

    if "\n" in value:
        values[key] = LiteralScalarString(value)
    elif isinstance(old, DoubleQuotedScalarString | SingleQuotedScalarString):
        values[key] = type(old)(value)
    else:
        values[key] = value


def _load(text: str, where: str) -> tuple[Any, Any]:
    from ruamel.yaml.error import YAMLError

    yaml = _yaml()
    try:
        values = yaml.load(text)
    except YAMLError as error:
        raise InputError(f"{where} cannot be read: {error}.") from error
    if not isinstance(values, dict):
        raise InputError(f"{where} holds no mapping of keys to values.")
    return yaml, values


def _yaml() -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.representer import RoundTripRepresenter

    class Representer(RoundTripRepresenter):
        """Writes `null` where ruamel writes nothing."""

    Representer.add_representer(
        type(None), lambda self, _: self.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    yaml = YAML()
    yaml.Representer = Representer
    yaml.preserve_quotes = True
    yaml.width = _WIDTH
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def _dump(yaml: Any, values: Any) -> str:
    stream = io.StringIO()
    yaml.dump(values, stream)
    return stream.getvalue()
