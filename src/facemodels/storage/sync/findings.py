"""What an audit finds, and how it is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from facemodels.errors import IntegrityError, ToolError, some
from facemodels.storage.backup.manifest import DOCUMENTS
from facemodels.storage.stores.stores import BACKUP

Kind = Literal["missing", "corrupt", "extra", "foreign", "archived", "unpushed"]


@dataclass(frozen=True)
class ObjectFinding:
    """An object or an archive that is not as it should be, or a file that is neither.

    Attributes:
        store: the name of the store.
        kind: `missing`: it is needed and not there; `corrupt`: its bytes are not what its name
            says, or those of a document of a backup do not read; `extra`: no version and no commit
            names it, or it is damaged and an archive holds it by now; `foreign`: the file is no
            object; `archived`: this working tree names the package of a version that is in the
            archive; `unpushed`: other data that DVC tracks in this working tree is not there.
        item: the object id; of an archive, a document of a backup, a foreign file or an output,
            its path.
        versions: the ids of the versions that the object belongs to.
        repair: the store that it was, or would be, copied from; empty if it was not repaired.
    """

    store: str
    kind: Kind
    item: str
    versions: tuple[str, ...] = ()
    repair: str = ""

    @property
    def is_wrong(self) -> bool:
        """Whether an object is lost; the other kinds do no harm to a version."""
        return self.kind in ("missing", "corrupt")

    @property
    def is_document(self) -> bool:
        """Whether a document of a backup is lost, which only the next backup writes anew."""
        return self.is_wrong and self.item.startswith(DOCUMENTS)


@dataclass(frozen=True)
class AuditReport:
    """What an audit found.

    Attributes:
        stores: for each store, by name: `url`, the number of `objects` in it, the number that were
            `read`, `bytes_read`, and the number of `archives`.
        findings: what is not as it should be.
        repaired: whether the repairs were made, and not only looked for.
        unread: why stores could not be audited, by name.
        linked: how many objects of the cache that were replaced have other links: files of a
            working tree that go on to hold the damaged bytes.
        relink: the outputs of this working tree with such files; `dvc checkout --relink --force`
            gives them the whole bytes.
    """

    stores: Mapping[str, Mapping[str, Any]]
    findings: tuple[ObjectFinding, ...]
    repaired: bool
    unread: Mapping[str, ToolError] = field(default_factory=dict)
    linked: int = 0
    relink: tuple[str, ...] = ()

    @property
    def open(self) -> tuple[ObjectFinding, ...]:
        """The missing and corrupt objects that were not repaired."""
        return tuple(f for f in self.findings if f.is_wrong and not (self.repaired and f.repair))

    def as_json(self) -> dict[str, Any]:
        """The report as values of JSON."""
        return {
            "places": {name: dict(facts) for name, facts in self.stores.items()},
            "repaired": self.repaired,
            "linked": self.linked,
            "relink": list(self.relink),
            "unread": {name: str(error) for name, error in self.unread.items()},
            "findings": [
                {
                    "place": f.store, "kind": f.kind, "item": f.item,
                    "versions": list(f.versions), "repair": f.repair,
                }
                for f in self.findings
            ],
        }  # fmt: skip


def require_whole(found: AuditReport) -> None:
    """Stop unless everything that was to be audited was read and is whole, or was repaired.

    Raises:
        IntegrityError: something is missing or corrupt and was not repaired.
        ToolError: a store could not be audited.
    """
    if found.open:
        raise explain(found)
    for error in found.unread.values():
        raise error


def explain(found: AuditReport) -> IntegrityError:
    """Make an error, with exit code 3, of what is missing or corrupt and not repaired."""
    documents = [f for f in found.open if f.is_document]
    objects = [f for f in found.open if not f.is_document]
    versions = sorted({version for f in objects for version in f.versions})
    counted = Counter((f.store, f.kind) for f in objects)
    words = ", ".join(f"{count} {kind} in {store}" for (store, kind), count in counted.items())
    if all(f.store == BACKUP for f in found.open) and not found.stores[BACKUP]["objects"]:
        return IntegrityError(
            f"{BACKUP} has no backup yet: {some(versions) or 'the registry'} would be lost with "
            "the storage",
            "Make it: facemodels storage backup",
        )
    unread = f"; {', '.join(found.unread)} could not be read at all" if found.unread else ""
    told = some(f"{f.item} in {f.store} is {f.kind}" for f in documents)
    anew = " && ".join(
        f"facemodels storage backup --to {name}" for name in sorted({f.store for f in documents})
    )
    if not objects:
        return IntegrityError(
            f"the clone could not be made anew from its backup: {told}{unread}",
            f"Write the documents of the backup anew: {anew}",
        )
    return IntegrityError(
        f"objects are not as they were pushed: {words}"
        + (f"; of {some(versions)}" if versions else "")
        + (f"; {told}" if documents else "")
        + unread,
        "Run `facemodels storage audit --repair`; what it cannot repair is whole nowhere: "
        "restore the versions (`facemodels storage restore`) or push from another clone."
        + (f" It does not write documents of a backup: {anew}" if documents else ""),
    )
