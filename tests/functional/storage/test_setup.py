"""`storage init`, its policies and `storage doctor` against real stores."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from click.testing import CliRunner, Result
from dvc.config import Config

from facemodels.cli.storage_setup import doctor, init
from facemodels.errors import InputError, ToolError
from facemodels.registry.packages import obtain
from facemodels.storage.backup.create import back_up
from facemodels.storage.remotes import s3_bucket
from facemodels.storage.remotes.doctor import Checkup, examine
from facemodels.storage.remotes.finding import RemoteFinding
from facemodels.storage.remotes.policies import ROLES
from facemodels.storage.stores.errors import AccessError
from facemodels.storage.stores.object_store import ObjectStore
from tests.bounded import bounded
from tests.functional.deployment.site import git
from tests.functional.storage import stores
from tests.functional.storage.stores import REGION, S3Site, Store, s3_site

V1 = "rec-facenet-v1.0.0"


def invoke(command: Any, *words: str) -> Result:
    return CliRunner().invoke(command, list(words))


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository in which DVC knows no remote."""
    root = tmp_path / "empty"
    root.mkdir()
    git(root, "init", "--quiet")
    (root / ".dvc").mkdir()
    (root / ".dvc/config").write_text("# ours\n[core]\n    analytics = false\n")
    (root / ".dvc/.gitignore").write_text("/config.local\n/tmp\n/cache\n")
    monkeypatch.chdir(root)
    return root


def urls(store: Store) -> tuple[str, ...]:
    return (
        "--url", f"s3://{store.bucket()}/faces", "--endpoint-url", store.url, "--region", REGION,
        "--backup-url", f"s3://{store.bucket()}/faces",
    )  # fmt: skip


# --- init ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", bounded(("moto", "seaweed"), ("seaweed",)))
def test_after_init_dvc_pushes_to_both(
    kind: str, empty: Path, request: pytest.FixtureRequest
) -> None:
    store: Store = request.getfixturevalue(kind)
    done = invoke(init, *urls(store))
    assert done.exit_code == 0, done.output
    (empty / "weights").write_text("some")
    for words in (["add", "weights"], ["push"], ["push", "-r", "backup"]):
        subprocess.run([str(stores.BIN / "dvc"), "--quiet", *words], cwd=empty, check=True)
    for name in ("storage", "backup"):
        bucket = Config(str(empty / ".dvc"))["remote"][name]["url"].split("/")[2]
        assert len(store.keys(bucket, "faces/files/md5/")) == 1


def test_a_dry_run_shows_the_edit_and_makes_none(empty: Path, moto: Store) -> None:
    before = (empty / ".dvc/config").read_text()
    done = invoke(init, *urls(moto), "--dry-run")
    assert done.exit_code == 0
    assert "+    verify = true" in done.stdout
    assert (empty / ".dvc/config").read_text() == before


def test_the_second_init_says_that_there_is_nothing_to_do(empty: Path, moto: Store) -> None:
    words = urls(moto)
    assert invoke(init, *words).exit_code == 0
    before = (empty / ".dvc/config").read_text()
    assert before.startswith("# ours\n")
    assert "Nothing to change" in invoke(init, *words).stdout
    assert (empty / ".dvc/config").read_text() == before


def test_a_bucket_that_is_not_there_stops_init_unless_it_is_offline(
    empty: Path, moto: Store
) -> None:
    before = (empty / ".dvc/config").read_text()
    words = ["--url", "s3://nobody-made-this/faces", "--endpoint-url", moto.url]
    done = invoke(init, *words)
    assert isinstance(done.exception, ToolError)
    assert "Make the bucket" in str(done.exception)
    assert (empty / ".dvc/config").read_text() == before
    assert invoke(init, *words, "--offline").exit_code == 0
    assert "nobody-made-this" in (empty / ".dvc/config").read_text()


