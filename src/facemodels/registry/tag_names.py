"""The names of tags, in GTO's shape: pure.

recognition-facenet@v2.1.3         registered
recognition-facenet@v2.1.3!        deregistered
recognition-facenet#production#4   assigned to a stage, as the model's fourth such act
recognition-facenet#production!#5  taken from a stage
recognition-facenet@deprecated     the whole model is deprecated
recognition-facenet@v3.0.0-rc.1    foreign: GTO reads a version there that we have no name for

Source: `tag_re` in gto/constants.py (GTO 1.10). Tags of other artifacts and stages with a
slash are not events of the registry.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from facemodels.errors import NameFormatError
from facemodels.names import ModelId, ModelName

Act = Literal["register", "deregister", "assign", "unassign", "deprecate-model", "foreign"]

_TAG = re.compile(
    r"(?P<model>[a-z][a-z0-9_-]*)"
    r"(?:(?:@v(?P<version>[0-9a-zA-Z.+-]+)|\#(?P<stage>[a-zA-Z0-9](?:[\w-]*[a-zA-Z0-9])?))"
    r"(?P<cancel>!?)|@(?P<word>deprecated|created))"
    r"(?:\#(?P<counter>[0-9]{1,4000}))?",  # Python reads no number longer than that
    re.ASCII,
)
# semver.org, question "Is there a suggested regular expression"; what GTO takes after `@v`.
_SEMVER = re.compile(
    r"(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)"
    r"(?:-(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*)?"
    r"(?:\+[0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*)?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class TagName:
    """What a tag's name says.

    Attributes:
        act: what the tag does.
        model: the name of the model.
        version: the id of the version; "" for a stage's tag, which names none.
        stage: the stage, for assign and unassign.
        counter: GTO's number over all stages of the model; 0 where there is none.
    """

    act: Act
    model: str
    version: str = ""
    stage: str = ""
    counter: int = 0


@lru_cache(maxsize=1024)
def _is_model(name: str) -> bool:
    try:
        ModelName.parse(name)
    except NameFormatError:
        return False
    return name[-1] != "_"  # GTO's names end in a letter or a digit


# A sync sees each name here, on the remote, and with its event.
@lru_cache(maxsize=1 << 17)
def parse(tag: str) -> TagName | None:
    """Read a tag's name; None if it is no event of the registry."""
    match = _TAG.fullmatch(tag)
    if match is None:
        return None
    model, version, stage = match["model"], match["version"], match["stage"]
    counter = int(match["counter"] or 0)
    if not _is_model(model):
        return None
    if version:
        try:
            identity = str(ModelId.parse(f"{model}@v{version}"))
        except NameFormatError:
            foreign = TagName("foreign", model, counter=counter)
            return foreign if _SEMVER.fullmatch(version) else None
        act: Act = "deregister" if match["cancel"] else "register"
        return TagName(act, model, identity, counter=counter)
    if stage:
        return TagName(
            "unassign" if match["cancel"] else "assign", model, stage=stage, counter=counter
        )
    act = "deprecate-model" if match["word"] == "deprecated" else "foreign"
    return TagName(act, model, counter=counter)


def register(model: ModelId) -> str:
    """The tag that registers a version, for example `recognition-facenet@v2.1.3`.

    Raises:
        NameFormatError: GTO has no such name.
    """
    if not _is_model(str(model.name)):
        raise NameFormatError(
            f"{model.name} cannot be a tag: names end in a letter or a digit.",
            "Give the architecture another name.",
        )
    return f"{model.name}@v{model.version}" + (f"-{model.variant}" if model.variant else "")


def assign(model: ModelName, stage: str, last: int) -> str:
    """The tag that gives a version of `model` a stage.

    Args:
        model: the name of the model.
        stage: the stage.
        last: the highest number so far; GTO counts over all stages of a model.
    """
    return f"{model}#{stage}#{last + 1}"


def unassign(model: ModelName, stage: str, last: int) -> str:
    """The tag that takes a version of `model` from a stage; see `assign`."""
    return f"{model}#{stage}!#{last + 1}"
