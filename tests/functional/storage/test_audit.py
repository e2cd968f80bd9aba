"""`facemodels storage audit`: whatever changes in a package, the cache or a remote is found."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from facemodels.errors import FacemodelsError, IntegrityError, ToolError
from facemodels.git import Git
from facemodels.package.load import open_package
from facemodels.storage.stores.object_store import CACHE
from facemodels.storage.stores.retries import Patience
from facemodels.storage.stores.stores import Stores
from facemodels.storage.sync.audit import audit
from facemodels.storage.sync.findings import AuditReport, require_whole
from facemodels.storage.sync.pull import pull
from tests.functional.deployment.site import git
from tests.functional.storage.stores import VERSIONS, S3Site, Store, s3_site
from tests.functional.storage.test_push import overwrite, push, remove


def run(site: S3Site, *words: str, code: int = 0) -> list[dict[str, Any]]:
    """Findings of the command."""
    done = site.command("audit", "--json", *words, code=code)
    return json.loads(done.stdout)["findings"]


def weights(site: S3Site, version: str) -> str:
    """Id of an object that belongs to one version alone."""
    return next(c.oid for c in site.objects(version).children if c.path == "model.pt")


def damage(path: Path, data: bytes | None) -> None:
    """Write over a protected file, or delete it, as a broken disk would: DVC sees no change."""
    if data is None:
        path.unlink()
        return
    mode = path.stat().st_mode
    path.chmod(0o644)
    path.write_bytes(data)
    path.chmod(mode)


def test_nothing_is_found_where_all_is_well(moto: Store, tmp_path: Path) -> None:
    site = s3_site(tmp_path, moto, push=True)
    assert run(site) == []
    from dvc.repo import Repo

    (site.folder / "faces").write_text("data beside the models")
    with Repo(str(site.folder)) as repo:
        repo.add(str(site.folder / "faces"))
    assert [(f["place"], f["kind"], f["item"]) for f in run(site)] == [
        ("storage", "unpushed", "faces")
    ]
    assert "storage: 1 unpushed (" in site.command("audit").stdout


def test_a_place_that_is_away_hides_nothing_of_the_others(moto: Store, tmp_path: Path) -> None:
    site = s3_site(tmp_path, moto, push=True)
    gone = weights(site, VERSIONS[0])
    remove(moto, site, gone)
    with (site.folder / ".dvc/config").open("a") as config:
        config.write("""['remote "away"']\n    url = s3://models/away\n""")
        config.write("    endpointurl = http://127.0.0.1:9\n")
    stores = Stores(site.folder, Patience(seconds=0))
    report = audit(stores, site.state(), Git(site.folder))
    assert [f.item for f in report.open] == [gone]
    assert list(report.unread) == ["away"]
    with pytest.raises(IntegrityError, match="away could not be read"):
        require_whole(report)
    report = audit(stores, site.state(), Git(site.folder), repair=True)
    assert report.open == ()
    with pytest.raises(ToolError, match="away"):  # an incomplete view is no all-clear
        require_whole(report)


def test_missing_corrupt_and_extra_objects_are_named_with_their_versions(
    moto: Store, tmp_path: Path
) -> None:
    site = s3_site(tmp_path, moto, push=True)
    gone, bad, rotten = (weights(site, version) for version in VERSIONS)
    remove(moto, site, gone)
    overwrite(moto, site, bad, b"bad")
    damage(Path(site.cache.path(rotten)), b"rotten")
    extra = "0cc175b9c0f1b6a831c399e269772661"  # md5 of "a"
    overwrite(moto, site, extra, b"a")
    moto.client().put_object(
        Bucket=site.place().path(extra).split("/")[0], Key="prefix/models/files/md5/note", Body=b"?"
    )
    found = {(f["place"], f["kind"], f["item"]): f["versions"] for f in run(site, code=3)}
    assert found == {
        ("storage", "missing", gone): [VERSIONS[0]],
        ("storage", "corrupt", bad): [VERSIONS[1]],
        ("cache", "corrupt", rotten): [VERSIONS[2]],
        ("storage", "extra", extra): [],
        ("storage", "foreign", "note"): [],
    }


