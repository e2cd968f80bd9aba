from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facemodels import files
from facemodels.errors import InputError

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(values)
def test_canonical_json_reads_back_and_does_not_depend_on_the_order_of_keys(value) -> None:
    text = files.canonical_json(value)
    assert json.loads(text) == value
    if isinstance(value, dict):
        assert files.canonical_json(dict(reversed(value.items()))) == text


def test_canonical_json_refuses_what_json_has_no_word_for() -> None:
    with pytest.raises(ValueError, match="Out of range"):
        files.canonical_json({"x": float("nan")})


def test_an_atomic_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("old")

    def broken() -> None:
        with files.atomic_path(target) as temporary:
            temporary.write_text("half")
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        broken()
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_the_digest_of_a_file_is_its_sha256(tmp_path: Path) -> None:
    path = tmp_path / "file"
    data = bytes(range(256)) * 9000
    path.write_bytes(data)
    assert files.sha256(path) == hashlib.sha256(data).hexdigest()


def test_the_digest_of_a_tree_sees_names_and_contents_but_not_order(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder, order in ((one, ("a", "b")), (other, ("b", "a"))):
        folder.mkdir()
        for name in order:
            (folder / name).write_text(name)
    digest = files.sha256_tree(one)
    assert files.sha256_tree(other) == digest
    (other / "b").rename(other / "c")
    assert files.sha256_tree(other) != digest


def test_a_folder_is_refused_for_a_file_and_a_file_for_a_folder(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    files.refuse_folder(file)
    files.refuse_file(tmp_path)
    for check in (files.refuse_folder, files.refuse_file):
        check(tmp_path / "new")
    with pytest.raises(InputError, match=r"folder\. Give a file\.$"):
        files.refuse_folder(tmp_path)
    with pytest.raises(InputError, match=r"file is a file\. Give a folder\.$"):
        files.refuse_file(file)


def test_what_cannot_be_looked_at_is_refused_by_neither_check(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    for path in (tmp_path / "file" / "below", tmp_path / "loop", tmp_path / "a\0b"):
        files.refuse_folder(path)
        files.refuse_file(path)


def test_nothing_is_written_over_a_folder_or_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("kept")
    for path in (tmp_path / "folder", tmp_path / "file" / "new"):
        with pytest.raises(InputError, match=r"is a (folder|file)\."):
            files.write_text(path, "x")
    assert (tmp_path / "file").read_text() == "kept"
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["file", "folder"]
