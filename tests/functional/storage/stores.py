"""Real stores of objects on loopback, and repositories whose DVC remote lies in one."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
import httpx
import numpy as np
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from click.testing import CliRunner, Result

from facemodels.cli.main import main
from facemodels.files import write_text, write_yaml
from facemodels.names import ModelId
from facemodels.package.load import open_package
from facemodels.package.verify import write_checksums
from facemodels.registry import rules
from facemodels.registry.proposals import ProposedEvent
from facemodels.registry.state import State
from facemodels.storage.stores.object_store import CACHE, ObjectStore
from facemodels.storage.stores.objects import VersionObjects, objects_of
from facemodels.storage.stores.stores import open_store
from tests.functional.deployment.site import (
    EnvironmentSite,
    free_port,
    git,
    wait_until,
    write_package,
)

BIN = Path(sys.executable).parent
REGION = "us-east-1"
VERSIONS = ("rec-facenet-v1.0.0", "rec-facenet-v1.1.0", "rec-facenet-v2.0.0")


@dataclass
class Store:
    """A server that speaks S3, as a process of its own.

    Attributes:
        command: that starts it, always on the same port.
        folder: its log is here, and what it keeps.
        port: where it answers.
        key: id of the access key that it lets in.
        secret: of that key.
    """

    command: tuple[str, ...]
    folder: Path
    port: int
    key: str
    secret: str
    process: subprocess.Popen[bytes] | None = None
    _names: itertools.count[int] = field(default_factory=itertools.count)

    @property
    def url(self) -> str:
        """DVC's `endpointurl`."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def credentials(self) -> dict[str, str]:
        """The environment that lets somebody in."""
        return {
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def start(self) -> None:
        """Start it and wait until it takes and gives objects."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        wait_until(self._answers, f"{self.command[0]} answers")

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "log").read_text()[-3000:]
        client = self.client(connect_timeout=1, read_timeout=5, retries={"max_attempts": 1})
        try:
            client.create_bucket(Bucket="probe")
        except ClientError as error:
            if not error.response["Error"]["Code"].startswith("BucketAlready"):
                return False
        except BotoCoreError:
            return False
        try:
            client.put_object(Bucket="probe", Key="probe", Body=b"probe")
            return bool(client.get_object(Bucket="probe", Key="probe")["Body"].read() == b"probe")
        except (ClientError, BotoCoreError):
            return False

    def kill(self) -> None:
        """SIGKILL; what it wrote stays, if it is one that keeps things."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def client(self, **config: Any) -> Any:
        """boto3's client, to look at the store and to damage it."""
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=self.key,
            aws_secret_access_key=self.secret,
            region_name=REGION,
            config=Config(**config),
        )

    @cached_property
    def _plain_client(self) -> Any:
        return self.client()  # takes 40 ms to make

    def bucket(self) -> str:
        """A new, empty bucket."""
        name = f"models-{next(self._names)}"
        self._plain_client.create_bucket(Bucket=name)
        return name

    def remote(self, prefix: str) -> dict[str, str]:
        """DVC's settings of a remote in a new bucket."""
        return self.settings(self.bucket(), prefix)

    def settings(self, bucket: str, prefix: str) -> dict[str, str]:
        """DVC's settings of a remote."""
        return {
            "url": f"s3://{bucket}/{prefix}",
            "endpointurl": self.url,
            "region": REGION,
            "verify": "true",
        }

    def put(self, bucket: str, key: str, data: bytes) -> None:
        """Write one object."""
        self._plain_client.put_object(Bucket=bucket, Key=key, Body=data)

    def keys(self, bucket: str, prefix: str = "") -> dict[str, int]:
        """Bytes of all objects, by key."""
        pages = self.client().get_paginator("list_objects_v2").paginate(
            Bucket=bucket, Prefix=prefix
        )  # fmt: skip
        return {one["Key"]: one["Size"] for page in pages for one in page.get("Contents", ())}


def moto(folder: Path) -> Store:
    """moto: starts at once, lets everybody in, forgets everything at its end."""
    port = free_port()
    command = (str(BIN / "moto_server"), "-H", "127.0.0.1", "-p", str(port))
    return Store(command, folder, port, "test", "test")


