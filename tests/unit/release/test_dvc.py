"""The remote itself is asked for every object, whatever DVC's index says."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from facemodels.errors import ToolError
from facemodels.release.dvc import missing_on_remote

CONFIG = """[core]
    remote = store
    no_scm = true
['remote "store"']
    url = ../../remote
"""


def put(store: Path, data: bytes, suffix: str = "") -> str:
    oid = hashlib.md5(data, usedforsecurity=False).hexdigest() + suffix
    path = store / "files/md5" / oid[:2] / oid[2:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return oid


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "clone/.dvc").mkdir(parents=True)
    (tmp_path / "clone/.dvc/config").write_text(CONFIG)
    (tmp_path / "remote").mkdir()
    return tmp_path / "clone"


def test_objects_that_the_remote_lacks_are_listed(root: Path) -> None:
    remote, cache = root.parent / "remote", root / ".dvc/cache"
    there, lost = put(remote, b"there"), put(cache, b"lost")
    listed = [{"md5": oid, "relpath": oid[:4]} for oid in (there, lost)]
    folder = put(cache, json.dumps(listed).encode(), ".dir")
    assert missing_on_remote(root, [folder]) == sorted([folder, lost])
    put(remote, json.dumps(listed).encode(), ".dir")
    assert missing_on_remote(root, [folder]) == [lost]
    put(remote, b"lost")
    assert missing_on_remote(root, [folder, there]) == []


def test_a_folder_whose_list_is_nowhere_is_missing_itself(root: Path) -> None:
    folder = "0" * 32 + ".dir"
    assert missing_on_remote(root, [folder]) == [folder]


def test_a_repository_without_a_remote_cannot_be_asked(root: Path) -> None:
    (root / ".dvc/config").write_text("[core]\n    no_scm = true\n")
    with pytest.raises(ToolError, match=r"cannot be asked what it has: There is no default remote"):
        missing_on_remote(root, [])
