"""Random damage to storage, backup and cache around backups and retention: no version is lost."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from facemodels.errors import FacemodelsError
from facemodels.git import Git
from facemodels.registry.state import State
from facemodels.storage.backup.create import back_up
from facemodels.storage.retention.archive_store import ArchiveStore, recorded_archive
from facemodels.storage.stores.object_store import ObjectStore
from facemodels.storage.stores.stores import Stores
from facemodels.storage.sync.audit import audit
from tests.functional.storage.stores import S3Site
from tests.functional.storage.test_retention import (
    SETTINGS,
    SIZE,
    V0,
    V1,
    V2,
    begin,
    keeper,
    push,
    to_production,
)

PLACES = ("storage", "backup", "clone/.dvc/cache")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three versions that were in production one after the other; the first may go."""
    folder = tmp_path_factory.mktemp("campaign") / "site"
    site = begin(folder)
    for identity in (V0, V1, V2):
        to_production(site, site.register(identity, size=SIZE))
    push(site)
    back_up(site.folder)
    return folder


# Of 13: an object of an archived version, which only the backup still has.
@pytest.mark.parametrize(
    "seeds", [(13, 0, 1, 2, 3), pytest.param(range(200), marks=pytest.mark.full)]
)
def test_one_damaged_file_anywhere_costs_no_version(
    template: Path, tmp_path: Path, seeds: Sequence[int]
) -> None:
    for seed in seeds:
        luck = random.Random(seed)
        target = tmp_path / "site"
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(template, target, symlinks=True)
        site, when = S3Site(target / "clone"), luck.choice(("backup", "retention", "end"))
        told: list[str] = []
        for step in ("backup", "retention", "end"):
            if step == when:
                told.append(harm(luck, target))
            told += list(work(site, step))
        report = audit(Stores(site.folder), site.state(), Git(site.folder), repair=True)
        told += [f"{f.store}: {f.kind} {f.item}" for f in report.findings]
        if any(f.is_document for f in report.open):  # the next backup writes it anew
            back_up(site.folder)
            report = audit(Stores(site.folder), site.state(), Git(site.folder))
        state = site.state()
        lost = [one for one in state.entries if not is_restorable(site, state, one, tmp_path)]
        assert (lost, report.open) == ([], ()), (seed, told)


def harm(luck: random.Random, folder: Path) -> str:
    """Damage or remove one file of one place; return what was done."""
    place = luck.choice(PLACES)
    files = sorted(path for path in (folder / place).rglob("*") if path.is_file())
    path, way = luck.choice(files), luck.choice(("remove", "flip", "cut", "empty"))
    data = path.read_bytes()
    path.chmod(0o644)
    if way == "remove":
        path.unlink()
    elif way == "flip" and data:
        at = luck.randrange(len(data))
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    else:
        path.write_bytes(data[: len(data) // 2] if way == "cut" else b"")
    if path.exists():
        path.chmod(0o444)
    return f"{way} {path.relative_to(folder)}"


def work(site: S3Site, step: str) -> Iterator[str]:
    """A backup or a retention; what it refuses or leaves out is named."""
    try:
        if step == "backup":
            yield from back_up(site.folder).damaged
        elif step == "retention":
            before = site.state().archived.keys()
            outcome = keeper(site).apply()
            yield from outcome.failed
            for identity in site.state().archived.keys() - before:  # nothing went before this
                for name in ("storage", "backup"):
                    assert has_archive(site.place(name), site.state(), identity, site.folder.parent)
    except FacemodelsError as error:
        yield str(error)


def is_restorable(site: S3Site, state: State, identity: str, scratch: Path) -> bool:
    """Whether the objects of a version are whole in the storage, or its archive somewhere."""
    if identity in state.archived:
        places = [site.place(name) for name in ("storage", "backup")]
        return any(has_archive(place, state, identity, scratch) for place in places)
    objects = str(state.entry(identity).evidence["dvc"]).removeprefix("md5:")
    place = site.place()
    return place.is_whole(objects) and all(
        place.is_whole(child.oid) for child in place.children(objects)
    )


def has_archive(place: ObjectStore, state: State, identity: str, scratch: Path) -> bool:
    folder = scratch / "unpacked"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        ArchiveStore(place, SETTINGS.archive).fetch(
            state.entry(identity), folder, recorded_archive(state, identity)
        )
    except FacemodelsError:
        return False
    return True
