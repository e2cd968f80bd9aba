"""What is asked of a backup, and what it did."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from facemodels.errors import IntegrityError, some
from facemodels.storage.stores.retries import Patience
from facemodels.storage.stores.stores import BACKUP, JOBS
from facemodels.text import counted, size_text


@dataclass(frozen=True)
class BackupRequest:
    """What is asked of a backup.

    Attributes:
        to: the name of the remote that holds the backup.
        dry_run: say what would be done, and send nothing.
        reread: read all objects that are in the backup again, not only those that are copied.
        jobs: the number of objects that are copied or read at once.
        clock: gives the time in seconds since 1970.
        patience: how long a store may be away; None: the defaults of `Patience`.
    """

    to: str = BACKUP
    dry_run: bool = False
    reread: bool = False
    jobs: int = JOBS
    clock: Callable[[], float] = time.time
    patience: Patience | None = None


@dataclass(frozen=True)
class BackupReport:
    """What a backup did, or would do.

    Attributes:
        to: the URL of the backup.
        dry_run: whether nothing was sent.
        versions: the ids of the versions whose objects are in the backup now.
        copied: the bytes of the objects that were missing or damaged there, by id.
        present: the number of objects that were there already.
        reread: the number of objects that were read again there and had their digests.
        archives: the names of archives that were not there.
        new_bundle: whether the refs have changed since the backup before.
        refs: the number of refs in the bundle.
        untracked: the ids of versions that were registered without DVC.
        damaged: why versions and archives are not in the backup, by id and by name.
        manifest: the name of the manifest; "" in a dry run.
        made_at: when the backup was complete, as 2026-01-02T03:04:05Z; "" in a dry run.
    """

    to: str
    dry_run: bool
    versions: tuple[str, ...]
    copied: Mapping[str, int]
    present: int
    reread: int
    archives: tuple[str, ...]
    new_bundle: bool
    refs: int
    untracked: tuple[str, ...]
    damaged: Mapping[str, str] = field(default_factory=dict)
    manifest: str = ""
    made_at: str = ""

    def as_json(self) -> dict[str, Any]:
        """The report as values of JSON."""
        return {**asdict(self), "bytes": sum(self.copied.values())}

    def require(self) -> None:
        """Stop where something is whole nowhere, after all else was copied.

        Raises:
            IntegrityError: it is.
        """
        if self.damaged:
            raise IntegrityError(
                f"{counted(len(self.damaged), 'item')} could not be backed up: no place has "
                "them whole",
                "All else is in the backup, and its manifest names them. Run `facemodels storage "
                "audit --repair`, or push them from a clone that has them.",
                changed=tuple(f"{one}: {why}" for one, why in sorted(self.damaged.items())),
            )

    def lines(self) -> list[str]:
        """The report as lines for people."""
        done = "To copy" if self.dry_run else "Copied"
        lines = [
            f"{done} to {self.to}: {len(self.copied)} objects "
            f"({size_text(sum(self.copied.values()))}); {self.present} were there.",
            f"Git: {self.refs} refs, {'changed since' if self.new_bundle else 'as in'} the backup "
            "before.",
        ]
        if self.archives:
            lines.append(f"Archives: {some(self.archives)}.")
        if self.untracked:
            lines.append(f"Registered without DVC, no objects: {some(self.untracked)}.")
        if not self.dry_run:
            lines.append(
                f"Complete since {self.made_at}: {len(self.versions)} versions; {self.reread} "
                "objects were read again there and are whole."
            )
        return lines
