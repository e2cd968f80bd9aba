from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facemodels.errors import InputError, IntegrityError
from facemodels.package.load import open_package
from facemodels.package.verify import verify, write_checksums


@pytest.fixture
def package(dlib_package: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(dlib_package, tmp_path / dlib_package.name))


def test_a_whole_package_opens_and_knows_itself(package: Path) -> None:
    opened = open_package(package)
    assert str(opened.id) == "lmk-dlib-v1.0.0"
    assert opened.task == "landmarks"
    assert open_package(package / "model.dat").digest == opened.digest


def test_an_added_file_is_named(package: Path) -> None:
    (package / "evil.py").write_text("import os")
    with pytest.raises(IntegrityError, match=r"extra: evil\.py"):
        verify(package)


def test_a_missing_file_is_named(package: Path) -> None:
    (package / "config.yaml").unlink()
    with pytest.raises(IntegrityError, match=r"missing: config\.yaml"):
        verify(package)


def test_a_listed_file_of_a_format_that_runs_code_is_refused(package: Path) -> None:
    (package / "model.pkl").write_bytes(b"cos\nsystem\n")
    write_checksums(package)
    with pytest.raises(IntegrityError, match=r"extra: model\.pkl"):
        verify(package)


def test_a_link_out_of_the_package_is_refused(package: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x").write_text("x")
    (package / "sub").symlink_to(outside)
    with pytest.raises(IntegrityError, match="sub"):
        verify(package)


def test_a_folder_that_is_no_package_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a package"):
        open_package(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        open_package(tmp_path / "nowhere")


@pytest.mark.parametrize("line", ["", "zz  model.dat", "0" * 64 + "  ../../etc/passwd"])
def test_a_malformed_checksum_line_is_refused(package: Path, line: str) -> None:
    path = package / "checksums.sha256"
    path.write_text(f"{path.read_text()}{line}\n")
    with pytest.raises(IntegrityError, match="malformed"):
        verify(package)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_changed_byte_of_any_file_is_found(package: Path, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(package.iterdir())))
    whole = path.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    flip = data.draw(st.integers(1, 255))
    kind = data.draw(st.sampled_from(["flip", "truncate", "append"]))
    if kind == "flip":
        broken = whole[:place] + bytes([whole[place] ^ flip]) + whole[place + 1 :]
    else:
        broken = whole[:place] if kind == "truncate" else whole + bytes([flip])
    path.write_bytes(broken)
    try:
        with pytest.raises((IntegrityError, InputError)):
            open_package(package)
    finally:
        path.write_bytes(whole)
    open_package(package)


def test_metadata_that_names_another_form_of_version_is_refused(package: Path) -> None:
    path = package / "metadata.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": "latest"}))
    write_checksums(package)
    with pytest.raises(InputError, match="not a version"):
        open_package(package)
