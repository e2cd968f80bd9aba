"""Every error that a user can meet, in one tree.

FacemodelsError            exit code 1: the work failed
├── InputError             exit code 2: a path, name, version, flag or parameter is wrong
│   ├── NameFormatError    exit code 2: a name, version or id does not parse
│   ├── SpaceError         exit code 2: a gallery has faces of other embedding spaces only
│   ├── FaceError          exit code 2: a photo has no face that can be enrolled or searched
│   └── ParamsError        exit code 2: params.yaml or a config file does not fit its schema
├── DataError              exit code 1: a dataset is missing, broken or breaks its rules
│   ├── BadAnnotationError exit code 1: one annotation of a dataset cannot be used
│   └── ImageError         exit code 1: an image cannot be decoded or is too large
├── IntegrityError         exit code 3: files, tags or signatures are not what was signed off
├── DivergedError          exit code 1: a loss, weight or metric of a training is not finite
├── GateError              exit code 4: a model is below a gate
├── RuleError              exit code 5: a rule of the registry refuses the act
├── SealError              exit code 1: a stage did what dvc.yaml does not declare
├── ConflictError          exit code 6: someone else was faster; nothing was changed
└── ToolError              exit code 1: git, dvc or another program or service failed
    ├── GitError           exit code 1: a git command failed
    ├── AccessError        exit code 1: an object store refuses the credentials
    ├── FullError          exit code 1: an object store or a disk has no room left
    └── TransientError     exit code 1: an object store did not answer as it should

The classes with more context of their own are defined beside the code that raises them:
`BadAnnotationError` in data.problems, `ImageError` in imaging.arrays, `DivergedError` in
training.finite, `SealError` in sealing.judgement, `GitError` in git,
`SpaceError` and `FaceError` in gallery, and the errors of object stores in storage.stores.errors.

A message says what is wrong, where, and what to do about it.

These exceptions are outside of the tree, because none of them ever ends a command:

- `RequestError` (serving.http.errors) is an answer of the HTTP server. It carries a status of
  HTTP for the client instead of an exit code, and a text that must not name anything of the
  server, where messages of this tree name paths.
- `TooMuchMemoryError` (serving.engine.budget) becomes the answer 413.
- `NoMemoryLeftError` (serving.engine.budget) becomes the answer 503.
- `AbandonedError` (serving.engine.inference) ends the work of a client that left.
- `Disconnected` (serving.http.exchange) says that a client left; nothing failed.
- `_RefusedError` (serving.http.connection) leaves the callbacks of the HTTP parser and is caught
  in the same module.
- `_Failed` (monitoring.probes.client) is one failed probe and is counted in the same module.
"""

from __future__ import annotations

from collections.abc import Iterable


def some(names: Iterable[str], shown: int = 5) -> str:
    """Join names for a message; of more than `shown` the first, and how many there are beside."""
    found = list(names)
    more = f" and {len(found) - shown} more" if len(found) > shown else ""
    return ", ".join(found[:shown]) + more


class FacemodelsError(Exception):
    """The base class of all errors that this library raises on purpose.

    Args:
        what: a sentence that says what is wrong, and where (a path, a key, a value).
        remedy: a sentence that says what the reader can do about it.

    Attributes:
        exit_code: the exit code of a command that this error ends.
    """

    exit_code = 1

    def __init__(self, what: str, remedy: str = "") -> None:
        self.what = what
        self.remedy = remedy
        super().__init__(f"{what} {remedy}".strip())


class InputError(FacemodelsError):
    """Something the user typed or pointed at is wrong."""

    exit_code = 2


class NameFormatError(InputError):
    """A model name, version or id does not parse."""


class ParamsError(InputError):
    """A parameter file does not fit its schema."""


class DataError(FacemodelsError):
    """A dataset is missing, broken, or breaks a rule such as disjoint identities."""


class IntegrityError(FacemodelsError):
    """Files on disk are not the files that were signed off.

    Args:
        what: says which folder or file is wrong; the lists are appended to it.
        remedy: a sentence that says what the reader can do about it.
        extra: paths present but not listed.
        missing: paths listed but absent.
        changed: paths whose digest differs.
    """

    exit_code = 3

    def __init__(
        self,
        what: str,
        remedy: str = "",
        *,
        extra: tuple[str, ...] = (),
        missing: tuple[str, ...] = (),
        changed: tuple[str, ...] = (),
    ) -> None:
        self.extra = extra
        self.missing = missing
        self.changed = changed
        listed = (("extra", extra), ("missing", missing), ("changed", changed))
        detail = "; ".join(f"{kind}: {some(paths, 10)}" for kind, paths in listed if paths)
        super().__init__(f"{what} ({detail})." if detail else f"{what.rstrip('.')}.", remedy)


class GateError(FacemodelsError):
    """A metric of a model does not reach its gate."""

    exit_code = 4


class RuleError(FacemodelsError):
    """A rule of the registry refuses the act: a status, a version bump, a role."""

    exit_code = 5


class ConflictError(FacemodelsError):
    """Someone else changed the same thing first; this command changed nothing."""

    exit_code = 6


class ToolError(FacemodelsError):
    """A program or a service that this library uses, such as git or an object store, failed."""
