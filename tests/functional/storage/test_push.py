"""`facemodels storage push` and `pull` against real stores that fail in all ways we know."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from dvc.cli import main as run_dvc

from facemodels.names import ModelId
from facemodels.registry.packages import obtain
from tests.bounded import bounded
from tests.functional.deployment.site import COMMAND, wait_until
from tests.functional.storage.faults import Proxy
from tests.functional.storage.stores import VERSIONS, S3Site, Store, s3_site

MIB = 1 << 20


def push(site: S3Site, *words: str, code: int = 0) -> dict[str, Any]:
    done = site.command("push", "--json", *words, code=code)
    return json.loads(done.stdout) if code == 0 else {}


def key(site: S3Site, oid: str, remote: str | None = None) -> tuple[str, str]:
    """Bucket and key of an object."""
    bucket, _, rest = site.place(remote).path(oid).partition("/")
    return bucket, rest


def overwrite(store: Store, site: S3Site, oid: str, data: bytes, remote: str | None = None) -> None:
    bucket, name = key(site, oid, remote)
    store.client().put_object(Bucket=bucket, Key=name, Body=data)


def remove(store: Store, site: S3Site, oid: str, remote: str | None = None) -> None:
    bucket, name = key(site, oid, remote)
    store.client().delete_object(Bucket=bucket, Key=name)


def is_all_there(site: S3Site, remote: str | None = None) -> bool:
    """Whether a remote has every object, by reading each."""
    place = site.place(remote)
    return all(place.is_whole(oid) for oid in site.all_objects())


def test_a_push_brings_every_released_version_whatever_the_workspace_holds(
    moto: Store, tmp_path: Path
) -> None:
    site = s3_site(tmp_path, moto)
    shutil.rmtree(site.folder / "models")
    done = push(site)
    assert sorted(done["versions"]) == sorted(VERSIONS)
    assert set(done["missing"]) == site.all_objects()
    assert is_all_there(site)
    again = push(site)
    assert again["missing"] == again["repaired"] == {}
    shutil.rmtree(site.folder / ".dvc/cache")
    for version in VERSIONS:
        with obtain(site.folder, site.state().entry(version)) as package:
            assert str(package.id) == version


def test_a_dry_run_sends_nothing(moto: Store, tmp_path: Path) -> None:
    site = s3_site(tmp_path, moto, versions=VERSIONS[:1])
    assert set(push(site, "--dry-run")["missing"]) == site.all_objects()
    assert site.place().sizes() == {}


def test_what_dvc_push_leaves_broken_is_repaired(moto: Store, tmp_path: Path) -> None:
    site = s3_site(tmp_path, moto, push=True)
    first, second, third = (site.objects(version) for version in VERSIONS)
    own = {one.id: set(one.oids) for one in (first, second, third)}
    gone = sorted(own[VERSIONS[0]] - own[VERSIONS[1]] - {first.folder})[0]
    short = sorted(own[VERSIONS[1]] - own[VERSIONS[0]] - {second.folder})[0]
    data = Path(site.cache.path(short)).read_bytes()
    remove(moto, site, gone)
    overwrite(moto, site, short, data[:-1])
    overwrite(moto, site, third.folder, b"[]")
    site.push_plainly()
    assert not is_all_there(site)  # "Everything is up to date"
    done = push(site)
    assert set(done["missing"]) == {gone}
    assert set(done["repaired"]) == {short, third.folder}
    assert is_all_there(site)


def test_what_the_cache_has_lost_comes_from_the_backup(moto: Store, tmp_path: Path) -> None:
    site = s3_site(tmp_path, moto, backup=moto)
    push(site, "--remote", "backup")
    objects = site.objects(VERSIONS[0])
    known = site.all_objects()
    for oid in objects.oids:
        Path(site.cache.path(oid)).unlink()
    push(site)
    assert all(site.place().is_whole(oid) for oid in known)


def test_a_broken_cache_never_reaches_the_remote(moto: Store, tmp_path: Path) -> None:
    site = s3_site(tmp_path, moto)
    objects = {version: site.objects(version) for version in VERSIONS}
    oid = next(c.oid for c in objects[VERSIONS[1]].children if c.path == "model.pt")
    path = Path(site.cache.path(oid))
    path.chmod(0o644)
    path.write_bytes(b"?" + path.read_bytes()[1:])
    path.chmod(0o444)
    done = site.command("push", code=3)
    assert VERSIONS[1] in done.stderr
    assert oid in done.stderr
    assert "storage restore" in done.stderr
    there = site.place().sizes()
    assert objects[VERSIONS[1]].folder not in there  # nobody believes a part of it
    assert oid not in there
    assert set(objects[VERSIONS[0]].oids) <= there.keys()
    assert set(objects[VERSIONS[2]].oids) <= there.keys()


def test_a_version_whose_list_is_lost_does_not_keep_the_others_back(
    moto: Store, tmp_path: Path
) -> None:
    site = s3_site(tmp_path, moto)
    first, second = (site.objects(version) for version in VERSIONS[:2])
    Path(site.cache.path(first.folder)).unlink()
    done = site.command("push", code=3)
    assert VERSIONS[0] in done.stderr
    assert set(second.oids) <= site.place().sizes().keys()


def test_wrong_credentials_end_it_at_once_and_say_what_to_do(
    seaweed: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = s3_site(tmp_path, seaweed, versions=VERSIONS[:1])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    done = site.run("storage", "push", "--patience", "3600", code=1)  # within run's time limit
    assert "does not let us in" in done.stderr
    assert "Check the credentials" in done.stderr
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", seaweed.secret)
    push(site)
    assert is_all_there(site)


def test_a_bucket_that_is_not_there_is_named(seaweed: Store, tmp_path: Path) -> None:
    site = s3_site(tmp_path, seaweed, versions=VERSIONS[:1])
    config = site.folder / ".dvc/config"
    config.write_text(config.read_text().replace("s3://models-", "s3://no-such-"))
    done = site.command("push", code=2)
    assert "no-such-" in done.stderr
    assert "Create the bucket" in done.stderr


def test_a_remote_that_stays_away_is_given_up_after_the_patience(
    moto: Store, tmp_path: Path
) -> None:
    site = s3_site(tmp_path, moto, versions=VERSIONS[:1])
    with Proxy(moto.port, lambda _: "refuse") as proxy:
        through(site, moto, proxy)
        done = site.run("storage", "push", "--patience", "1", code=1)
    assert "run it again" in done.stderr


def through(site: S3Site, store: Store, proxy: Proxy) -> None:
    """Let the site's remotes be reached through a proxy."""
    config = site.folder / ".dvc/config"
    config.write_text(config.read_text().replace(store.url, proxy.url))


