from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facemodels.errors import InputError, IntegrityError
from facemodels.package.load import open_package
from facemodels.package.placement import require_placement
from facemodels.package.verify import verify, write_checksums
from tests.bounded import examples


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


def test_what_is_no_file_is_refused_before_anything_is_opened(
    package: Path, tmp_path: Path
) -> None:
    cached = tmp_path / "files/md5/ab" / ("0" * 30)
    cached.parent.mkdir(parents=True)
    config = package / "config.yaml"
    content = config.read_bytes()
    for make, said in (
        (lambda: config.symlink_to(tmp_path / "config.yaml"), "links"),
        (lambda: config.symlink_to(tmp_path), "links"),
        (lambda: os.mkfifo(config), "pipes or devices"),
        (config.mkdir, "empty folders"),
    ):
        config.unlink()
        make()
        (tmp_path / "config.yaml").write_bytes(content)
        with pytest.raises(IntegrityError, match=rf"holds {said} \(extra: config\.yaml\)"):
            verify(package)
        if config.is_dir() and not config.is_symlink():
            config.rmdir()
            config.touch()
    cached.write_bytes(content)
    config.unlink()
    config.symlink_to(cached)  # as `dvc checkout` with links makes it
    verify(package)


def test_a_server_refuses_what_others_may_change_or_is_called_by_another_name(
    package: Path,
) -> None:
    require_placement(open_package(package))
    (package / "model.dat").chmod(0o666)
    with pytest.raises(IntegrityError, match=r"write to .*model\.dat.*chmod -R o-w"):
        require_placement(open_package(package))
    (package / "model.dat").chmod(0o644)
    other = package.rename(package.with_name("dlib-v9.9.9"))
    with pytest.raises(IntegrityError, match=r"called dlib-v9\.9\.9 and holds lmk-dlib-v1\.0\.0"):
        require_placement(open_package(other))
    kept = other.rename(package.with_name("lmk-dlib-v1.0.0"))
    require_placement(open_package(kept))  # as an environment keeps it
    kept.rename(package)


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
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
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
