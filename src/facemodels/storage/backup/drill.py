"""Tests a backup: makes a clone from nothing else, audits it, and runs every production version.

The clone has no Git remote, an empty cache of its own, and one DVC remote, the backup. What is not
in the backup, it does not have.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from facemodels import dvc_files
from facemodels.errors import FacemodelsError, IntegrityError
from facemodels.files import list_files
from facemodels.progress import progress
from facemodels.registry.evidence import dvc_digest
from facemodels.registry.packages import obtain
from facemodels.registry.registry import open_registry
from facemodels.registry.state import Entry
from facemodels.storage.backup import bundle
from facemodels.storage.backup.manifest import BackupManifest, read_complete
from facemodels.storage.stores.named_files import NamedFiles
from facemodels.storage.stores.objects import folder_of
from facemodels.storage.stores.retries import Patience
from facemodels.storage.stores.stores import BACKUP, open_store


@dataclass(frozen=True)
class DrilledVersion:
    """The result for one production version.

    Attributes:
        id: the version.
        files: the number of files in its package.
        size: the bytes of these files.
        runtime: the runtime that it ran on.
        seconds: the time to fetch, verify, load and run it once.
        problem: what is wrong; "" if nothing is.
    """

    id: str
    files: int
    size: int
    runtime: str
    seconds: float
    problem: str = ""


@dataclass(frozen=True)
class DrillReport:
    """The result of a drill.

    Attributes:
        url: the URL of the backup.
        made_at: when the backup was complete, as 2026-01-02T03:04:05Z.
        events: the number of events in the chain.
        findings: the findings of the registry's audit, and refs or versions that are not as the
            manifest says.
        proofs: the results for the production versions.
    """

    url: str
    made_at: str
    events: int
    findings: tuple[str, ...]
    proofs: tuple[DrilledVersion, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        """Everything that is wrong, as texts."""
        return (*self.findings, *(f"{one.id}: {one.problem}" for one in self.proofs if one.problem))

    def as_json(self) -> dict[str, Any]:
        """The report as values of JSON."""
        return {**asdict(self), "problems": list(self.problems)}

    def require(self) -> None:
        """Stop where the repository could not be rebuilt from the backup.

        Raises:
            IntegrityError: it could not.
        """
        if self.problems:
            raise IntegrityError(
                f"nothing could be rebuilt from {self.url} as it is: {'; '.join(self.problems)}.",
                "Run `facemodels storage backup --reread`, which mends what it can, and drill "
                "again.",
            )


def drill(root: Path, name: str = BACKUP, *, patience: Patience | None = None) -> DrillReport:
    """Rebuild a clone from a backup alone, and run what is in production in it.

    Args:
        root: the folder of the repository, whose configuration names the backup.
        name: the name of the backup's remote.
        patience: how long the remote may be away; None: the defaults of `Patience`.

    Raises:
        InputError: there is no such remote.
        IntegrityError: there is no complete backup, or its documents or its bundle are damaged.
        AccessError: the remote refuses access.
        TransientError: the remote did not answer for longer than the patience allows.
    """
    files = NamedFiles(open_store(root, name, patience=patience), patience)
    latest, manifest = read_complete(files)
    with tempfile.TemporaryDirectory(prefix="facemodels-drill-") as scratch:
        path = Path(scratch, "refs.bundle")
        files.fetch(manifest.bundle, path, manifest.bundle_sha256)
        git = bundle.unpack(path, Path(scratch, "clone"))
        settings = dvc_files.read_remotes(root).settings[name]
        _configure(git.root, name, settings, Path(scratch, "cache"))
        registry = open_registry(git.root)
        state = registry.repository.state()
        findings = [f"{one.tag or 'head'} ({one.kind}): {one.text}" for one in registry.audit()]
        findings += _differences(manifest, bundle.heads(path, git), state.entries)
        findings += _damage(manifest, files)
        proofs = [prove(git.root, state.entries[one]) for one in sorted(state.production.values())]
        return DrillReport(
            files.url, latest.made_at, len(state.events), tuple(findings), tuple(proofs)
        )


def prove(root: Path, entry: Entry) -> DrilledVersion:
    """Fetch a version's package, check it against its event, load it, and run it once."""
    from facemodels.evaluate.speed import workload

    start = time.perf_counter()
    files, size, runtime, problem = 0, 0, "", ""
    try:
        with obtain(root, entry) as package:  # its checksums are those that the event has
            names = list_files(package.folder)
            files = len(names)
            size = sum((package.folder / one).stat().st_size for one in names)
            runtime = package.runtimes[0]
            recorded = folder_of(entry)
            if recorded and dvc_digest(package.folder) != recorded:
                problem = f"its folder is not {recorded}, which the event has"
            else:
                workload(package.task, package.predictor())(1)
    except FacemodelsError as error:
        problem = str(error)
    except Exception as error:  # noqa: BLE001  (runtimes have errors of their own, all are answers)
        problem = f"it does not run: {type(error).__name__}: {error}"
    return DrilledVersion(entry.id, files, size, runtime, time.perf_counter() - start, problem)


def _configure(clone: Path, name: str, settings: Mapping[str, Any], cache: Path) -> None:
    """Configure a clone so that it knows the backup and nothing else.

    The credentials of .dvc/config.local are copied too: only this process can read the folder,
    and it is deleted at the end.
    """
    from configobj import ConfigObj  # type: ignore[import-untyped]

    path = clone / dvc_files.CONFIG
    path.parent.mkdir(exist_ok=True)
    config = ConfigObj(interpolation=False)
    config["core"] = {
        "remote": name, "analytics": "false", "site_cache_dir": str(cache / "site"),
    }  # fmt: skip
    config["cache"] = {"dir": str(cache / "objects")}
    config[f'remote "{name}"'] = {key: _word(value) for key, value in settings.items()}
    path.write_text("\n".join(config.write()) + "\n", encoding="utf-8")
    path.chmod(0o600)
    path.with_name("config.local").unlink(missing_ok=True)  # where somebody committed it


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _damage(manifest: BackupManifest, files: NamedFiles) -> list[str]:
    """What was whole nowhere when the backup was made, and archives that are not whole now."""
    found = [f"{one} was whole nowhere when the backup was made" for one in manifest.damaged]
    with progress("read archives", len(manifest.archives)) as advance:
        for name, digest in manifest.archives.items():
            if files.digest(name) != digest:
                found.append(f"{name} is missing or not what was archived")
            advance(1)
    return found


def _differences(
    manifest: BackupManifest, heads: Mapping[str, str], entries: Mapping[str, Entry]
) -> list[str]:
    found = []
    if bundle.digest_of(heads) != manifest.refs or bundle.registry_head(heads) != manifest.head:
        found.append("the bundle's refs are not those that the manifest has")
    strange = sorted(set(manifest.versions) - set(entries))
    if strange:
        found.append(f"versions that no tag names: {', '.join(strange)}")
    return found