def test_what_only_an_old_commit_or_the_working_tree_speaks_of_is_not_extra(
    moto: Store, tmp_path: Path
) -> None:
    from dvc.repo import Repo

    site = s3_site(tmp_path, moto, versions=VERSIONS[:1])
    data = site.folder / "data/faces"
    for number, commit in enumerate((True, True, False)):
        data.mkdir(parents=True, exist_ok=True)
        (data / "a.txt").write_text(f"{number}")
        with Repo(str(site.folder)) as repo:
            repo.add(str(data))
            repo.push(all_commits=True)
        if commit:
            git(site.folder, "add", "--all")
            git(site.folder, "commit", "--quiet", "-m", "Data")
    push(site)
    assert run(site) == []


def test_a_repair_takes_whole_objects_from_wherever_they_are(moto: Store, tmp_path: Path) -> None:
    site = s3_site(tmp_path, moto, backup=moto, push=True)
    site.command("backup")
    gone, bad, rotten = (weights(site, version) for version in VERSIONS)
    remove(moto, site, gone)
    damage(Path(site.cache.path(gone)), b"broken")  # whole in the backup alone
    overwrite(moto, site, bad, b"bad")
    folder = site.objects(VERSIONS[2]).folder
    overwrite(moto, site, folder, b"[]", "backup")
    damage(Path(site.cache.path(rotten)), None)

    planned = {
        (f["place"], f["item"]): f["repair"] for f in run(site, "--repair", "--dry-run", code=3)
    }
    assert planned == {
        ("storage", gone): "backup", ("cache", gone): "backup", ("storage", bad): "cache",
        ("backup", folder): "cache",
    }  # fmt: skip
    assert run(site, "--repair")
    assert run(site) == []
    assert site.place().is_whole(gone)


def test_what_is_whole_nowhere_stays_a_finding(moto: Store, tmp_path: Path) -> None:
    site = s3_site(tmp_path, moto, push=True)
    oid = weights(site, VERSIONS[0])
    overwrite(moto, site, oid, b"bad")
    damage(Path(site.cache.path(oid)), b"worse")
    done = site.command("audit", "--repair", code=3)
    assert VERSIONS[0] in done.stderr
    assert Path(site.cache.path(oid)).read_bytes() == b"worse"  # nobody throws the last copy away


def test_a_sample_reads_a_part_and_the_same_part_for_the_same_seed(
    moto: Store, tmp_path: Path
) -> None:
    site = s3_site(tmp_path, moto, push=True)

    def read(*words: str) -> dict[str, Any]:
        done = site.command("audit", "--json", "--remote", "storage", *words)
        return json.loads(done.stdout)["places"]["storage"]

    every, some, same = read("--all"), read("--sample", "40%"), read("--sample", "40%")
    assert every["read"] == every["objects"] == len(site.all_objects())
    assert 0 < some["read"] < every["read"]
    assert some == same


def test_a_wrong_share_is_refused(moto: Store, tmp_path: Path) -> None:
    site = s3_site(tmp_path, moto, versions=VERSIONS[:1])
    assert "5%" in site.command("audit", "--sample", "0%", code=2).stderr


# --- mutations ---------------------------------------------------------------------------

Damage = Callable[[random.Random, bytes, bytes], bytes | None]


def flip(luck: random.Random, data: bytes, other: bytes) -> bytes:
    place = luck.randrange(len(data))
    return data[:place] + bytes([data[place] ^ (1 << luck.randrange(8))]) + data[place + 1 :]


def truncate(luck: random.Random, data: bytes, other: bytes) -> bytes:
    return data[: luck.randrange(len(data))]


def swap(luck: random.Random, data: bytes, other: bytes) -> bytes:
    return other


def delete(luck: random.Random, data: bytes, other: bytes) -> None:
    return None


def add(luck: random.Random, data: bytes, other: bytes) -> bytes:
    place = luck.randrange(len(data) + 1)
    return data[:place] + luck.randbytes(luck.randrange(1, 9)) + data[place:]


MUTATIONS: tuple[Damage, ...] = (flip, truncate, swap, delete, add)


