"""Gets the package of a registered version from the workspace, DVC's cache or a remote."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from facemodels import dvc_files
from facemodels.errors import IntegrityError, ToolError
from facemodels.files import sha256
from facemodels.names import ModelId
from facemodels.package.load import Package, open_package
from facemodels.package.policies import policy_of
from facemodels.package.signature import signature_path
from facemodels.package.verify import CHECKSUMS, verify
from facemodels.registry.state import Entry


@contextmanager
def obtain(root: Path, entry: Entry, named: Path | None = None) -> Iterator[Package]:
    """Give the verified package of a version to a `with` block.

    Args:
        root: the top folder of the repository.
        entry: the version.
        named: the policy that says who must have signed; None takes the repository's.

    Raises:
        IntegrityError: what DVC gives is not the package that was registered.
        ToolError: neither the workspace nor the cache nor the remote has it.
    """
    path = str(entry.facts.get("path") or ModelId.parse(entry.id).folder)
    here = root / path
    policy = policy_of(here, named, here=root)
    broken: IntegrityError | None = None
    if is_registered(here, entry):
        try:
            verify(here)
        except IntegrityError as error:
            broken = error  # edited or half written; DVC may have the registered bytes
        else:
            yield open_package(here, signature=policy)
            return
    with tempfile.TemporaryDirectory(prefix="facemodels-") as scratch:
        folder = Path(scratch) / Path(path).name
        try:
            fetch(root, path, entry.event.commit, folder)
        except ToolError:
            if broken is not None:
                raise broken from None
            raise
        if signature_path(here).is_file():
            shutil.copyfile(signature_path(here), signature_path(folder))
        package = open_package(folder, signature=policy)
        recorded = entry.evidence.get("package")
        if recorded and recorded != f"sha256:{package.digest}":
            raise IntegrityError(
                f"the package that commit {entry.event.commit[:10]} gives for {entry.id} is "
                "not the one that was registered.",
                "Do not use it; see `facemodels registry audit`.",
            )
        yield package


def is_registered(folder: Path, entry: Entry) -> bool:
    """Whether a folder says, by the digest of its checksums, that it is a version's package.

    The files themselves are not read; `verify` does that. A version that was registered without
    a digest (by GTO, for example) can be proven by no folder, so the answer is False for it.

    Args:
        folder: the package, or what may be one.
        entry: the version as the registry has it.
    """
    checksums = folder / CHECKSUMS
    recorded = entry.evidence.get("package")
    return checksums.is_file() and recorded == f"sha256:{sha256(checksums)}"


def fetch(root: Path, path: str, commit: str, folder: Path) -> None:
    """Copy a tracked folder as it was at a commit, from the cache or the present remotes.

    Raises:
        ToolError: DVC cannot get it.
    """
    from dvc.api import DVCFileSystem

    # The remotes of that commit may be gone, and credentials were never in it.
    today = dvc_files.read_remotes(root)
    config = (
        {"core": {"remote": today.default}, "remote": today.settings} if today.default else None
    )
    try:
        filesystem = DVCFileSystem(str(root), rev=commit, config=config)
        filesystem.get(f"/{path}", str(folder), recursive=True)
    # DVC lets the errors of all its parts through (its index, S3, SSH), which share no base.
    except Exception as error:
        raise ToolError(
            f"{path} of commit {commit[:10]} is not to be had: {_reason(error)}.",
            "Check the DVC remote (`dvc remote list`) and your access to it. Perhaps its maker has "
            "not pushed the weights yet: `dvc push` in that clone.",
        ) from error


def _reason(error: BaseException) -> str:
    """What a store said, below what DVC's index makes of it."""
    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, FileNotFoundError):
        return "neither the cache nor the remote has it"
    return f"{type(error).__name__}: {error}".rstrip(".")
