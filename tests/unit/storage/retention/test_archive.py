"""Archives: the same bytes everywhere, believed for what is in them alone."""

from __future__ import annotations

import hashlib
import io
import json
import random
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from tests.unit.registry.conftest import Ledger, commit_of

from facemodels.errors import IntegrityError
from facemodels.files import sha256, sha256_tree, write_json, write_yaml
from facemodels.names import ModelId
from facemodels.package.verify import CHECKSUMS, write_checksums
from facemodels.registry import rules
from facemodels.registry.state import Entry
from facemodels.storage.retention.archive import SUMS, pack, unpack
from facemodels.storage.retention.settings import ArchiveSettings
from facemodels.storage.retention.version_files import VersionFiles, check
from facemodels.storage.stores.object_store import FolderFile, md5

MODEL = "rec-facenet-v1.0.0"
FOLDER = "facenet-v1.0.0"


def package(folder: Path, size: int = 3_000_000) -> None:
    folder.mkdir(parents=True)
    (folder / "model.pt").write_bytes(random.Random(7).randbytes(size // 2) * 2)
    (folder / "README.md").write_text("Small.\n")
    (folder / "requirements.txt").write_text("onnxruntime\n")
    write_yaml(folder / "config.yaml", {"name": "recognition-facenet"})
    write_json(folder / "metadata.json", {"version": "1.0.0"})
    write_checksums(folder)


def listed(folder: Path, target: Path) -> VersionFiles:
    """A folder with its list, as DVC makes it."""
    children = [
        {"md5": md5(path), "relpath": path.relative_to(folder).as_posix()}
        for path in sorted(folder.rglob("*"))
    ]
    data = json.dumps(children, sort_keys=True).encode()
    path = target / f"{hashlib.md5(data, usedforsecurity=False).hexdigest()}.dir"
    path.write_bytes(data)
    files = tuple(FolderFile(child["md5"], child["relpath"]) for child in children)
    return VersionFiles(folder, path, files)


def registered(content: VersionFiles) -> Entry:
    ledger = Ledger()
    model = ModelId.parse(MODEL)
    evidence = {
        "package": f"sha256:{sha256(content.folder / CHECKSUMS)}",
        "dvc": f"md5:{content.list.name}",
    }
    facts = {"path": str(model.folder)}
    ledger.add(
        lambda now: rules.register(
            now, model, commit_of(MODEL), reason="new", evidence=evidence, entry=facts
        )
    )
    return ledger.state.entry(model)


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> VersionFiles:
    folder = tmp_path_factory.mktemp("content")
    package(folder / FOLDER)
    return listed(folder / FOLDER, folder)


@pytest.fixture(scope="module")
def entry(content: VersionFiles) -> Entry:
    return registered(content)


@pytest.fixture(scope="module")
def packed(content: VersionFiles, entry: Entry, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("packed") / "archive.tar.zst"
    pack(entry, content, target, ArchiveSettings(level=3, threads=1))
    return target


@pytest.fixture
def empty(tmp_path: Path) -> Callable[[], Path]:
    """A new, empty folder each time; the one before is gone."""

    def another() -> Path:
        folder = tmp_path / "scratch"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder

    return another


def test_unpacked_files_are_those_that_were_packed(
    packed: Path, content: VersionFiles, entry: Entry, tmp_path: Path
) -> None:
    back = unpack(entry, packed, tmp_path)
    assert sha256_tree(back.folder) == sha256_tree(content.folder)
    assert back.list.read_bytes() == content.list.read_bytes()
    assert list(back.objects) == list(content.objects)
    assert back.objects.keys() == {*(md5(p) for p in content.folder.iterdir()), content.list.name}
    assert packed.stat().st_size < 0.6 * content.size


@pytest.mark.parametrize("threads", [0, 2, 5])
def test_any_number_of_threads_gives_the_same_bytes(
    packed: Path, content: VersionFiles, entry: Entry, tmp_path: Path, threads: int
) -> None:
    target = tmp_path / "other"
    pack(entry, content, target, ArchiveSettings(level=3, threads=threads))
    assert target.read_bytes() == packed.read_bytes()


def test_dates_and_rights_of_the_files_leave_no_trace(
    packed: Path, content: VersionFiles, entry: Entry, tmp_path: Path
) -> None:
    shutil.copytree(content.folder, tmp_path / FOLDER, copy_function=shutil.copyfile)
    for path in (tmp_path / FOLDER).iterdir():
        path.chmod(0o600)
    other = listed(tmp_path / FOLDER, tmp_path)
    pack(entry, other, tmp_path / "other", ArchiveSettings(level=3, threads=1))
    assert (tmp_path / "other").read_bytes() == packed.read_bytes()


def test_common_tools_read_it_and_check_it(packed: Path, tmp_path: Path) -> None:
    """`tar --zstd -xf` and `sha256sum -c`, without our code."""
    with packed.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as stream:
        subprocess.run(["tar", "-x"], input=stream.read(), cwd=tmp_path, check=True)
    subprocess.run(["sha256sum", "--check", "--strict", SUMS], cwd=tmp_path, check=True)
    subprocess.run(["sha256sum", "--check", CHECKSUMS], cwd=tmp_path / FOLDER, check=True)


def test_a_damaged_archive_is_refused(
    packed: Path, content: VersionFiles, entry: Entry, tmp_path: Path, empty: Callable[[], Path]
) -> None:
    data = packed.read_bytes()
    drawn = random.Random(1)
    changed = tmp_path / "changed"
    for number in range(60):
        place = drawn.randrange(len(data)) if number >= 20 else number
        flipped = data[:place] + bytes([data[place] ^ 1 << number % 8]) + data[place + 1 :]
        changed.write_bytes(flipped)
        # Some bits of a frame say nothing of what is in it.
        assert is_refused(entry, content, changed, empty()) or place < 20
    for length in (0, 1, 10, len(data) // 2, len(data) - 1000):
        changed.write_bytes(data[:length])
        assert is_refused(entry, content, changed, empty())


def is_refused(entry: Entry, content: VersionFiles, source: Path, scratch: Path) -> bool:
    """Whether it is refused; where it is not, what comes out must be what went in."""
    try:
        back = unpack(entry, source, scratch)
    except IntegrityError:
        return True
    assert sha256_tree(back.folder) == sha256_tree(content.folder)
    return False


def remake(packed: Path, target: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """The archive with other members and a right list of sums, as somebody might forge it."""
    data = zstandard.ZstdDecompressor().stream_reader(packed.read_bytes()).read()
    members = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for member in tar:
            stream = tar.extractfile(member)
            assert stream is not None
            members[member.name] = stream.read()
    del members[SUMS]
    change(members)
    sums = "".join(f"{hashlib.sha256(b).hexdigest()}  {name}\n" for name, b in members.items())
    return write_tar(target, {SUMS: sums.encode(), **members})


def write_tar(target: Path, members: dict[str, bytes], *links: tarfile.TarInfo) -> Path:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for link in links:
            tar.addfile(link)
    target.write_bytes(zstandard.ZstdCompressor().compress(buffer.getvalue()))
    return target


def more(members: dict[str, bytes]) -> None:
    members[f"{FOLDER}/evil.py"] = b"import os\n"


def other_weights(members: dict[str, bytes]) -> None:
    members[f"{FOLDER}/model.pt"] += b"x"


def no_weights(members: dict[str, bytes]) -> None:
    del members[f"{FOLDER}/model.pt"]


def outside(members: dict[str, bytes]) -> None:
    members["../outside"] = b"x"


def absolute(members: dict[str, bytes]) -> None:
    members["/tmp/outside"] = b"x"  # noqa: S108  (never written)


def other_list(members: dict[str, bytes]) -> None:
    name = next(name for name in members if name.endswith(".dir"))
    members[name] += b" "


def nothing(members: dict[str, bytes]) -> None:
    members.clear()


FORGERIES = [more, other_weights, no_weights, outside, absolute, other_list, nothing]


@pytest.mark.parametrize("change", FORGERIES)
def test_a_forged_archive_with_right_sums_is_refused(
    packed: Path,
    entry: Entry,
    tmp_path: Path,
    empty: Callable[[], Path],
    change: Callable[..., None],
) -> None:
    forged = remake(packed, tmp_path / "forged", change)
    scratch = empty()
    with pytest.raises(IntegrityError):
        unpack(entry, forged, scratch)
    assert not (tmp_path / "outside").exists()


def test_the_forger_himself_is_right_where_he_changes_nothing(
    packed: Path, entry: Entry, tmp_path: Path, empty: Callable[[], Path]
) -> None:
    unpack(entry, remake(packed, tmp_path / "same", lambda members: None), empty())


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE])
def test_links_and_folders_are_refused(
    entry: Entry, tmp_path: Path, empty: Callable[[], Path], kind: bytes
) -> None:
    link = tarfile.TarInfo("link")
    link.type, link.linkname = kind, "/etc/passwd"
    forged = write_tar(tmp_path / "forged", {SUMS: b"0" * 64 + b"  link\n"}, link)
    with pytest.raises(IntegrityError, match="link or worse"):
        unpack(entry, forged, empty())


def test_an_archive_that_grew_is_refused_before_it_fills_the_disk(
    packed: Path, content: VersionFiles, entry: Entry, tmp_path: Path, empty: Callable[[], Path]
) -> None:
    def bomb(members: dict[str, bytes]) -> None:
        members[f"{FOLDER}/model.pt"] = bytes(50_000_000)

    forged = remake(packed, tmp_path / "forged", bomb)
    scratch = empty()
    with pytest.raises(IntegrityError, match="larger"):
        unpack(entry, forged, scratch, largest=content.size)
    assert sum(path.stat().st_size for path in scratch.rglob("*") if path.is_file()) < 5_000_000


def test_a_list_that_leads_out_of_its_folder_is_refused(
    entry: Entry, tmp_path: Path, empty: Callable[[], Path]
) -> None:
    data = json.dumps([{"md5": "0" * 32, "relpath": "../../outside"}]).encode()
    digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
    evil = registered_as(entry, f"{digest}.dir")
    sums = f"{hashlib.sha256(data).hexdigest()}  {digest}.dir\n".encode()
    forged = write_tar(tmp_path / "forged", {SUMS: sums, f"{digest}.dir": data})
    with pytest.raises(IntegrityError, match="leads elsewhere"):
        unpack(evil, forged, empty())


def registered_as(entry: Entry, folder: str) -> Entry:
    record = dict(entry.event.record or {})
    record["evidence"] = {**record["evidence"], "dvc": f"md5:{folder}"}
    from dataclasses import replace

    return Entry(replace(entry.event, record=record))


def test_a_package_that_is_not_the_registered_one_is_not_put_away(
    content: VersionFiles, entry: Entry, tmp_path: Path
) -> None:
    """The files fit their list, but the registry signed off another package."""
    shutil.copytree(content.folder, tmp_path / FOLDER)
    (tmp_path / FOLDER / "README.md").write_text("Other.\n")
    write_checksums(tmp_path / FOLDER)
    other = listed(tmp_path / FOLDER, tmp_path)
    with pytest.raises(IntegrityError, match="another package"):
        check(registered_as(entry, other.list.name), other)