def test_wrong_credentials_stop_init_with_the_places_to_set_them(
    empty: Path, seaweed: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = urls(seaweed)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    done = invoke(init, *words)
    assert isinstance(done.exception, ToolError)
    assert "--local" in str(done.exception)
    assert "wrong" not in str(done.exception)


def test_a_cloud_without_its_plugin_names_the_extra(empty: Path) -> None:
    pytest.importorskip("dvc_s3")
    from facemodels.storage.remotes.remote import has_plugin

    if has_plugin("gs"):
        pytest.skip("dvc_gs is installed here")
    done = invoke(init, "--url", "gs://models/faces", "--offline")
    assert isinstance(done.exception, InputError)
    assert "facemodels[gs]" in str(done.exception)


def test_a_folder_is_a_remote_too(empty: Path, tmp_path: Path) -> None:
    done = invoke(init, "--url", str(tmp_path / "one"), "--backup-url", str(tmp_path / "two"))
    assert done.exit_code == 0, done.output
    assert Config(str(empty / ".dvc"))["remote"]["backup"]["url"] == str(tmp_path / "two")
    gone = invoke(init, "--url", str(tmp_path / "no/such/mount"), "--force")
    assert isinstance(gone.exception, ToolError)


def test_a_policy_is_printed_alone_and_for_what_is_set_up(empty: Path) -> None:
    assert isinstance(invoke(init, "--print-policy", "reader").exception, InputError)
    words = ("--url", "s3://models/faces", "--backup-url", "s3://second/faces")
    assert invoke(init, *words, "--offline").exit_code == 0
    before = (empty / ".dvc/config").read_text()
    for role in ROLES:
        plain = invoke(init, "--print-policy", role)
        assert plain.stdout == invoke(init, "--print-policy", role, *words).stdout
        document = json.loads(plain.stdout)
        assert "arn:aws:s3:::models/faces/files/md5/*" in json.dumps(document)
        assert "arn:aws:s3:::second/faces/registry/*" in json.dumps(document)
    assert (empty / ".dvc/config").read_text() == before


# --- the policies, where a server keeps to them -------------------------------------------------


class Guarded:
    """A site whose store asks for the rights of each request.

    moto judges actions and resources by IAM's rules; conditions it does not know (a unit test
    evaluates those).
    """

    def __init__(self, site: S3Site, keys: dict[str, tuple[str, str]]) -> None:
        self.site = site
        self.keys = keys

    def become(self, role: str, monkeypatch: pytest.MonkeyPatch) -> None:
        from s3fs import S3FileSystem

        key, secret = self.keys[role]
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
        S3FileSystem.clear_instance_cache()


@pytest.fixture
def guarded(tmp_path: Path, isolated: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Guarded]:
    folder = tmp_path / "moto"
    folder.mkdir()
    store = stores.moto(folder)
    store.start()
    try:
        for name, value in store.credentials.items():
            monkeypatch.setenv(name, value)
        site = s3_site(tmp_path / "site", store, versions=(V1,), backup=store, push=True)
        monkeypatch.chdir(site.folder)
        iam = boto3.client(
            "iam", endpoint_url=store.url, region_name=REGION,
            aws_access_key_id=store.key, aws_secret_access_key=store.secret,
        )  # fmt: skip
        keys = {"root": (store.key, store.secret)}
        for role in ROLES:
            document = invoke(init, "--print-policy", role).stdout
            arn = iam.create_policy(PolicyName=role, PolicyDocument=document)["Policy"]["Arn"]
            iam.create_user(UserName=role)
            iam.attach_user_policy(UserName=role, PolicyArn=arn)
            key = iam.create_access_key(UserName=role)["AccessKey"]
            keys[role] = (key["AccessKeyId"], key["SecretAccessKey"])
        words = {"content": b"0", "headers": {"Content-Type": "text/plain"}}
        httpx.post(f"{store.url}/moto-api/reset-auth", **words).raise_for_status()  # now it asks
        yield Guarded(site, keys)
    finally:
        store.kill()


def refused(act: Any) -> bool:
    try:
        act()
    except AccessError:
        return True
    return False


def test_each_role_can_do_its_work_and_no_more(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    site = guarded.site
    data = tmp_path / "data"
    data.write_bytes(b"x")
    oid = "9dd4e461268c8034f5c8564e155c67a6"
    entry = site.state().entry(V1)

    def place(name: str) -> ObjectStore:
        return site.place(name)

    guarded.become("reader", monkeypatch)
    shutil.rmtree(site.folder / "models")
    shutil.rmtree(site.folder / ".dvc/cache")
    with obtain(site.folder, entry) as package:
        assert str(package.id).endswith("v1.0.0")
    assert refused(lambda: place("storage").put(data, oid))
    assert refused(lambda: place("storage").delete(next(iter(place("storage").sizes()))))
    assert refused(lambda: back_up(site.folder))

    guarded.become("builder", monkeypatch)
    site.register("rec-facenet-v1.1.0")
    site.push_plainly()
    assert set(site.objects("rec-facenet-v1.1.0").oids) <= set(site.place().sizes())
    assert refused(lambda: place("storage").delete(next(iter(place("storage").sizes()))))
    assert refused(lambda: place("backup").put(data, oid))

    guarded.become("releaser", monkeypatch)
    back_up(site.folder)
    assert refused(lambda: place("backup").delete(next(iter(place("backup").sizes()))))
    place("storage").put(data, oid)
    place("storage").delete(oid)
    assert place("storage").size(oid) is None


def test_the_doctor_says_what_a_role_may_not_ask(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    guarded.become("reader", monkeypatch)
    found = {one.kind: one for one in examine(guarded.site.folder, Checkup(remote="storage"))}
    assert found["not-permitted"].level == "unknown"
    assert "versioning (AccessDenied)" in found["not-permitted"].text
    assert "versioning-off" not in found
    guarded.become("releaser", monkeypatch)
    found = {one.kind: one for one in examine(guarded.site.folder, Checkup(remote="storage"))}
    assert "not-permitted" not in found
    assert found["versioning-off"].level == "problem"


# --- doctor ------------------------------------------------------------------------------------


@pytest.fixture
def site(moto: Store, tmp_path: Path) -> S3Site:
    """A site with a backup, and nothing that the doctor could find."""
    site = s3_site(tmp_path / "site", moto, versions=(V1,), backup=moto, push=True)
    for name in ("storage", "backup"):
        secure(moto, bucket_of(site, name))
    back_up(site.folder)
    return site


def bucket_of(site: S3Site, name: str) -> str:
    return str(site.place(name).odb.path).partition("/")[0]


def secure(store: Store, bucket: str) -> None:
    client = store.client()
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    client.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})


def found(site: S3Site, **asked: Any) -> dict[tuple[str, str], RemoteFinding]:
    return {(one.kind, one.where): one for one in examine(site.folder, Checkup(**asked))}


def edit(site: S3Site, old: str, new: str) -> None:
    path = site.folder / ".dvc/config"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_a_sound_set_up_has_no_finding(site: S3Site, monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(site) == {}
    monkeypatch.chdir(site.folder)
    done = invoke(doctor)
    assert (done.exit_code, done.stdout) == (0, "All is well.\n")
    assert json.loads(invoke(doctor, "--json").stdout) == {"findings": [], "problems": 0}


def test_what_the_buckets_lack_is_found(site: S3Site, moto: Store) -> None:
    client, bucket = moto.client(), bucket_of(site, "storage")
    client.delete_bucket_encryption(Bucket=bucket)
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    assert set(found(site)) == {("encryption-off", "storage"), ("versioning-off", "storage")}


def test_uploads_that_nobody_ended_are_found(
    site: S3Site, moto: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = bucket_of(site, "storage")
    moto.client().create_multipart_upload(Bucket=bucket, Key="prefix/models/half")
    finding = found(site)["unfinished-uploads", "storage"]  # moto dates all of 2010
    assert "prefix/models/half" in finding.text
    monkeypatch.setattr(s3_bucket, "_UNFINISHED", timedelta(days=365_000))
    assert found(site) == {}  # somebody may still be sending


def test_a_backup_on_the_disk_of_the_storage_is_found(empty: Path) -> None:
    with (empty / ".dvc/config").open("a") as config:
        config.write("    remote = storage\n")
        for name in ("storage", "backup"):
            config.write(f"""['remote "{name}"']\n    url = ../../{name}\n    verify = true\n""")
    assert "backup-on-same-disk" in {one.kind for one in examine(empty)}
    # What `facemodels storage recover` leaves is no mistake in the URL of the backup.
    (empty / ".dvc/config.local").write_text("[core]\n    remote = backup\n")
    (one,) = (one for one in examine(empty) if one.kind == "backup-is-storage")
    assert "init --force --url" in one.remedy


@pytest.mark.parametrize("way", ["policy", "acl"])
def test_a_public_bucket_is_found(site: S3Site, moto: Store, way: str) -> None:
    client, bucket = moto.client(), bucket_of(site, "backup")
    if way == "acl":
        client.put_bucket_acl(Bucket=bucket, ACL="public-read")
    else:
        statement = {
            "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject",
            "Resource": f"arn:aws:s3:::{bucket}/*",
        }  # fmt: skip
        document = {"Version": "2012-10-17", "Statement": [statement]}
        client.put_bucket_policy(Bucket=bucket, Policy=json.dumps(document))
    assert set(found(site)) == {("public", "backup")}


def test_amazons_guard_is_asked_for_where_it_is_amazon(
    site: S3Site, moto: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        edit(site, f"    endpointurl = {moto.url}\n", "")
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto.url)
    assert set(found(site, remote="storage")) == {("public-access-unblocked", "storage")}
    blocks = dict.fromkeys(
        ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
    )
    moto.client().put_public_access_block(
        Bucket=bucket_of(site, "storage"), PublicAccessBlockConfiguration=blocks
    )
    assert found(site, remote="storage") == {}


def test_files_that_are_no_objects_are_found(site: S3Site, moto: Store) -> None:
    bucket = bucket_of(site, "storage")
    moto.client().put_object(Bucket=bucket, Key="prefix/models/files/md5/notes.txt", Body=b"x")
    finding = found(site)["no-objects", "storage"]
    assert "notes.txt" in finding.text


def test_the_files_are_looked_at(site: S3Site) -> None:
    edit(site, "verify = true", "verify = false\n    secret_access_key = hunter2secret")
    (site.folder / ".dvc/config.local").write_text("")
    git(site.folder, "add", "--force", ".dvc/config.local")
    findings = found(site, remote="storage")
    assert ("verify-off", "storage") in findings
    assert ("credentials-in-git", ".dvc/config") in findings
    assert ("credentials-in-git", ".dvc/config.local") in findings
    assert not any("hunter2secret" in one.text + one.remedy for one in findings.values())


def test_a_missing_default_and_a_missing_backup_are_found(empty: Path) -> None:
    kinds = {one.kind for one in examine(empty)}
    assert kinds == {"no-remote", "no-backup"}
    done = invoke(doctor)
    assert done.exit_code == 1
    assert "storage init" in done.stdout


def test_a_backup_in_the_storage_is_found(site: S3Site) -> None:
    urls = {name: Config(str(site.folder / ".dvc"))["remote"][name]["url"]
            for name in ("storage", "backup")}  # fmt: skip
    edit(site, urls["backup"], urls["storage"])
    assert ("backup-in-storage", "backup") in found(site)


def test_an_old_an_empty_and_a_damaged_backup_are_found(site: S3Site, moto: Store) -> None:
    import time

    later = time.time() + 3 * 86400
    key, bucket = "prefix/backup/registry/latest.json", bucket_of(site, "backup")
    assert ("backup-old", "backup") not in found(site, now=lambda: later)
    old = found(site, now=lambda: later, backup_days=2)["backup-old", "backup"]
    assert "3.0 days" in old.text
    moto.client().put_object(Bucket=bucket, Key=key, Body=b"{")
    assert set(found(site)) == {("backup-damaged", "backup")}
    moto.client().delete_object(Bucket=bucket, Key=key)
    assert set(found(site)) == {("backup-empty", "backup")}


def test_a_clock_that_is_wrong_is_found(site: S3Site) -> None:
    import time

    assert ("clock-skew", "storage") not in found(site, now=lambda: time.time() + 200)
    skewed = found(site, now=lambda: time.time() - 1000)["clock-skew", "storage"]
    assert "by 1000 s" in skewed.text or "by 999 s" in skewed.text or "by 1001 s" in skewed.text


def test_an_absent_bucket_is_not_a_wrong_key(site: S3Site) -> None:
    edit(site, "url = s3://", "url = s3://not-")
    assert set(found(site, remote="storage")) == {("bucket-absent", "storage")}


def test_wrong_credentials_are_found(
    seaweed: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = s3_site(tmp_path / "site", seaweed, versions=())
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2secret")
    finding = found(site, remote="storage")["access-denied", "storage"]
    assert "hunter2secret" not in finding.text + finding.remedy


def test_a_store_that_is_gone_is_unreachable(tmp_path: Path, isolated: None) -> None:
    root = tmp_path / "repo"
    root.mkdir()
    git(root, "init", "--quiet")
    (root / ".dvc").mkdir()
    (root / ".dvc/config").write_text(
        "[core]\n    remote = storage\n['remote \"storage\"']\n    url = s3://models/x\n"
        f"    endpointurl = http://127.0.0.1:{stores.free_port()}\n    verify = true\n"
        "    access_key_id = a\n    secret_access_key = b\n"
    )
    kinds = [one.kind for one in examine(root, Checkup(remote="storage"))]
    assert kinds == ["credentials-in-git", "credentials-in-git", "unreachable"]


def test_a_plugin_that_is_missing_is_found(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from facemodels.storage.remotes import remote

    monkeypatch.setitem(remote.PLUGINS, "gs", "dvc_gs_that_nobody_installed")  # type: ignore[attr-defined]
    (empty / ".dvc/config").write_text(
        "['remote \"g\"']\n    url = gs://models/x\n    verify = true\n"
    )
    (finding,) = examine(empty, Checkup(remote="g"))
    assert finding.kind == "plugin-missing"
    assert "facemodels[gs]" in finding.remedy


def test_an_unknown_remote_is_refused(empty: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        examine(empty, Checkup(remote="nowhere"))
