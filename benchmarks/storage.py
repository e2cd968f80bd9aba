"""Pushing, pulling and proving weights, beside plain DVC, boto3 and sha256sum.

python -m benchmarks.storage [--quick] [--rounds 3] [--shapes mix one small] [--beside dvc boto3]

A repository in one of three shapes and SeaweedFS as the store: 2 GB of packages (`mix`: weights of
100 MB each, and the small files around them), one version whose weights are 1 GB (`one`), or one of
10,000 files of 1 kB (`small`), on one machine. Everybody moves the same objects between the same
disk and the same server, each time into an empty bucket or an empty cache; all take turns in every
round. Ours proves each object by its digest, the others do not (`dvc pull` with `verify` does; it
is on).
Each is a process of its own, its start included; of a machine that others use too, the seconds of
CPU say more than those of the clock. boto3 is its transfer manager with 10 threads.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tests.functional.storage.stores import S3Site, Store, s3_site, seaweed

from facemodels.files import sha256
from facemodels.names import ModelId
from facemodels.registry import tag_names
from facemodels.registry.events import Event
from facemodels.registry.state import State, fold
from facemodels.storage.retention.plan import plan
from facemodels.storage.retention.settings import RetentionSettings
from facemodels.storage.stores.object_store import FolderFile
from facemodels.storage.stores.objects import VersionObjects
from facemodels.text import markdown

MB = 1_000_000
BIN = Path(sys.executable).parent
_BOTO = """
import os, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import boto3
from boto3.s3.transfer import TransferConfig
act, url, bucket, folder = sys.argv[1:5]
client = boto3.client("s3", endpoint_url=url)
config = TransferConfig(max_concurrency=10)
folder = Path(folder)
if act == "push":
    jobs = [(str(path), path.relative_to(folder).as_posix())
            for path in sorted(folder.rglob("*")) if path.is_file()]
    move = lambda job: client.upload_file(job[0], bucket, f"mix/{job[1]}", Config=config)
else:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="mix/")
    jobs = [one["Key"] for page in pages for one in page["Contents"]]
    def move(key):
        path = folder / key.removeprefix("mix/")
        path.parent.mkdir(parents=True, exist_ok=True)
        client.download_file(bucket, key, str(path), Config=config)
with ThreadPoolExecutor(4) as pool:
    list(pool.map(move, jobs))
"""


class Taken(NamedTuple):
    """Seconds of a process: by the clock, and of CPU with its children's."""

    wall: float
    cpu: float


def timed(command: list[str], folder: Path) -> Taken:
    """What a process takes that succeeds."""
    begin, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Taken(time.perf_counter() - begin, cpu)


def large(folder: Path) -> Store:
    """A store with room for all buckets of the run."""
    store = seaweed(folder)
    store.command = tuple(
        "-master.volumeSizeLimitMB=1024" if "volumeSizeLimitMB" in word
        else "-volume.max=400" if word.startswith("-volume.max") else word
        for word in store.command
    )  # fmt: skip
    return store


