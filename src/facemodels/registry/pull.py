"""Brings the package of a version to a machine that has no clone, as a container of a pod does."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from facemodels.errors import IntegrityError, ToolError
from facemodels.files import refuse_file, sha256
from facemodels.git import Git
from facemodels.package.verify import CHECKSUMS, verify
from facemodels.registry.packages import obtain
from facemodels.registry.registry import open_registry


def pull(model: str, repository: str, output: Path, *, digest: str = "") -> str:
    """Copy the verified package of a version into a folder.

    The repository is cloned, so that its tags name the version, its present remotes hold the bytes
    and its conf/signing.yaml says who must have signed. A folder that holds the package already is
    verified again and kept.

    Args:
        model: the id of the version.
        repository: the URL or the folder of the Git repository.
        output: the folder of the package; it appears whole or not at all.
        digest: `sha256:…` of the package that is meant; "" takes what the tags name.

    Returns:
        The digest of the package, `sha256:…`.

    Raises:
        InputError: the version is not registered, or the folder holds something else.
        IntegrityError: the bytes are not those that were registered, or not those of `digest`.
        ToolError: the repository or the package is not to be had.
    """
    refuse_file(output)
    if output.exists():
        return _present(output, digest)
    local = Path(repository)
    source = str(local.resolve()) if local.is_dir() else repository
    with tempfile.TemporaryDirectory(prefix="facemodels-pull-") as scratch:
        Git(Path(scratch)).raw("clone", "--quiet", "--no-checkout", "--", source, "clone")
        clone = Path(scratch, "clone")
        Git(clone).raw("checkout", "--quiet", "HEAD")
        registry = open_registry(clone)
        with obtain(clone, registry.repository.state().entry(model)) as package:
            found = f"sha256:{package.digest}"
            _require(found, digest, model)
            _place(package.folder, output)
    return found


def _present(output: Path, digest: str) -> str:
    """The digest of a package that is there already."""
    verify(output)
    found = f"sha256:{sha256(output / CHECKSUMS)}"
    _require(found, digest, str(output))
    return found


def _require(found: str, digest: str, what: str) -> None:
    if digest and found != digest:
        raise IntegrityError(
            f"{what} is {found}, and {digest} is wanted.",
            "Do not use it; see `facemodels registry audit`.",
        )


def _place(package: Path, output: Path) -> None:
    partial = output.with_name(f"{output.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(package, partial)
        partial.rename(output)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise ToolError(
            f"the package cannot be kept in {output}: {error}.", "See that the disk has room."
        ) from error
