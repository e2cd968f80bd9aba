"""What retention and restoration work on, and the steps that both need."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

from facemodels.errors import InputError
from facemodels.registry.registry import Registry
from facemodels.registry.state import State
from facemodels.storage.retention.archive_store import ArchiveStore
from facemodels.storage.retention.settings import RetentionSettings
from facemodels.storage.retention.version_files import VersionFiles
from facemodels.storage.stores.object_store import ObjectStore


@dataclass(frozen=True)
class RetentionContext:
    """One clone, its registry, its cache and one remote.

    Attributes:
        registry: the registry of the clone.
        settings: the settings of conf/retention.yaml.
        cache: DVC's cache of the clone.
        remote: the remote that holds the objects and the archives.
        before: called with the name of every step before it is made; tests stop there.
        backup: another remote, which gets each archive too before an object is deleted.
        without_backup: why objects may be deleted while no other remote has the archive.
    """

    registry: Registry
    settings: RetentionSettings
    cache: ObjectStore
    remote: ObjectStore
    before: Callable[[str], None] = lambda _: None
    backup: ObjectStore | None = None
    without_backup: str = ""

    @property
    def stores(self) -> tuple[ObjectStore, ObjectStore]:
        """The stores in the order in which objects are deleted and put back."""
        return self.remote, self.cache

    @cached_property
    def archives(self) -> ArchiveStore:
        """The archives of the remote."""
        return ArchiveStore(self.remote, self.settings.archive)

    def require_second_place(self) -> None:
        """Stop where an archive would be the only copy of a version.

        Raises:
            InputError: there is no backup, and nobody said why it may be done without.
        """
        if self.backup is None and not self.without_backup:
            raise InputError(
                "no backup is configured: the archive would be the only copy of a version.",
                "Nothing was changed. Run `facemodels storage init --backup-url …`, or give "
                "--without-backup REASON.",
            )

    def refresh(self) -> State:
        """Fetch the events of others, and give the state of the registry now.

        Raises:
            ToolError: the Git remote cannot be reached.
        """
        self.registry.repository.sync()
        return self.registry.repository.state()

    def put_missing(self, files: VersionFiles, oids: Iterable[str]) -> dict[str, int]:
        """Copy objects to each store that does not have them whole, in the order given.

        Args:
            files: the version that the objects belong to.
            oids: the ids of the objects, the list of the folder last.

        Returns:
            The number of objects that were copied, by the name of the store.
        """
        wanted = list(oids)
        copied = {}
        for store in self.stores:
            missing = [oid for oid in wanted if not store.is_whole(oid)]
            for oid in missing:
                self.before(f"put {oid} into {store.name}")
                store.put(files.objects[oid], oid)
            copied[store.name] = len(missing)
        return copied
