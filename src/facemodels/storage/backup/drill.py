"""Whether a backup would do: a clone from nothing else, audited, every production version run.

The clone has no Git remote, an empty cache of its own, and one DVC remote: the backup. What it
cannot get from there it does not have.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from facemodels.errors import FacemodelsError, IntegrityError
from facemodels.files import list_files
from facemodels.registry.evidence import dvc_digest
from facemodels.registry.packages import obtain
from facemodels.registry.registry import open_registry
from facemodels.registry.state import Entry
from facemodels.storage.backup import bundle
from facemodels.storage.backup.manifest import Manifest, read_latest, read_manifest
from facemodels.storage.remotes.setup import BACKUP, CONFIG
from facemodels.storage.stores.errors import Patience
from facemodels.storage.stores.named_files import Shelf
from facemodels.storage.stores.object_store import open_place
from facemodels.storage.stores.objects import folder_of


@dataclass(frozen=True)
class Proof:
    """What came of one production version.

    Attributes:
        id: of the version.
        files: in its package.
        size: of them, bytes.
        runtime: that it ran on.
        seconds: to fetch, verify, load and run it once.
        problem: what is wrong; "" if nothing.
    """

    id: str
    files: int
    size: int
    runtime: str
    seconds: float
    problem: str = ""


@dataclass(frozen=True)
class Drill:
    """What came of a drill.

    Attributes:
        url: of the backup.
        made_at: when the backup was complete.
        events: in the chain.
        findings: of the registry's audit, and refs or versions that are not as the manifest says.
        proofs: of the production versions.
    """

    url: str
    made_at: str
    events: int
    findings: tuple[str, ...]
    proofs: tuple[Proof, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        """Everything that is wrong, in words."""
        return (*self.findings, *(f"{one.id}: {one.problem}" for one in self.proofs if one.problem))

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {**asdict(self), "problems": list(self.problems)}

    def require(self) -> None:
        """Stop where the backup would not do.

        Raises:
            IntegrityError: it would not.
        """
        if self.problems:
            raise IntegrityError(
                f"nothing could be rebuilt from {self.url} as it is: {'; '.join(self.problems)}.",
                "Run `facemodels storage backup --reread`, which mends what it can, and drill "
                "again.",
            )


def drill(root: Path, name: str = BACKUP, *, patience: Patience | None = None) -> Drill:
    """Rebuild a clone from a backup alone, and prove what is in production in it.

    Args:
        root: of the repository; it says where the backup is, and how to get in.
        name: of the backup's remote.
        patience: with a store that does not answer; None: the usual.

    Raises:
        InputError: there is no such remote.
        IntegrityError: there is no complete backup, or its documents or its bundle are damaged.
        AccessError: the remote does not let us in. TransientError: it does not answer.
    """
    shelf = Shelf(open_place(root, name, patience=patience), patience)
    latest = read_latest(shelf)
    if latest is None:
        raise IntegrityError(
            f"there is no complete backup in {name} ({shelf.url}).",
            "Run `facemodels storage backup`.",
        )
    manifest = read_manifest(shelf, latest)
    with tempfile.TemporaryDirectory(prefix="facemodels-drill-") as scratch:
        path = Path(scratch, "refs.bundle")
        shelf.fetch(manifest.bundle, path, manifest.bundle_sha256)
        git = bundle.unpack(path, Path(scratch, "clone"))
        _configure(git.root, name, _settings(root, name), Path(scratch, "cache"))
        registry = open_registry(git.root)
        state = registry.repository.state()
        findings = [f"{one.tag or 'head'} ({one.kind}): {one.text}" for one in registry.audit()]
        findings += _differences(manifest, bundle.heads(path, git), state.entries)
        proofs = [prove(git.root, state.entries[one]) for one in sorted(state.production.values())]
        return Drill(shelf.url, latest.made_at, len(state.events), tuple(findings), tuple(proofs))


def prove(root: Path, entry: Entry) -> Proof:
    """Fetch a version's package, hold it against its event, load it, and let it run once."""
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
    return Proof(entry.id, files, size, runtime, time.perf_counter() - start, problem)


def _settings(root: Path, name: str) -> Mapping[str, Any]:
    from dvc.config import Config

    settings: Mapping[str, Any] = Config(str(root / ".dvc"))["remote"][name]
    return settings


def _configure(clone: Path, name: str, settings: Mapping[str, Any], cache: Path) -> None:
    """Let a clone know the backup and nothing else, whatever its own configuration says.

    The credentials of .dvc/config.local come along: the folder is ours alone and goes at the end.
    """
    from configobj import ConfigObj  # type: ignore[import-untyped]

    path = clone / CONFIG
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


def _differences(
    manifest: Manifest, heads: Mapping[str, str], entries: Mapping[str, Entry]
) -> list[str]:
    found = []
    if bundle.digest_of(heads) != manifest.refs or bundle.registry_head(heads) != manifest.head:
        found.append("the bundle's refs are not those that the manifest has")
    strange = sorted(set(manifest.versions) - set(entries))
    if strange:
        found.append(f"versions that no tag names: {', '.join(strange)}")
    return found