@pytest.fixture
def folder_site(moto: Store, tmp_path: Path) -> S3Site:
    """Its remote is a folder: a thousand mutations wait for no server."""
    site = s3_site(tmp_path, moto)
    site.configure_remotes({"storage": {"url": str(tmp_path / "remote")}}, "storage")
    push(site)
    return site


def check_objects(site: S3Site, rounds: int, seed: int) -> None:
    luck = random.Random(seed)
    stores, state, plain = Stores(site.folder), site.state(), Git(site.folder)
    oids = sorted(site.all_objects())

    def look() -> AuditReport:
        return audit(stores, state, plain, jobs=2)

    assert look().findings == ()
    for number in range(rounds):
        place = luck.choice((stores.cache, stores.remote()))
        oid, other = luck.sample(oids, 2)
        path = Path(place.path(oid))
        data = path.read_bytes()
        how = luck.choice(MUTATIONS)
        damage(path, how(luck, data, Path(place.path(other)).read_bytes()))
        told = (seed, number, place.name, oid, how.__name__)
        found = {(f.store, f.item) for f in look().findings}
        cached = Path(stores.cache.path(oid))
        if place.name == CACHE:
            if how is not delete:
                assert found == {(CACHE, oid)}, told
            pull(stores, state, jobs=2)
            assert cached.read_bytes() == data, told
        else:
            assert found == {(place.name, oid)}, told
            cached.unlink()
            with pytest.raises(IntegrityError):
                pull(stores, state, jobs=2)
            assert not cached.exists(), told
            damage_back(path, data)
            pull(stores, state, jobs=2)
    assert look().findings == ()


def damage_back(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(data)


def check_packages(site: S3Site, folder: Path, rounds: int, seed: int) -> None:
    luck = random.Random(seed)
    entry = site.state().entry(VERSIONS[1])
    source = site.folder / entry.facts["path"]
    registered = str(entry.evidence["package"]).removeprefix("sha256:")
    names = sorted(path.name for path in source.iterdir())
    shutil.copytree(source, folder)

    def loads() -> bool:
        try:
            return open_package(folder).digest == registered
        except FacemodelsError:
            return False

    assert loads()
    for number in range(rounds):
        name, other = luck.sample(names, 2)
        path, how = folder / name, luck.choice(MUTATIONS)
        data = path.read_bytes()
        changed = how(luck, data, (folder / other).read_bytes())
        if changed is None:
            path.unlink()
        else:
            path.write_bytes(changed)
        assert not loads(), (seed, number, name, how.__name__)
        path.write_bytes(data)
        stray = folder / f"stray-{number}"
        stray.write_bytes(b"")
        assert not loads(), (seed, number, "a file more")
        stray.unlink()
    assert loads()


def test_every_mutation_of_cache_and_remote_is_found_and_never_pulled(folder_site: S3Site) -> None:
    check_objects(folder_site, 100, seed=1)


def test_every_mutation_of_a_package_is_refused_at_load(
    folder_site: S3Site, tmp_path: Path
) -> None:
    check_packages(folder_site, tmp_path / "package", 100, seed=2)


@pytest.mark.full
@pytest.mark.parametrize("seed", range(10, 14))
def test_thousands_of_mutations_are_found(folder_site: S3Site, tmp_path: Path, seed: int) -> None:
    check_objects(folder_site, 500, seed=seed)
    check_packages(folder_site, tmp_path / "package", 1000, seed=seed)


def test_mutations_in_a_store_behind_http_are_found(moto: Store, tmp_path: Path) -> None:
    site = s3_site(tmp_path, moto, versions=VERSIONS[:1], push=True)
    luck = random.Random(3)
    stores, state, plain = Stores(site.folder), site.state(), Git(site.folder)
    oids = sorted(site.all_objects())
    for number in range(15):
        oid, other = luck.sample(oids, 2)
        data = Path(site.cache.path(oid)).read_bytes()
        how = MUTATIONS[number % len(MUTATIONS)]
        changed = how(luck, data, Path(site.cache.path(other)).read_bytes())
        if changed is None:
            remove(moto, site, oid)
        else:
            overwrite(moto, site, oid, changed)
        found = audit(stores, state, plain, repair=True)
        assert {(f.store, f.item, f.repair) for f in found.findings} == {("storage", oid, "cache")}
    assert audit(stores, state, plain).findings == ()