@pytest.mark.parametrize("fault", bounded(("500", "503", "cut", "close", "stall"), ("503", "cut")))
def test_a_store_that_fails_every_third_request_gets_all_in_one_run(
    fault: str, moto: Store, tmp_path: Path
) -> None:
    luck = random.Random(5)
    site = s3_site(tmp_path, moto, versions=VERSIONS[:2])
    with Proxy(moto.port, lambda _: fault if luck.random() < 0.3 else None) as proxy:
        through(site, moto, proxy)
        set_timeout(site)
        done = push(site)
        assert proxy.faults > 3
    assert set(done["missing"]) == site.all_objects()
    site_direct = (site.folder / ".dvc/config").read_text().replace(proxy.url, moto.url)
    (site.folder / ".dvc/config").write_text(site_direct)
    assert is_all_there(site)


def set_timeout(site: S3Site) -> None:
    """Wait a second for an answer, not a minute."""
    config = site.folder / ".dvc/config"
    config.write_text(config.read_text().replace("    verify", "    read_timeout = 1\n    verify"))


def test_a_server_that_is_killed_in_mid_push_and_comes_back_gets_all(
    seaweed: Store, tmp_path: Path
) -> None:
    site = s3_site(tmp_path, seaweed, size=8 * MIB)
    bucket, _ = key(site, site.objects(VERSIONS[0]).folder)
    process = site.begin("storage", "push", "--jobs", "1", "--json")
    wait_until(lambda: seaweed.keys(bucket), "the first object")
    seaweed.kill()
    seaweed.start()
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert len(json.loads(out)["versions"]) == 3
    assert is_all_there(site)


