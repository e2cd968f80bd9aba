"""Backups to a real store: complete, incremental, safe to interrupt, and enough to start anew."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from facemodels import dvc_files
from facemodels.cli.storage_backup import backup as command
from facemodels.errors import ConflictError, InputError, IntegrityError
from facemodels.files import sha256_tree
from facemodels.names import ModelId
from facemodels.registry import rules
from facemodels.storage.backup import create as module
from facemodels.storage.backup.create import back_up
from facemodels.storage.backup.drill import drill
from facemodels.storage.backup.manifest import LATEST, MANIFESTS, read_latest, read_manifest
from facemodels.storage.backup.recover import recover
from facemodels.storage.backup.report import BackupReport, BackupRequest
from facemodels.storage.stores.named_files import NamedFiles
from facemodels.storage.stores.object_store import ObjectStore
from facemodels.storage.stores.retries import Patience
from tests.bounded import bounded
from tests.functional.deployment.site import git
from tests.functional.storage.stores import S3Site, Store, s3_site

V1, V2, V3 = "rec-facenet-v1.0.0", "rec-facenet-v1.1.0", "rec-facenet-v1.2.0"
SOON = Patience(seconds=1)
ROOT = Path(__file__).resolve().parents[3]


class Killed(BaseException):
    """The process ended here."""


@pytest.fixture
def site(moto: Store, tmp_path: Path) -> S3Site:
    """Two versions in the storage, the second in production after the first; an empty backup."""
    site = s3_site(tmp_path, moto, versions=(V1, V2), backup=moto, push=True)
    for version in (V1, V2):
        promote(site, version)
    return site


def promote(site: S3Site, version: str) -> None:
    for status in ("staging", "production"):
        site.repository.add(
            partial(rules.move, model=ModelId.parse(version), status=status, reason="tested")
        )


def held(site: S3Site) -> dict[str, int]:
    return site.place("backup").sizes()


def shelf(site: S3Site) -> NamedFiles:
    return NamedFiles(site.place("backup"), SOON)


def run(site: S3Site, **asked: Any) -> BackupReport:
    return back_up(site.folder, BackupRequest(patience=SOON, **asked))


def damage(place: ObjectStore, oid: str, change: Callable[[bytes], bytes]) -> None:
    filesystem, path = place.odb.fs.fs, place.path(oid)
    filesystem.pipe_file(path, change(filesystem.cat_file(path)))


def flip(data: bytes) -> bytes:
    return bytes([data[0] ^ 1]) + data[1:]


def files(site: S3Site, version: str) -> list[str]:
    return [oid for oid in site.objects(version).oids if not oid.endswith(".dir")]


# --- what a backup holds ---------------------------------------------------------------------


def test_everything_registered_is_there_and_was_read_again(site: S3Site) -> None:
    report = run(site)
    assert set(held(site)) == site.all_objects() == set(report.copied)
    assert report.reread == len(site.all_objects())
    latest = read_latest(shelf(site))
    assert latest is not None
    manifest = read_manifest(shelf(site), latest)
    assert set(manifest.versions) == {V1, V2}
    assert manifest.head == git(site.folder, "rev-parse", "refs/facemodels/head")
    for version, one in manifest.versions.items():
        entry = site.state().entry(version)
        assert one.package == entry.evidence["package"]
        assert f"md5:{one.folder}" == entry.evidence["dvc"]
        assert one.objects == len(site.objects(version).oids)
        assert one.size == sum(held(site)[oid] for oid in site.objects(version).oids)


def test_the_second_time_sends_nothing_but_the_date(site: S3Site, moto: Store) -> None:
    run(site, clock=lambda: 1_800_000_000)
    bucket = site.place("backup").odb.path.partition("/")[0]
    listed = partial(moto.client().list_objects_v2, Bucket=bucket)
    before = {one["Key"]: one["ETag"] for one in listed()["Contents"]}
    report = run(site, clock=lambda: 1_800_000_060)
    assert report.copied == {}
    assert not report.new_bundle
    after = {one["Key"]: one["ETag"] for one in listed()["Contents"]}
    assert {key for key in after if after[key] != before.get(key)} == {f"prefix/backup/{LATEST}"}
    latest = read_latest(shelf(site))
    assert latest is not None
    assert latest.made_at == "2027-01-15T08:01:00Z"


def test_a_new_version_costs_its_own_objects_alone(site: S3Site) -> None:
    run(site)
    before = set(held(site))
    site.register(V3)
    site.push_plainly()
    report = run(site)
    assert set(report.copied) == site.all_objects() - before
    assert report.present == len(before)
    assert report.new_bundle
    assert set(held(site)) == site.all_objects()


def test_a_dry_run_tells_and_sends_nothing(site: S3Site) -> None:
    report = run(site, dry_run=True)
    assert set(report.copied) == site.all_objects()
    assert report.made_at == ""
    assert held(site) == {}
    assert read_latest(shelf(site)) is None


def test_without_a_cache_the_objects_come_from_the_storage(site: S3Site) -> None:
    wanted = site.all_objects()
    shutil.rmtree(site.folder / ".dvc/cache")
    run(site)
    assert set(held(site)) == wanted


def test_a_damaged_cache_is_not_copied(site: S3Site) -> None:
    for oid in site.all_objects():
        path = Path(site.cache.path(oid))
        if not oid.endswith(".dir"):
            path.chmod(0o644)
            path.write_bytes(flip(path.read_bytes()))
    run(site)
    place = site.place("backup")
    assert all(place.is_whole(oid) for oid in held(site))


def test_what_is_damaged_in_the_backup_is_mended(site: S3Site) -> None:
    run(site)
    place = site.place("backup")
    one, other = files(site, V2)[:2]
    damage(place, one, lambda data: data[:-1])
    assert set(run(site).copied) == {one}  # another size shows in a listing
    damage(place, one, flip)
    place.delete(other)
    assert set(run(site, reread=True).copied) == {one, other}
    assert all(place.is_whole(oid) for oid in site.all_objects())


def test_a_damaged_bundle_is_sent_again(site: S3Site) -> None:
    run(site)
    latest = read_latest(shelf(site))
    assert latest is not None
    name = read_manifest(shelf(site), latest).bundle
    data = shelf(site).read(name)
    assert data is not None
    shelf(site).write(name, flip(data))
    with pytest.raises(IntegrityError, match="bundle"):
        drill(site.folder, patience=SOON)
    run(site)
    assert drill(site.folder, patience=SOON).problems == ()


def test_damaged_documents_are_found_by_the_least_audit_and_written_anew_by_the_next_backup(
    site: S3Site,
) -> None:
    run(site)
    latest = read_latest(shelf(site))
    assert latest is not None
    for name in (LATEST, latest.manifest):
        data = shelf(site).read(name)
        assert data is not None
        shelf(site).write(name, flip(data))
        done = site.command("audit", "--sample", "0.01%", code=3)
        assert f"backup\tcorrupt\t{name}" in done.stdout
        assert "facemodels storage backup --to backup" in done.stderr
        run(site)
        site.command("audit", "--sample", "0.01%")


def test_what_nobody_has_whole_is_named_and_all_else_is_backed_up(site: S3Site) -> None:
    run(site)
    site.register(V3)  # not pushed
    lost = next(oid for oid in files(site, V3) if oid not in held(site))
    Path(site.cache.path(lost)).unlink()
    report = run(site)
    assert (report.versions, tuple(report.damaged)) == ((V1, V2), (V3,))
    with pytest.raises(IntegrityError, match=lost):
        report.require()
    latest = read_latest(shelf(site))
    assert latest is not None
    manifest = read_manifest(shelf(site), latest)
    assert (tuple(manifest.versions), manifest.damaged) == ((V1, V2), (V3,))
    folder = site.objects(V3).folder
    assert folder not in site.place("backup").sizes()  # a list says that its files are there
    (problem,) = drill(site.folder, patience=SOON).problems
    assert V3 in problem


def test_the_archive_of_a_retired_version_is_copied_instead_of_its_objects(site: S3Site) -> None:
    data = b"compressed"
    NamedFiles(site.place()).write("archive/one.tar.zst", data)
    digest = hashlib.sha256(data).hexdigest()
    facts = {"path": "archive/one.tar.zst", "sha256": digest, "bytes": len(data)}
    model = ModelId.parse(V1)
    site.repository.add(partial(rules.deprecate, model=model, reason="old"))
    site.repository.add(partial(rules.archive, model=model, facts=facts, reason="retired"))
    assert V1 in site.state().archived
    report = run(site)
    assert report.archives == ("archive/one.tar.zst",)
    assert report.versions == (V2,)
    assert shelf(site).digest("archive/one.tar.zst") == digest
    assert run(site).archives == ()
    shelf(site).write("archive/one.tar.zst", b"compressed!")
    assert any("archive/one" in problem for problem in drill(site.folder, patience=SOON).problems)
    assert run(site).archives == ("archive/one.tar.zst",)
    shelf(site).write("archive/one.tar.zst", b"")
    NamedFiles(site.place()).write("archive/one.tar.zst", b"rotten")
    report = run(site)
    assert (report.versions, tuple(report.damaged)) == ((V2,), ("archive/one.tar.zst",))


# --- interrupted -----------------------------------------------------------------------------


@pytest.mark.parametrize("drilled", [6, pytest.param(1, marks=pytest.mark.full)])
def test_ended_at_any_write_it_leaves_the_backup_before_and_the_next_run_completes(
    site: S3Site, monkeypatch: pytest.MonkeyPatch, drilled: int
) -> None:
    run(site)
    before = read_latest(shelf(site))
    site.register(V3)
    promote(site, V3)
    site.push_plainly()
    left = [0]

    def counted(act: Callable[..., None]) -> Callable[..., None]:
        def write(self: Any, *words: Any) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            act(self, *words)

        return write

    monkeypatch.setattr(ObjectStore, "put", counted(ObjectStore.put))
    monkeypatch.setattr(NamedFiles, "send", counted(NamedFiles.send))
    for writes in range(100):
        left[0] = writes
        try:
            run(site, jobs=1)
        except Killed:
            assert read_latest(shelf(site)) == before
            if writes % drilled == 0:
                rebuilt = drill(site.folder, patience=SOON)
                assert rebuilt.problems == ()
                assert [proof.id for proof in rebuilt.proofs] == [V2]
        else:
            break
    else:
        raise AssertionError("it never came to an end")
    assert writes >= 1
    assert set(held(site)) == site.all_objects()
    rebuilt = drill(site.folder, patience=SOON)
    assert rebuilt.problems == ()
    assert [proof.id for proof in rebuilt.proofs] == [V3]


def test_of_two_backups_at_once_the_first_stands(
    site: S3Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bundle = module.bundle.write_bundle

    def overtaken(*words: Any) -> None:
        write_bundle(*words)
        monkeypatch.setattr(module.bundle, "write_bundle", write_bundle)
        run(site, clock=lambda: 1_800_000_000)

    monkeypatch.setattr(module.bundle, "write_bundle", overtaken)
    with pytest.raises(ConflictError, match="faster"):
        run(site, clock=lambda: 1_900_000_000)
    latest = read_latest(shelf(site))
    assert latest is not None
    assert latest.made_at == "2027-01-15T08:00:00Z"
    assert drill(site.folder, patience=SOON).problems == ()


# --- refused ---------------------------------------------------------------------------------


def test_a_clone_that_lost_events_cannot_replace_a_longer_history(
    site: S3Site, tmp_path: Path
) -> None:
    shutil.copytree(tmp_path, tmp_path.with_name("older"), symlinks=True)
    older = S3Site(tmp_path.with_name("older") / "clone")
    git(
        older.folder, "config", "remote.origin.url", str(tmp_path.with_name("older") / "origin.git")
    )
    site.register(V3)
    site.push_plainly()
    run(site)
    before = read_latest(shelf(site))
    with pytest.raises(IntegrityError, match="does not know"):
        run(older)
    assert read_latest(shelf(site)) == before
    shelf(site).write(LATEST, b"{")  # the manifest that it named tells as much
    with pytest.raises(IntegrityError, match="does not know"):
        run(older)


def test_a_clone_whose_audit_has_findings_is_not_backed_up(site: S3Site) -> None:
    git(site.folder, "tag", "-a", "-m", "by hand", "recognition-facenet@v9.9.9")
    with pytest.raises(IntegrityError, match=r"v9\.9\.9"):
        run(site)
    assert read_latest(shelf(site)) is None


def test_a_shallow_clone_is_no_source(site: S3Site, tmp_path: Path) -> None:
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{tmp_path}/origin.git", str(shallow))
    git(shallow, "fetch", "--quiet", "--depth=1", "origin", "refs/tags/*:refs/tags/*")
    with pytest.raises(InputError, match="unshallow"):
        run(S3Site(shallow))


@pytest.mark.parametrize("name", ["storage", "nowhere"])
def test_a_backup_goes_to_a_remote_of_its_own(site: S3Site, name: str) -> None:
    with pytest.raises(InputError):
        run(site, to=name)


# --- the drill -------------------------------------------------------------------------------


def test_from_the_backup_alone_production_runs_again(
    site: S3Site, moto: Store, tmp_path: Path
) -> None:
    run(site)
    bucket = site.place().odb.path.partition("/")[0]
    client = moto.client()
    for key in moto.keys(bucket):
        client.delete_object(Bucket=bucket, Key=key)
    client.delete_bucket(Bucket=bucket)
    shutil.rmtree(tmp_path / "origin.git")
    # Nothing but DVC's configuration is left, as on a machine where it was typed in anew.
    machine = tmp_path / "machine"
    shutil.copytree(site.folder / ".dvc", machine / ".dvc", ignore=lambda *_: ["cache", "tmp"])
    shutil.rmtree(site.folder)
    git(machine, "init", "--quiet")
    result = drill(machine, patience=SOON)
    assert result.problems == ()
    assert [(proof.id, proof.runtime, proof.files) for proof in result.proofs] == [(V2, "onnx", 7)]
    assert result.events == 6


def runbook() -> list[str]:
    """The commands of the page for the day on which all is lost."""
    page = (ROOT / "docs/storage.md").read_text(encoding="utf-8")
    section = page.partition("### Starting anew from a backup")[2].partition("\n## ")[0]
    blocks = section.split("```bash\n")[1:]
    return [line for block in blocks for line in block.partition("```")[0].splitlines()]


def test_the_runbook_brings_back_every_version_from_the_address_of_the_backup(
    site: S3Site, moto: Store, tmp_path: Path
) -> None:
    run(site)
    files = NamedFiles(site.place("backup"))
    site_bucket = files.path("").partition("/")[0]
    place = f"{files.url} --endpoint-url {moto.url}"
    packages = {one: ModelId.parse(one).folder for one in (V1, V2)}
    whole = {one: sha256_tree(site.folder / folder) for one, folder in packages.items()}
    lost = site.place().odb.path.partition("/")[0]
    for key in moto.keys(lost):  # nothing but the backup is left
        moto.client().delete_object(Bucket=lost, Key=key)
    moto.client().delete_bucket(Bucket=lost)
    shutil.rmtree(site.folder)
    shutil.rmtree(tmp_path / "origin.git")
    machine = tmp_path / "machine"
    machine.mkdir()
    new = moto.bucket()
    git(machine, "init", "--quiet", "--bare", "new.git")
    commands = "\n".join(runbook())
    for named, here in {
        "s3://models-backup/faces": place,
        "s3://models-new/faces": f"s3://{new}/faces --endpoint-url {moto.url}",
        "https://git.example.org/faces.git": str(machine / "new.git"),
    }.items():
        assert named in commands
        commands = commands.replace(named, here)
    done = subprocess.run(
        ["bash", "-euc", commands], cwd=machine, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    kept = {key.removeprefix("faces/") for key in moto.keys(new)}
    assert kept == {key.removeprefix("prefix/backup/") for key in moto.keys(
        site_bucket, "prefix/backup/files/"
    )}  # fmt: skip
    assert f"url = s3://{new}/faces" in git(machine / "new.git", "show", "main:.dvc/config")
    assert git(machine / "new.git", "rev-parse", "refs/facemodels/head")
    for identity, folder in packages.items():
        clone = machine / "faces"
        commit = S3Site(clone).state().entry(identity).event.commit
        git(clone, "checkout", "--quiet", commit, "--", f"{folder}.dvc")
        dvc = [sys.executable, "-m", "dvc", "checkout", f"{folder}.dvc"]
        subprocess.run(dvc, cwd=clone, capture_output=True, check=True)
        assert sha256_tree(clone / folder) == whole[identity]


def test_nothing_is_recovered_over_what_is_there(site: S3Site, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    with pytest.raises(InputError, match="there already"):
        recover({"url": str(tmp_path)}, tmp_path / "full")
    with pytest.raises(IntegrityError, match="no complete backup"):
        recover({"url": str(tmp_path / "nothing")}, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_where_the_newest_backup_is_damaged_the_newest_whole_one_is_recovered(
    site: S3Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run(site)
    first = read_latest(shelf(site))
    site.register(V3)
    site.push_plainly()
    run(site)
    second = read_latest(shelf(site))
    assert first is not None
    assert second is not None
    names = (second.manifest, read_manifest(shelf(site), second).bundle)
    settings = dvc_files.read_remotes(site.folder).settings["backup"]
    dates = shelf(site).dates(MANIFESTS)
    assert 0 < dates[first.manifest] <= dates[second.manifest]
    monkeypatch.setattr(NamedFiles, "dates", lambda *_: {first.manifest: 9, second.manifest: 1})

    def recovered(folder: str) -> tuple[str, tuple[str, ...]]:
        done = recover(settings, tmp_path / folder, patience=SOON)
        assert bool(done.instead) == (folder != "whole")
        assert len(S3Site(tmp_path / folder).state().entries) == len(done.versions)
        return done.manifest, done.versions

    assert recovered("whole") == (second.manifest, (V1, V2, V3))
    shelf(site).write(LATEST, b"{")
    assert recovered("no pointer") == (second.manifest, (V1, V2, V3))  # whatever the dates say
    for name in reversed(names):
        shelf(site).write(name, b"")
        assert recovered(name[-9:]) == (first.manifest, (V1, V2))
    shelf(site).write(first.manifest, b"")
    with pytest.raises(IntegrityError, match="no document of a backup"):
        recovered("nothing")


@pytest.mark.parametrize("harm", bounded(("flipped", "gone", "folder gone"), ("flipped", "gone")))
def test_a_drill_finds_a_damaged_production_version(site: S3Site, harm: str) -> None:
    run(site)
    place = site.place("backup")
    own = set(site.objects(V2).oids) - set(site.objects(V1).oids)
    oid = next(one for one in own if one.endswith(".dir") == (harm == "folder gone"))
    if harm == "flipped":
        damage(place, oid, flip)
    else:
        place.delete(oid)
    result = drill(site.folder, patience=SOON)
    assert [proof.id for proof in result.proofs if proof.problem] == [V2]
    with pytest.raises(IntegrityError, match=V2):
        result.require()


def test_a_drill_runs_what_it_fetched(moto: Store, tmp_path: Path) -> None:
    site = s3_site(tmp_path, moto, versions=(), backup=moto)
    site.register(V1, "broken")  # whole by its checksums, and no graph
    site.push_plainly()
    promote(site, V1)
    run(site)
    result = drill(site.folder, patience=SOON)
    assert [proof.id for proof in result.proofs] == [V1]
    assert "does not run" in result.proofs[0].problem


def test_a_drill_without_a_backup_says_so(site: S3Site) -> None:
    with pytest.raises(IntegrityError, match="no complete backup"):
        drill(site.folder, patience=SOON)


# --- the command -----------------------------------------------------------------------------


def test_the_command_backs_up_and_drills(site: S3Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(site.folder)
    invoke = CliRunner().invoke
    done = invoke(command, ["--json"])
    assert done.exit_code == 0, done.output
    assert set(json.loads(done.stdout)["copied"]) == site.all_objects()
    drilled = invoke(command, ["--drill"])
    assert drilled.exit_code == 0, drilled.output
    assert f"{V2}\t7\t" in drilled.stdout
    assert "loads and runs" in drilled.stdout
    assert "audit is clean" in drilled.stdout
    assert json.loads(invoke(command, ["--drill", "--json"]).stdout)["problems"] == []
    for oid in files(site, V2):
        site.place("backup").delete(oid)
    failed = invoke(command, ["--drill"])
    assert isinstance(failed.exception, IntegrityError)
    assert failed.exception.exit_code == 3
    assert isinstance(invoke(command, ["--drill", "--reread"]).exception, InputError)
