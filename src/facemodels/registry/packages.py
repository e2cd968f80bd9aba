"""Getting the package of a registered version: from the workspace, DVC's cache or a remote."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from facemodels.errors import FacemodelsError, IntegrityError, ToolError
from facemodels.files import sha256
from facemodels.names import ModelId
from facemodels.package.load import Package, open_package
from facemodels.package.verify import CHECKSUMS
from facemodels.registry.state import Entry


@contextmanager
def obtain(root: Path, entry: Entry) -> Iterator[Package]:
    """The verified package of a version, for as long as the block runs.

    Args:
        root: of the repository.
        entry: the version.

    Raises:
        IntegrityError: what DVC gives is not the package that was registered.
        ToolError: neither the workspace nor the cache nor the remote has it.
    """
    path = str(entry.facts.get("path") or ModelId.parse(entry.id).folder)
    here = root / path
    if _is_registered(here, entry):
        yield open_package(here)
        return
    with tempfile.TemporaryDirectory(prefix="facemodels-") as scratch:
        folder = Path(scratch) / Path(path).name
        fetch(root, path, entry.event.commit, folder)
        package = open_package(folder)
        recorded = entry.evidence.get("package")
        if recorded and recorded != f"sha256:{package.digest}":
            raise IntegrityError(
                f"the package that commit {entry.event.commit[:10]} gives for {entry.id} is "
                "not the one that was registered.",
                "Do not use it; see `facemodels registry audit`.",
            )
        yield package


def _is_registered(folder: Path, entry: Entry) -> bool:
    """Whether the workspace has the very package; one in the making has another digest."""
    checksums = folder / CHECKSUMS
    recorded = entry.evidence.get("package")
    return checksums.is_file() and recorded == f"sha256:{sha256(checksums)}"


def fetch(root: Path, path: str, commit: str, folder: Path) -> None:
    """Copy a tracked folder as it was at a commit, from the cache or the remotes of today.

    Raises:
        ToolError: DVC cannot get it.
    """
    from dvc.api import DVCFileSystem
    from dvc.config import Config
    from dvc.exceptions import DvcException

    config = Config.load_file(str(root / ".dvc" / "config"))
    # The remotes of that commit may be gone; the credentials were never in it.
    local = root / ".dvc" / "config.local"
    if local.is_file():
        for section, values in Config.load_file(str(local)).items():
            _merge(config, section, values)
    try:
        filesystem = DVCFileSystem(str(root), rev=commit, config=config)
        filesystem.get(f"/{path}", str(folder), recursive=True)
    except (DvcException, OSError, FacemodelsError) as error:
        raise ToolError(
            f"{path} of commit {commit[:10]} is not to be had: {error}.",
            "Check the DVC remote (`dvc remote list`) and your access to it.",
        ) from error


def _merge(config: dict[str, dict[str, object]], section: str, values: dict[str, object]) -> None:
    target = config.setdefault(section, {})
    for key, value in values.items():
        known = target.get(key)
        if isinstance(known, dict) and isinstance(value, dict):
            known.update(value)
        else:
            target[key] = value