def test_a_push_that_is_killed_leaves_nothing_half_believed_and_the_next_finishes(
    seaweed: Store, tmp_path: Path
) -> None:
    site = s3_site(tmp_path, seaweed, size=4 * MIB)
    bucket, _ = key(site, site.objects(VERSIONS[0]).folder)
    whole = {oid: Path(site.cache.path(oid)).stat().st_size for oid in site.all_objects()}
    for wanted in (1, 4, 9):
        process = subprocess.Popen(
            (COMMAND, "storage", "push", "--jobs", "2"),
            cwd=site.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        wait_until(
            lambda n=wanted, p=process: p.poll() is not None or len(seaweed.keys(bucket)) >= n,
            f"{wanted} objects",
        )
        process.send_signal(signal.SIGKILL)
        process.wait()
        there = site.place().sizes()
        assert all(whole[oid] == size for oid, size in there.items())
        for version in VERSIONS:
            objects = site.objects(version)
            if objects.folder in there:
                assert set(objects.oids) <= there.keys()
    push(site)
    assert is_all_there(site)


def test_parts_of_an_upload_that_was_never_ended_are_not_believed(
    moto: Store, tmp_path: Path
) -> None:
    site = s3_site(tmp_path, moto, versions=VERSIONS[:1], size=6 * MIB)
    oid = next(c.oid for c in site.objects(VERSIONS[0]).children if c.path == "model.pt")
    bucket, name = key(site, oid)
    client = moto.client()
    upload = client.create_multipart_upload(Bucket=bucket, Key=name)["UploadId"]
    client.upload_part(
        Bucket=bucket, Key=name, UploadId=upload, PartNumber=1,
        Body=Path(site.cache.path(oid)).read_bytes()[: 5 * MIB],
    )  # fmt: skip
    assert oid in push(site)["missing"]
    assert is_all_there(site)


def test_an_upload_in_parts_is_proven_by_its_etag_and_not_read(moto: Store, tmp_path: Path) -> None:
    site = s3_site(tmp_path, moto, versions=VERSIONS[:1], size=11 * MIB, push=True)
    oid = next(c.oid for c in site.objects(VERSIONS[0]).children if c.path == "model.pt")
    upload_in_parts(moto, site, oid, Path(site.cache.path(oid)).read_bytes())
    with Proxy(moto.port, lambda _: None) as proxy:
        through(site, moto, proxy)
        assert push(site)["repaired"] == {}
        assert not [line for line in proxy.seen if line.startswith("GET") and oid[2:] in line]
        # the same number of parts and bytes, one bit of them another
        data = bytearray(Path(site.cache.path(oid)).read_bytes())
        data[-1] ^= 1
        upload_in_parts(moto, site, oid, bytes(data))
        assert set(push(site)["repaired"]) == {oid}


def upload_in_parts(store: Store, site: S3Site, oid: str, data: bytes) -> None:
    bucket, name = key(site, oid)
    client = store.client()
    upload = client.create_multipart_upload(Bucket=bucket, Key=name)["UploadId"]
    parts = []
    for number, start in enumerate(range(0, len(data), 8 * MIB), 1):
        answer = client.upload_part(
            Bucket=bucket, Key=name, UploadId=upload, PartNumber=number,
            Body=data[start : start + 8 * MIB],
        )  # fmt: skip
        parts.append({"PartNumber": number, "ETag": answer["ETag"]})
    client.complete_multipart_upload(
        Bucket=bucket, Key=name, UploadId=upload, MultipartUpload={"Parts": parts}
    )
    assert "-2" in client.head_object(Bucket=bucket, Key=name)["ETag"]


def test_what_has_to_be_read_is_read_once_until_it_changes(moto: Store, tmp_path: Path) -> None:
    """An ETag that says nothing, as with keys of KMS: here of parts of an unusual size."""
    site = s3_site(tmp_path, moto, versions=VERSIONS[:1], size=6 * MIB, push=True)
    oid = next(c.oid for c in site.objects(VERSIONS[0]).children if c.path == "model.pt")
    data = Path(site.cache.path(oid)).read_bytes()
    odd_parts(moto, site, oid, data)

    with Proxy(moto.port, lambda _: None) as proxy:
        through(site, moto, proxy)

        def reads() -> int:
            before = len(proxy.seen)
            assert push(site)["missing"] == {}
            return sum(line.startswith("GET") and oid[2:] in line for line in proxy.seen[before:])

        assert reads() > 0
        assert reads() == 0
        odd_parts(moto, site, oid, data[:-1] + bytes([data[-1] ^ 1]))
        assert set(push(site)["repaired"]) == {oid}


def odd_parts(store: Store, site: S3Site, oid: str, data: bytes) -> None:
    bucket, name = key(site, oid)
    client = store.client()
    upload = client.create_multipart_upload(Bucket=bucket, Key=name)["UploadId"]
    cut = 5 * MIB + 12345
    tags = [
        client.upload_part(
            Bucket=bucket, Key=name, UploadId=upload, PartNumber=number, Body=part
        )["ETag"]
        for number, part in enumerate((data[:cut], data[cut:]), 1)
    ]  # fmt: skip
    parts = [{"PartNumber": number, "ETag": tag} for number, tag in enumerate(tags, 1)]
    client.complete_multipart_upload(
        Bucket=bucket, Key=name, UploadId=upload, MultipartUpload={"Parts": parts}
    )


# --- pull --------------------------------------------------------------------------------


def pull(site: S3Site, *words: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(site.command("pull", "--json", *words).stdout)
    return found


def test_a_pull_fills_the_cache_with_what_was_checked(moto: Store, tmp_path: Path) -> None:
    site = s3_site(tmp_path, moto, push=True)
    known = site.all_objects()
    shutil.rmtree(site.folder / ".dvc/cache")
    shutil.rmtree(site.folder / "models/recognition")
    assert set(pull(site)["fetched"]) == known
    assert all(site.cache.is_whole(oid) for oid in known)
    assert pull(site)["fetched"] == {}
    config = site.folder / ".dvc/config"
    config.write_text("[core]\n    analytics = false\n")
    subprocess.run(("git", "checkout", "--", "models"), cwd=site.folder, check=True)
    site_dvc = Path(COMMAND).with_name("dvc")
    subprocess.run((site_dvc, "checkout", "--quiet"), cwd=site.folder, check=True)
    assert (site.folder / "models/recognition/facenet-v2.0.0/model.onnx").is_file()


def test_a_pull_refuses_what_is_corrupt_and_takes_it_from_the_backup(
    moto: Store, tmp_path: Path
) -> None:
    site = s3_site(tmp_path, moto, backup=moto, push=True)
    push(site, "--remote", "backup")
    known = site.all_objects()
    oid = next(c.oid for c in site.objects(VERSIONS[2]).children if c.path == "model.pt")
    data = Path(site.cache.path(oid)).read_bytes()
    shutil.rmtree(site.folder / ".dvc/cache")
    overwrite(moto, site, oid, data[::-1])
    done = pull(site)
    assert done["fetched"][oid] == "backup"
    assert done["refused"]["storage"] == [oid]
    assert all(site.cache.is_whole(one) for one in known)


def test_a_pull_leaves_nothing_corrupt_in_the_cache_if_nobody_has_it_whole(
    moto: Store, tmp_path: Path
) -> None:
    site = s3_site(tmp_path, moto, push=True)
    oid = next(c.oid for c in site.objects(VERSIONS[2]).children if c.path == "model.pt")
    known = site.all_objects()
    shutil.rmtree(site.folder / ".dvc/cache")
    overwrite(moto, site, oid, b"something else")
    done = site.command("pull", code=3)
    assert VERSIONS[2] in done.stderr
    assert site.cache.listing().foreign == ()
    assert site.cache.sizes().keys() == known - {oid}
    assert all(site.cache.is_whole(one) for one in known - {oid})


def test_a_pull_replaces_what_lies_broken_in_the_cache(moto: Store, tmp_path: Path) -> None:
    site = s3_site(tmp_path, moto, versions=VERSIONS[:1], push=True)
    oid = next(c.oid for c in site.objects(VERSIONS[0]).children if c.path == "model.pt")
    path = Path(site.cache.path(oid))
    path.chmod(0o644)
    path.write_bytes(b"rotten")
    path.chmod(0o444)
    packed = site.folder / ModelId.parse(VERSIONS[0]).folder / "model.pt"
    packed.unlink()
    packed.hardlink_to(path)  # with DVC's `cache.type hardlink`
    told = site.command("pull").stdout
    assert "hard links to 1 object that were" in told
    advice = told.partition("Mend them: dvc ")[2].split()
    with contextlib.chdir(site.folder):
        assert run_dvc(advice) == 0
    assert packed.read_bytes() == path.read_bytes()
    assert site.cache.is_whole(oid)
    assert path.stat().st_mode & 0o777 == 0o444


@pytest.mark.parametrize("fault", ["cut", "500", "hush"])
def test_a_pull_goes_through_a_line_that_breaks(fault: str, moto: Store, tmp_path: Path) -> None:
    luck = random.Random(6)
    site = s3_site(tmp_path, moto, versions=VERSIONS[:2], push=True)
    known = site.all_objects()
    shutil.rmtree(site.folder / ".dvc/cache")
    with Proxy(moto.port, lambda _: fault if luck.random() < 0.3 else None) as proxy:
        through(site, moto, proxy)
        set_timeout(site)
        pull(site)
        assert proxy.faults > 3
    assert all(site.cache.is_whole(oid) for oid in known)


def _can_mount() -> bool:
    done = subprocess.run(
        ("unshare", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"),
        check=False, capture_output=True,
    )  # fmt: skip
    return done.returncode == 0


@pytest.mark.skipif(not _can_mount(), reason="no mounts of our own here: no full disk to be had")
def test_a_full_disk_ends_a_pull_with_whole_objects_alone_and_the_next_finishes(
    moto: Store, tmp_path: Path
) -> None:
    site = s3_site(tmp_path, moto, size=2 * MIB, push=True)
    known = site.all_objects()
    cache = site.folder / ".dvc/cache"
    shutil.rmtree(cache)
    cache.mkdir()
    # The small disk is gone with the namespace: what it holds is copied out first.
    script = (
        f"mount -t tmpfs -o size=5m none {cache} && {COMMAND} storage pull --jobs 2; "
        f"code=$?; cp -a {cache}/. {tmp_path}/copy; exit $code"
    )
    (tmp_path / "copy").mkdir()
    done = subprocess.run(
        ("unshare", "--map-root-user", "--mount", "sh", "-c", script),
        cwd=site.folder, check=False, capture_output=True, text=True, env=os.environ, timeout=120,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "no room left" in done.stderr
    shutil.copytree(tmp_path / "copy", cache, dirs_exist_ok=True)
    there = site.cache.listing()
    assert there.objects
    assert there.foreign == ()
    assert all(site.cache.is_whole(oid) for oid in there.objects)
    assert there.objects.keys() < known
    pull(site)
    assert all(site.cache.is_whole(oid) for oid in known)


@pytest.mark.full
@pytest.mark.parametrize("fault", bounded(("500", "503", "cut", "close", "stall"), ("503", "cut")))
@pytest.mark.parametrize("at", range(1, 26))
def test_a_fault_at_any_request_of_a_push_is_overcome(
    at: int, fault: str, moto: Store, tmp_path: Path
) -> None:
    site = s3_site(tmp_path, moto, versions=VERSIONS[:2])
    with Proxy(moto.port, lambda number: fault if number == at else None) as proxy:
        through(site, moto, proxy)
        set_timeout(site)
        push(site, "--jobs", "1")
        assert proxy.faults == 1
        assert is_all_there(site)
