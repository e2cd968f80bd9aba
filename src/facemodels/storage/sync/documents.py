"""Audit the documents of a backup: without them, nothing in it can be found again."""

from __future__ import annotations

from facemodels.errors import IntegrityError
from facemodels.storage.backup.manifest import LATEST, read_latest, read_manifest
from facemodels.storage.stores.named_files import NamedFiles
from facemodels.storage.stores.object_store import ObjectStore
from facemodels.storage.sync.findings import Kind, ObjectFinding


def audit_documents(store: ObjectStore, *, required: bool) -> list[ObjectFinding]:
    """Read the pointer of a backup, the manifest that it names, and that one's Git bundle.

    They are read whatever the sample is: few files, on which everything else hangs.

    Args:
        store: the remote.
        required: a pointer must be there; otherwise a remote without one is no backup.

    Returns:
        The first document that is missing or not what was written; what it names is not known.

    Raises:
        ToolError: the remote cannot be reached.
    """
    files = NamedFiles(store)
    name = LATEST
    try:
        latest = read_latest(files)
        if latest is None:
            return [ObjectFinding(store.name, "missing", LATEST)] if required else []
        name = latest.manifest
        manifest = read_manifest(files, latest)
    except IntegrityError:
        kind: Kind = "missing" if files.info(name) is None else "corrupt"
        return [ObjectFinding(store.name, kind, name)]
    digest = files.digest(manifest.bundle)
    if digest == manifest.bundle_sha256:
        return []
    kind = "missing" if digest is None else "corrupt"
    return [ObjectFinding(store.name, kind, manifest.bundle)]
