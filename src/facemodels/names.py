"""Parses names, versions, ids and package paths. Pure: no file is read.

name      recognition-facenet                 <task prefix>-<architecture>
version   2.1.3                               MAJOR.MINOR.PATCH
id        rec-facenet-v2.1.3[-gpu]            short; the full name and GTO's tag also parse
folder    models/recognition/facenet-v2.1.3[-gpu]
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal, get_args

from facemodels.errors import NameFormatError

# What a model does; also the name of the folder and of the package of the task. Models of the
# learned tasks have an architecture, weights and data of their own; a system is made of them.
LearnedTask = Literal["detection", "recognition", "landmarks"]
Task = Literal[LearnedTask, "system"]
LEARNED_TASKS: tuple[LearnedTask, ...] = get_args(LearnedTask)
TASKS: tuple[Task, ...] = get_args(Task)
# Short prefix in ids, and task, by prefix in names.
_TASKS: dict[str, tuple[str, Task]] = {
    "detection": ("det", "detection"),
    "recognition": ("rec", "recognition"),
    "landmark": ("lmk", "landmarks"),
    "system": ("sys", "system"),
}

_WORD = r"[a-z][a-z0-9_]{0,39}"
_PART = rf"{_WORD}(?:-(?!v[0-9]){_WORD}){{0,3}}"  # of several words for a system, as faces-sample
_SUFFIX = r"[a-z][a-z0-9]{0,39}"  # of a version: SemVer, hence GTO, has no underscore there
_NUMBER = r"(?:0|[1-9][0-9]{0,5})"
_NAME = re.compile(rf"(?P<task>{'|'.join(_TASKS)})-(?P<architecture>{_PART})")
_VERSION = re.compile(rf"(?P<major>{_NUMBER})\.(?P<minor>{_NUMBER})\.(?P<patch>{_NUMBER})")
_ID = re.compile(
    rf"(?P<task>{'|'.join([*_TASKS, *(short for short, _ in _TASKS.values())])})"
    rf"-(?P<architecture>{_PART})(?:-v|@v?)(?P<version>[0-9.]{{1,20}})(?:-(?P<variant>{_SUFFIX}))?"
)
_VARIANT = re.compile(_SUFFIX)


@dataclass(frozen=True, order=True)
class Version:
    """A semantic version (semver.org 2.0.0) without pre-release; versions compare as numbers.

    Attributes:
        major: rises where callers or stored data break.
        minor: rises with better accuracy or a new form.
        patch: rises with fixes, speed and size.
    """

    major: int
    minor: int
    patch: int

    @classmethod
    def parse(cls, text: str) -> Version:
        """Parse `2.1.3` (a leading `v` is allowed).

        Raises:
            NameFormatError: the text is not three plain numbers.
        """
        match = _VERSION.fullmatch(text.removeprefix("v"))
        if match is None:
            raise NameFormatError(
                f"{text!r} is not a version.", "Write MAJOR.MINOR.PATCH, for example 2.1.3."
            )
        return cls(*(int(part) for part in match.groups()))

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


@dataclass(frozen=True)
class ModelName:
    """The name of a model, the same for all its versions, for example `recognition-facenet`.

    Attributes:
        prefix: `detection`, `recognition`, `landmark` or `system`.
        architecture: the architecture, which is one word in lower case, as `facenet`; or the
            name of the system, which may have hyphens, as `faces-sample`.
    """

    prefix: str
    architecture: str

    @classmethod
    def parse(cls, text: str) -> ModelName:
        """Parse `recognition-facenet`.

        Raises:
            NameFormatError: the text is not `<task>-<architecture>` in lower case.
        """
        match = _NAME.fullmatch(text)
        if match is None:
            raise NameFormatError(
                f"{text!r} is not a model name.",
                f"Write one of {', '.join(f'{task}-' for task in _TASKS)} and the architecture "
                "in lower case, for example recognition-facenet.",
            )
        return cls(match["task"], match["architecture"])

    def __post_init__(self) -> None:
        if "-" in self.architecture and self.task != "system":
            raise NameFormatError(
                f"{self} is not a model name: {self.architecture!r} is not one word.",
                "An architecture is a word of lower-case letters, digits and `_`.",
            )

    @property
    def task(self) -> str:
        """The folder and package of the task, such as `landmarks`."""
        return _TASKS[self.prefix][1]

    def __str__(self) -> str:
        return f"{self.prefix}-{self.architecture}"


@dataclass(frozen=True)
class ModelId:
    """The id of one version of one model.

    Attributes:
        name: the name of the model.
        version: its version.
        variant: a word for another build of the same version, such as `gpu`; "" for the plain one.
    """

    name: ModelName
    version: Version
    variant: str = ""

    def __post_init__(self) -> None:
        if self.variant and not _VARIANT.fullmatch(self.variant):
            raise NameFormatError(
                f"{self.variant!r} is not a variant.",
                "Write lower-case letters and digits, for example gpu.",
            )

    @classmethod
    def parse(cls, text: str) -> ModelId:
        """Parse `rec-facenet-v2.1.3`, `recognition-facenet-v2.1.3` or `recognition-facenet@v2.1.3`.

        Where a version stands behind an @ its v may be left out.

        Raises:
            NameFormatError: the text has none of these forms.
        """
        match = _ID.fullmatch(text)
        if match is None and _NAME.fullmatch(text):
            raise NameFormatError(
                f"{text} is a model; which version of it?",
                f"Write {text}@v1.0.0, for example; `facemodels registry models` lists them.",
            )
        if match is None:
            raise NameFormatError(f"{text!r} is not a model id.", "Write it as rec-facenet-v2.1.3.")
        shorts = {short: prefix for prefix, (short, _) in _TASKS.items()}
        prefix = shorts.get(match["task"], match["task"])
        name = ModelName(prefix, match["architecture"])
        return cls(name, Version.parse(match["version"]), match["variant"] or "")

    @property
    def folder(self) -> PurePosixPath:
        """The path of the package from the root of the repository."""
        return PurePosixPath("models", self.name.task, self._versioned(self.name.architecture))

    def _versioned(self, stem: str) -> str:
        return f"{stem}-v{self.version}" + (f"-{self.variant}" if self.variant else "")

    def __str__(self) -> str:
        return self._versioned(f"{_TASKS[self.name.prefix][0]}-{self.name.architecture}")