class Contest:
    """One repository, one store, and who moves the objects.

    Args:
        site: its cache is full.
        store: that runs.
        total: bytes of the objects.
    """

    def __init__(self, site: S3Site, store: Store, total: int) -> None:
        self.site = site
        self.store = store
        self.total = total
        self.cache = site.folder / ".dvc/cache/files"
        self.full = site.folder / ".dvc/full"
        self.bucket = ""

    def fresh_bucket(self) -> None:
        """Point the remote at an empty bucket; drop the one before."""
        client = self.store.client()
        if self.bucket:
            for key in self.store.keys(self.bucket):
                client.delete_object(Bucket=self.bucket, Key=key)
        self.bucket = self.store.bucket()
        remote = {
            "url": f"s3://{self.bucket}/mix", "endpointurl": self.store.url,
            "region": "us-east-1", "verify": "true",
        }  # fmt: skip
        self.site.configure_remotes({"storage": remote}, "storage")
        shutil.rmtree(self.site.folder / ".dvc/tmp", ignore_errors=True)

    def push(self, who: str) -> Taken:
        """Seconds, into an empty bucket."""
        self.fresh_bucket()
        return timed(self._command(who, "push"), self.site.folder)

    def pull(self, who: str) -> Taken:
        """Seconds, into an empty cache; the bucket is full."""
        self.cache.rename(self.full)
        try:
            taken = timed(self._command(who, "pull"), self.site.folder)
            found = sum(path.stat().st_size for path in self.cache.rglob("*") if path.is_file())
            if found < self.total:
                raise SystemExit(f"{who} pulled {found} of {self.total} bytes")
        finally:
            shutil.rmtree(self.cache, ignore_errors=True)
            self.full.rename(self.cache)
            shutil.rmtree(self.site.folder / ".dvc/tmp", ignore_errors=True)
        return taken

    def _command(self, who: str, act: str) -> list[str]:
        if who == "dvc":
            return [str(BIN / "dvc"), "push" if act == "push" else "fetch", "--all-tags"]
        if who == "boto3":
            return [sys.executable, "-c", _BOTO, act, self.store.url, self.bucket, str(self.cache)]
        return [str(BIN / "facemodels"), "storage", act]


def of_small_files(folder: Path, store: Store, count: int) -> S3Site:
    """A repository with one version of many files of 1 kB each."""
    site = s3_site(folder, store, versions=())
    model = ModelId.parse("rec-facenet-v1.0.0")
    path = site.folder / str(model.folder)
    path.mkdir(parents=True)
    data = np.random.default_rng(0).bytes(1000 * count)
    for number in range(count):
        (path / f"{number}.bin").write_bytes(data[1000 * number : 1000 * (number + 1)])
    site.track(model, {}, package="0" * 64)
    return site


def transfers(contest: Contest, rounds: int, beside: list[str]) -> list[dict[str, object]]:
    """Throughput of everybody in both directions."""
    taken: dict[tuple[str, str], list[Taken]] = {}
    names = ("ours", *beside)
    for number in range(rounds):
        turn = number % len(names)
        for who in names[turn:] + names[:turn]:
            taken.setdefault(("push", who), []).append(contest.push(who))
            taken.setdefault(("pull", who), []).append(contest.pull(who))
    rows: list[dict[str, object]] = []
    for (act, who), seconds in sorted(taken.items()):
        wall, cpu = np.median(np.array(seconds), axis=0)
        ratios = np.median(np.array(taken[act, "ours"]) / np.array(seconds), axis=0)
        rows.append(
            {
                "what": act, "who": who, "s": float(wall), "CPU, s": float(cpu),
                "MB/s": contest.total / MB / float(wall),
                "ours / it, time": float(ratios[0]), "ours / it, CPU": float(ratios[1]),
            }
        )  # fmt: skip
    return rows


def digests(folder: Path, rounds: int) -> list[dict[str, object]]:
    """Our digests of a file beside sha256sum's, one core and all."""
    path = folder / "blob"
    path.write_bytes(np.random.default_rng(0).bytes(256 * MB))
    paths = [path] * (os.cpu_count() or 1)

    def together() -> None:
        with ThreadPoolExecutor(len(paths)) as pool:
            list(pool.map(sha256, paths))

    acts: dict[str, Callable[[], Any]] = {
        "sha256sum": lambda: subprocess.run(
            ("sha256sum", path), check=True, stdout=subprocess.DEVNULL
        ),
        "ours, one core": lambda: sha256(path),
        f"ours, {len(paths)} cores": together,
    }
    taken: dict[str, list[float]] = {name: [] for name in acts}
    for _ in range(rounds):
        for name, act in acts.items():
            begin = time.perf_counter()
            act()
            taken[name].append(time.perf_counter() - begin)
    base = np.array(taken["sha256sum"])
    return [
        {
            "digests of 256 MB": name,
            "MB/s": 256 * (len(paths) if "cores" in name else 1) / float(np.median(seconds)),
            "times sha256sum": float(
                np.median(base / np.array(seconds)) * (len(paths) if "cores" in name else 1)
            ),
        }
        for name, seconds in taken.items()
    ]


