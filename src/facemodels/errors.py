"""Every error that a user can meet, in one tree.

FacemodelsError            exit code 1: the work failed
├── InputError             exit code 2: a path, name, version, flag or parameter is wrong
│   ├── NameFormatError    a name, version or id that does not parse
│   └── ParamsError        params.yaml or a config file does not fit its schema
├── DataError              exit code 1: a dataset is missing, broken or breaks its rules
│   └── ImageError         (imaging/arrays.py) an image cannot be used
├── IntegrityError         exit code 3: files, tags or signatures are not what was signed off
├── GateError              exit code 4: a model is below a gate
├── RuleError              exit code 5: a rule of the registry refuses the act
├── ConflictError          exit code 6: someone else was faster; nothing was changed
└── ToolError              exit code 1: git, dvc or another program failed
    ├── GitError           (git.py) a git command failed
    ├── AccessError        (storage/stores/errors.py) a store refuses the credentials or the act
    ├── FullError          (likewise) there is no room for the bytes
    └── TransientError     (likewise) a store does not answer; a later attempt may succeed

A message says what is wrong, where, and what to do about it.

Two errors are not in the tree, as no user meets them: BadAnnotationError (data/problems.py) ends
the reading of one annotation and becomes a row of the report; RequestError (serving/http/errors.py)
becomes the answer to an HTTP request.
"""

from __future__ import annotations


class FacemodelsError(Exception):
    """Base of all errors raised on purpose by this package.

    Args:
        what: what is wrong, and where (a path, a key, a value).
        remedy: what the reader can do about it.
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
        what: which folder failed.
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
        detail = "; ".join(f"{kind}: {', '.join(paths)}" for kind, paths in listed if paths)
        super().__init__(f"{what} ({detail})." if detail else what, remedy)


class GateError(FacemodelsError):
    """A model's metric is on the wrong side of its gate."""

    exit_code = 4


class RuleError(FacemodelsError):
    """A rule of the registry refuses the act: a status, a version bump, a role."""

    exit_code = 5


class ConflictError(FacemodelsError):
    """Someone else changed the same thing first; nothing of ours was kept."""

    exit_code = 6


class ToolError(FacemodelsError):
    """A program we run, such as git or dvc, failed."""