def seaweed(folder: Path) -> Store:
    """SeaweedFS: asks who one is, and keeps what it has taken over a kill -9."""
    names = ("master", "volume", "filer", "s3")
    ports = {name: (free_port(), free_port()) for name in names}
    store = Store((), folder, ports["s3"][0], "test-key-id", "secret-of-the-test")
    who = {
        "name": "builder",
        "credentials": [{"accessKey": store.key, "secretKey": store.secret}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    (folder / "s3.json").write_text(json.dumps({"identities": [who]}))
    (folder / "data").mkdir()
    store.command = (
        str(BIN / "weed"), "-logtostderr", "server", "-dir=data",
        "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3", "-s3.config=s3.json",
        "-s3.iam=false", "-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false",
        "-master.volumeSizeLimitMB=64", "-volume.max=50",
        # Alone it need not wait for others to vote: 3 s to restart instead of 20 s.
        "-master.electionTimeout=1s", "-master.heartbeatInterval=200ms", "-master.raftHashicorp",
        *(f"-{name}.port={http}" for name, (http, _) in ports.items()),
        *(f"-{name}.port.grpc={grpc}" for name, (_, grpc) in ports.items()),
    )  # fmt: skip
    return store


class GcsStore(Store):
    """Google Cloud Storage, as its emulator answers: it lets everybody in and forgets all."""

    @property
    def credentials(self) -> dict[str, str]:
        return {"STORAGE_EMULATOR_HOST": self.url}

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "log").read_text()[-3000:]
        try:
            return httpx.get(f"{self.url}/storage/v1/b?project=test").status_code == 200
        except httpx.TransportError:
            return False

    def bucket(self) -> str:
        name = f"models-{next(self._names)}"
        answer = httpx.post(f"{self.url}/storage/v1/b?project=test", json={"name": name})
        answer.raise_for_status()
        return name

    def settings(self, bucket: str, prefix: str) -> dict[str, str]:
        url = f"gs://{bucket}/{prefix}"
        settings = {"url": url, "endpointurl": self.url, "verify": "true"}
        return {**settings, "allow_anonymous_login": "true"}


def gcs(folder: Path) -> GcsStore:
    """The emulator of Google Cloud Storage, a package of PyPI."""
    port = free_port()
    command = (str(BIN / "gcp-storage-emulator"), "start", "--host=127.0.0.1", f"--port={port}",
               "--in-memory")  # fmt: skip
    return GcsStore(command, folder, port, "", "")


# --- repositories ------------------------------------------------------------------------


@dataclass
class S3Site(EnvironmentSite):
    """A clone whose packages DVC tracks; see `EnvironmentSite` for what else can be done in it."""

    def register(
        self, identity: str, behaviour: Any = "good", *, space: str = "one", size: int = 0
    ) -> ModelId:
        """Make a version's package, `dvc add` it, commit and register it.

        Args:
            identity: of the version.
            behaviour: of its graph.
            space: of its embeddings.
            size: bytes of its weights, which belong to it alone; 0: a note of a few bytes.
        """
        model = ModelId.parse(identity)
        folder = self.folder / str(model.folder)
        write_package(folder, model, behaviour, space)
        if size:
            (folder / "model.pt").write_bytes(some_bytes(size, identity))
            write_checksums(folder)
        self.enter(model, {"interface": {"embedding_space": space}})
        return model

    def enter(self, model: ModelId, facts: Mapping[str, Any]) -> None:
        """`dvc add` the package of a version, commit and register it."""
        digest = open_package(self.folder / str(model.folder)).digest
        self.track(model, facts, package=digest)

    def track(self, model: ModelId, facts: Mapping[str, Any], *, package: str) -> None:
        """`dvc add` the folder of a version, which need be no package, commit and register it."""
        from dvc.repo import Repo

        path = str(model.folder)
        with Repo(str(self.folder)) as repo:
            stage = repo.add(str(self.folder / path))[0]
        digest = stage.outs[0].hash_info.value
        git(self.folder, "add", "--all")
        git(self.folder, "commit", "--quiet", "-m", f"Make {model}")
        commit = git(self.folder, "rev-parse", "HEAD")
        evidence = {
            "package": f"sha256:{package}", "dvc": f"md5:{digest}", "suite": ["benchmark"],
        }  # fmt: skip
        entry = {"path": path, "dvc": digest, **facts}

        def plan(now: State) -> ProposedEvent:
            return rules.register(now, model, commit, reason="new", evidence=evidence, entry=entry)

        self.repository.add(plan)

    def command(self, *words: str, code: int = 0) -> Result:
        """`facemodels storage …` in our own process: a second less than `run` needs to start."""
        with contextlib.chdir(self.folder):
            done = CliRunner().invoke(main, ["storage", *words])
        assert done.exit_code == code, (words, done.output, done.exception)
        return done

    def place(self, name: str | None = None) -> ObjectStore:
        """The default remote, another one, or the cache."""
        return open_store(self.folder, name)

    @property
    def cache(self) -> ObjectStore:
        return self.place(CACHE)

    def objects(self, identity: str) -> VersionObjects:
        """What a version is made of, by the cache."""
        return objects_of(self.state().entry(identity), [self.cache])

    def all_objects(self) -> set[str]:
        """Ids of the objects of all registered versions, by the cache."""
        ids = self.state().entries
        return {oid for identity in ids for oid in self.objects(identity).oids}

    def push_plainly(self, remote: str | None = None) -> None:
        """What `dvc push` does."""
        from dvc.repo import Repo

        with Repo(str(self.folder)) as repo:
            repo.push(all_tags=True, remote=remote)

    def configure_remotes(self, remotes: Mapping[str, Mapping[str, str]], default: str) -> None:
        """Write .dvc/config."""
        lines = [f"[core]\n    analytics = false\n    autostage = true\n    remote = {default}"]
        for name, settings in remotes.items():
            lines.append(f"['remote \"{name}\"']")
            lines += [f"    {key} = {value}" for key, value in settings.items()]
        write_text(self.folder / ".dvc/config", "\n".join(lines) + "\n")


def s3_site(
    folder: Path,
    store: Store,
    *,
    versions: tuple[str, ...] = VERSIONS,
    backup: Store | None = None,
    size: int = 0,
    push: bool = False,
) -> S3Site:
    """A repository with an own bucket as its default remote `storage`.

    Args:
        folder: gets `clone` and `origin.git`.
        store: of the default remote; its credentials must be in the environment.
        versions: to register.
        backup: of the remote `backup`, a bucket of its own; None: there is no such remote.
        size: of each version's weights, bytes; see `S3Site.register`.
        push: bring all objects to the default remote, where `dvc push` would.
    """
    wanted = "-".join((*versions, str(size)))
    template = store.folder / f"site-{hashlib.sha256(wanted.encode()).hexdigest()}"
    if not template.exists():
        _site_without_remotes(template, versions, size)
    shutil.copytree(template, folder, symlinks=True, dirs_exist_ok=True)
    site = S3Site(folder / "clone")
    git(site.folder, "remote", "set-url", "origin", str(folder / "origin.git"))
    bucket = store.bucket()
    remotes = {"storage": store.settings(bucket, "prefix/models")}
    if backup is not None:
        remotes["backup"] = backup.remote("prefix/backup")
    site.configure_remotes(remotes, "storage")
    git(site.folder, "commit", "--quiet", "--all", "-m", "Name the remotes")
    git(site.folder, "push", "--quiet", "origin", "main")
    if push:
        cache = site.folder / ".dvc/cache"
        for file in sorted(path for path in cache.glob("files/md5/*/*") if path.is_file()):
            store.put(bucket, f"prefix/models/{file.relative_to(cache)}", file.read_bytes())
    return site


def _site_without_remotes(folder: Path, versions: tuple[str, ...], size: int) -> None:
    """What `s3_site` copies: DVC and Git take half a second for three versions."""
    making = folder.with_name(f"{folder.name}.tmp")  # where it was interrupted, it is made anew
    shutil.rmtree(making, ignore_errors=True)
    root = making / "clone"
    making.mkdir()
    git(making, "init", "--quiet", "--bare", "--initial-branch=main", "origin.git")
    git(making, "clone", "--quiet", str(making / "origin.git"), str(root))
    site = S3Site(root)
    site.configure_remotes({}, "storage")
    write_text(root / ".dvc/.gitignore", "/config.local\n/tmp\n/cache\n")
    write_yaml(root / "conf/registry.yaml", {"remote": "origin"})
    (root / ".gitignore").write_text("/.facemodels/\n")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "-m", "Begin")
    git(root, "push", "--quiet", "origin", "main")
    for version in versions:
        site.register(version, size=size)
    git(root, "push", "--quiet", "origin", "main")
    making.rename(folder)


def some_bytes(size: int, seed: str) -> bytes:
    """Bytes that do not compress, the same for the same seed."""
    number = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "big")
    return np.random.default_rng(number).bytes(size)
