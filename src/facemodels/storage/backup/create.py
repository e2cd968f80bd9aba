"""Makes a backup of everything that was released: objects, archives, tags and the audit chain.

The order makes it safe to stop at any moment: objects first, each folder's list after its files,
then the Git bundle, the manifest, and last the pointer to the manifest. Nothing in a backup is
deleted or changed but that pointer, and it moves only to a history that continues the one that
it names.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from facemodels.errors import ConflictError, IntegrityError
from facemodels.files import sha256, write_bytes
from facemodels.registry.audit import link
from facemodels.registry.events import to_text
from facemodels.registry.registry import Registry, explain, open_registry
from facemodels.registry.state import State
from facemodels.storage.backup import bundle
from facemodels.storage.backup.manifest import (
    LATEST,
    BackedUpVersion,
    BackupManifest,
    LatestBackup,
    read_latest,
    read_manifest,
    whole_manifests,
)
from facemodels.storage.backup.mirror import Mirror
from facemodels.storage.backup.report import BackupReport, BackupRequest
from facemodels.storage.retention.archive_store import recorded_archive
from facemodels.storage.stores.object_store import ObjectStore
from facemodels.storage.stores.objects import (
    VersionObjects,
    folder_of,
    objects_of,
    stored_versions,
)
from facemodels.storage.stores.stores import Stores


def back_up(root: Path, request: BackupRequest | None = None) -> BackupReport:
    """Copy everything that is registered to a second remote, where it is missing or damaged.

    Args:
        root: the folder of the repository.
        request: what is asked; None: the defaults of `BackupRequest`.

    Raises:
        InputError: there is no such remote, it is the default one, or the clone is shallow.
        IntegrityError: the audit of this clone has findings, or the backup holds a history that
            this clone does not continue. What is whole nowhere is named in the report.
        ConflictError: another backup was faster.
        AccessError: a remote refuses access.
        TransientError: a remote did not answer for longer than the patience allows.
    """
    asked = request or BackupRequest()
    registry = open_registry(root)
    registry.repository.sync()
    findings = registry.audit()
    if findings:
        raise explain(findings)
    with tempfile.TemporaryDirectory(prefix="facemodels-") as scratch:
        return _BackupRun(registry, asked, Path(scratch)).run()


class _BackupRun:
    """One run, in the order in which it may be stopped."""

    def __init__(self, registry: Registry, request: BackupRequest, scratch: Path) -> None:
        self._git = registry.git
        self._state = registry.repository.state()
        self._request = request
        self._scratch = scratch
        self._mirror = Mirror(Stores(registry.root, request.patience), request, scratch)
        self._files = self._mirror.files
        self._pointer: bytes | None = None  # as it was when the backup began

    def run(self) -> BackupReport:
        refs = bundle.read_refs(self._git)
        latest, before = self._before(refs)
        stores = [*self._mirror.sources, self._mirror.target]
        objects, damaged = self._objects(stores)
        sizes, needed = self._mirror.compare(objects)
        archives = self._mirror.missing_archives(_archives(self._state))
        if not self._request.dry_run:
            lost = self._copy_objects(objects, needed)
            damaged |= _of_lost(objects, lost) | self._mirror.copy_archives(archives)
            objects = [one for one in objects if one.id not in damaged]
            needed = [oid for oid in needed if oid not in lost]
            manifest = self._manifest(refs, before, objects, sizes, tuple(sorted(damaged)))
            latest = self._publish(manifest)
        entries = self._state.entries.values()
        report = BackupReport(
            to=self._files.url, dry_run=self._request.dry_run,
            versions=tuple(one.id for one in objects), damaged=damaged,
            copied={oid: sizes[oid] for oid in needed}, present=len(sizes) - len(needed),
            reread=self._mirror.reread, archives=tuple(archives),
            new_bundle=before is None or before.refs != bundle.digest_of(refs), refs=len(refs),
            untracked=tuple(entry.id for entry in entries if folder_of(entry) is None),
        )  # fmt: skip
        if self._request.dry_run or latest is None:
            return report
        return replace(report, manifest=latest.manifest, made_at=latest.made_at)

    def _objects(
        self, stores: Sequence[ObjectStore]
    ) -> tuple[list[VersionObjects], dict[str, str]]:
        """The objects of the versions whose list is whole somewhere, and why others' are not."""
        found, damaged = [], {}
        for entry in stored_versions(self._state):
            try:
                found.append(objects_of(entry, stores))
            except IntegrityError as error:
                damaged[entry.id] = str(error)
        return found, damaged

    def _copy_objects(self, objects: Sequence[VersionObjects], needed: Sequence[str]) -> set[str]:
        """Copy objects; return those that are whole nowhere.

        The lists of folders come after all files, and none whose files are not all there: whoever
        finds a list in the backup finds its files.
        """
        lost = self._mirror.copy_objects("files", [o for o in needed if not o.endswith(".dir")])
        broken = _of_lost(objects, lost)
        whole = {one.folder for one in objects if one.id not in broken}
        return lost | self._mirror.copy_objects("lists", [oid for oid in needed if oid in whole])

    def _before(self, refs: Mapping[str, str]) -> tuple[LatestBackup | None, BackupManifest | None]:
        """Read the pointer and the manifest of the backup before.

        Raises:
            IntegrityError: its history is not one that this clone continues.
        """
        self._pointer = self._files.read(LATEST)
        try:
            latest = read_latest(self._files)
            manifest = read_manifest(self._files, latest) if latest else None
        except IntegrityError as error:
            # The next pointer names a manifest that is whole; older ones stay where they are.
            sys.stderr.write(f"Warning: {error} The backup is written as if there were none.\n")
            self._require_continued(refs, [one for _, one in whole_manifests(self._files)])
            return None, None
        self._require_continued(refs, [manifest] if manifest else [])
        return latest, manifest

    def _require_continued(self, refs: Mapping[str, str], before: Sequence[BackupManifest]) -> None:
        """Stop where this clone does not continue the history of a backup.

        Raises:
            IntegrityError: it does not.
        """
        head = bundle.registry_head(refs) or None
        known = {"", *(event.object for event in link(self._state.events, head).events)}
        for manifest in before:
            if manifest.head not in known:
                raise IntegrityError(
                    f"the backup in {self._request.to} ends with an event ({manifest.head[:10]}) "
                    "that this clone does not know.",
                    "Fetch it (`facemodels registry sync`), or find out who rewrote the history. "
                    "The backup was not touched.",
                )

    def _manifest(
        self,
        refs: Mapping[str, str],
        before: BackupManifest | None,
        objects: Sequence[VersionObjects],
        sizes: Mapping[str, int],
        damaged: tuple[str, ...],
    ) -> BackupManifest:
        name, size = self._bundle(refs, before)
        return BackupManifest(
            head=bundle.registry_head(refs),
            bundle=name,
            bundle_size=size,
            refs=bundle.digest_of(refs),
            versions={
                one.id: BackedUpVersion(
                    one.folder,
                    str(self._state.entries[one.id].evidence.get("package", "")),
                    len(one.oids),
                    sum(sizes[oid] for oid in one.oids),
                )
                for one in objects
            },
            archives={
                name: digest
                for name, digest in _archives(self._state).items()
                if name not in damaged
            },
            damaged=damaged,
        )

    def _bundle(self, refs: Mapping[str, str], before: BackupManifest | None) -> tuple[str, int]:
        """Send a bundle unless one with the same refs is there, whole; return name and bytes."""
        known = before if before and before.refs == bundle.digest_of(refs) else None
        if known and self._files.digest(known.bundle) == known.bundle_sha256:
            return known.bundle, known.bundle_size
        path = self._scratch / "refs.bundle"
        bundle.write_bundle(self._git, refs, path)
        if bundle.heads(path, self._git) != dict(refs):
            raise ConflictError(
                "Refs of this clone moved while they were bundled.",
                "The backup before stands. Run it again.",
            )
        digest = sha256(path)
        name = bundle.name_of(digest)
        self._mirror.send_file(path, name, digest)
        return name, path.stat().st_size

    def _publish(self, manifest: BackupManifest) -> LatestBackup:
        """Write the manifest, and then the pointer that names it.

        Raises:
            ConflictError: another backup moved the pointer meanwhile.
        """
        if self._files.read(manifest.name) != manifest.data:
            path = self._scratch / "manifest.json"
            write_bytes(path, manifest.data)
            self._mirror.send_file(path, manifest.name, sha256(path))
        if self._files.read(LATEST) == self._pointer:
            latest = LatestBackup(manifest.name, to_text(int(self._request.clock())))
            self._files.write(LATEST, latest.data)
            if read_latest(self._files) == latest:
                return latest
        raise ConflictError(
            f"Another backup to {self._request.to} was faster.",
            "Its result stands. Run it again.",
        )


def _of_lost(objects: Sequence[VersionObjects], lost: set[str]) -> dict[str, str]:
    """Why versions are not whole, by id, where objects of them are not."""
    found = {}
    for one in objects:
        gone = sorted(lost & set(one.oids))
        if gone:
            found[one.id] = f"{', '.join(gone[:3])}{' …' if gone[3:] else ''} is whole nowhere"
    return found


def _archives(state: State) -> dict[str, str]:
    """The SHA-256 of the archives of all archived versions, by name below the remote's URL."""
    records = [recorded_archive(state, identity) or {} for identity in state.archived]
    return {
        str(one["path"]): str(one["sha256"]).removeprefix("sha256:")
        for one in records
        if "path" in one and "sha256" in one
    }
