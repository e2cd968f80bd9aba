"""The same archive in several remotes: each copy is read back before it counts."""

from __future__ import annotations

import tempfile
from pathlib import Path

from facemodels.errors import IntegrityError
from facemodels.package.verify import checksum_lines
from facemodels.storage.stores.named_files import NamedFiles


def send_archive(
    files: NamedFiles, source: Path, name: str, digest: str, *, storage_class: str = ""
) -> None:
    """Send an archive, and beside it the file that holds its checksum.

    Args:
        files: the files of the remote.
        source: the archive.
        name: its path below the remote's URL.
        digest: its hexadecimal SHA-256.
        storage_class: one of S3's; empty: the bucket's own.
    """
    files.send(source, name, storage_class=storage_class)
    files.write(f"{name}.sha256", checksum_lines({Path(name).name: digest}).encode())


def ensure_copy(source: NamedFiles, target: NamedFiles, name: str, digest: str) -> bool:
    """Have an archive in a second remote, read back there.

    Args:
        source: where it is whole.
        target: where it is to be.
        name: its path below the URL of both.
        digest: its hexadecimal SHA-256.

    Returns:
        Whether it had to be copied.

    Raises:
        IntegrityError: it is not whole in the source, or does not arrive whole.
        ToolError: one of the remotes cannot be reached, or has no room.
    """
    if target.digest(name) == digest:
        return False
    with tempfile.TemporaryDirectory(prefix="facemodels-") as scratch:
        copy = Path(scratch, "archive")
        source.fetch(name, copy, digest)
        send_archive(target, copy, name, digest)
    if target.digest(name) != digest:
        raise IntegrityError(
            f"{target.store.name} took {name}, but what can be read there is not what was sent.",
            "The store is broken, or somebody else writes there; do not use it.",
        )
    return True