def many(count: int) -> tuple[State, dict[str, VersionObjects], dict[str, int]]:
    """Versions that each went to production and were followed by the next; a third deprecated."""
    events: list[Event] = []

    def add(tag: str, number: int, moment: int, record: dict[str, Any]) -> None:
        name = tag_names.parse(tag)
        assert name is not None
        oid = f"{len(events):040x}"
        record["sequence"] = len(events) + 1
        events.append(Event(tag, name, oid, f"{number:040x}", tag, "B <b@e>", moment, record, ""))

    objects, sizes = {}, {}
    for number in range(count):
        model = ModelId.parse(f"recognition-facenet@v1.{number}.0")
        oids = [f"{number * 8 + part:032x}" for part in range(7)]
        objects[str(model)] = VersionObjects(
            str(model), f"{oids[0]}.dir", tuple(FolderFile(oid, oid) for oid in oids[1:])
        )
        sizes.update(dict.fromkeys(objects[str(model)].oids, MB))
        record = {"act": "register", "evidence": {"dvc": f"md5:{oids[0]}.dir"}, "entry": {}}
        add(f"{model.name}@v{model.version}", number, 3 * number, record)
        stages = ["staging", "production"]
        for place, stage in enumerate(stages, start=1):
            add(
                f"{model.name}#{stage}#{len(events)}",
                number,
                3 * number + place,
                {"act": "promote"},
            )
        if number % 3 == 0 and number:
            act = {"act": "deprecate"}
            add(f"{model.name}#deprecated#{len(events)}", number - 1, 3 * number + 2, act)
    return fold(events), objects, sizes


def planning(versions: int, rounds: int) -> dict[str, object]:
    """Seconds of a retention plan."""
    state, objects, sizes = many(versions)
    taken = []
    for _ in range(rounds):
        begin = time.perf_counter()
        made = plan(state, RetentionSettings(), 4e9, objects, sizes)
        taken.append(time.perf_counter() - begin)
    return {
        "versions": versions, "plan, s": float(np.median(taken)), "limit, s": 2.0,
        "retired": len(made.to_archive),
    }  # fmt: skip


def main() -> None:
    """Measure all, and print it."""
    parser = argparse.ArgumentParser(description="See the top of the file.")
    parser.add_argument("--quick", action="store_true", help="A tenth of the bytes, one round.")
    parser.add_argument("--shapes", nargs="+", choices=("mix", "one", "small"), default=["mix"])
    parser.add_argument("--rounds", type=int, default=3, help="Turns of everybody.")
    parser.add_argument("--beside", nargs="+", choices=("dvc", "boto3"), default=["dvc", "boto3"])
    options = parser.parse_args()
    count, size, rounds = (4, 50 * MB, 1) if options.quick else (20, 100 * MB, options.rounds)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        os.environ["HOME"] = scratch
        for key, value in (("user.name", "Benchmark"), ("user.email", "b@example.org")):
            subprocess.run(("git", "config", "--global", key, value), check=True)
        print(markdown(digests(folder, rounds + 2)), "\n")
        print(markdown([planning(10_000, rounds)]), "\n")
        (folder / "store").mkdir()
        store = large(folder / "store")
        os.environ.update(store.credentials)
        store.start()
        try:
            for shape in options.shapes:
                place = folder / shape
                if shape == "small":
                    site = of_small_files(place, store, 10_000 // (10 if options.quick else 1))
                else:
                    many = shape == "mix"
                    names = [f"rec-facenet-v1.{number}.0" for number in range(count if many else 1)]
                    bytes_each = size if many else (100 if options.quick else 1000) * MB
                    site = s3_site(place, store, versions=tuple(names), size=bytes_each)
                sizes = site.cache.sizes()
                total = sum(sizes[oid] for oid in site.all_objects())
                print(f"{shape}: {total / MB:.0f} MB in {len(site.all_objects())} objects\n")
                print(
                    markdown(transfers(Contest(site, store, total), rounds, options.beside)),
                    flush=True,
                )
        finally:
            store.kill()


if __name__ == "__main__":
    main()
