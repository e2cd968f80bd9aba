"""What DVC's own files name: ids, outputs and remotes, also of files that do not parse."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from facemodels import dvc_files
from facemodels.errors import InputError, ParamsError
from facemodels.git import Git

A, B = "a" * 32, "b" * 32 + ".dir"
CONFIG = """[core]
    remote = second
['remote "first"']
    url = ../first
['remote "second"']
    url = ../second
"""


def configured(root: Path, text: str) -> Path:
    (root / ".dvc").mkdir()
    (root / dvc_files.CONFIG).write_text(text)
    return root


def test_outputs_have_their_path_in_the_repository() -> None:
    lock = f"""stages:
  package:
    outs:
    - path: models/x
      md5: {B}
    - path: metrics.json
"""
    assert dvc_files.read_outputs(lock, "dvc.lock") == [("models/x", B)]
    tracked = f"wdir: ..\nouts:\n- path: x/one.bin\n  md5: {A}\n"
    assert dvc_files.read_outputs(tracked, "data/raw/one.dvc") == [("data/x/one.bin", A)]
    assert dvc_files.read_outputs("", "one.dvc") == []


@pytest.mark.parametrize("text", ["outs: [1]", "stages: [a]", "outs:\n- md5: x", "a: b: c"])
def test_other_texts_are_refused_but_their_ids_are_found(text: str) -> None:
    with pytest.raises(ParamsError):
        dvc_files.read_outputs(text, "one.dvc")
    damaged = f'{text}\n<<<<<<<\n  md5: \'{A}\'\n{{"md5": "{B}"}}\nsize: {"c" * 32}\n'
    assert dvc_files.recorded_ids(damaged.encode()) == {A, B}


def test_working_files_are_tracked_or_new_and_neither_ignored_nor_deleted(tmp_path: Path) -> None:
    subprocess.run(("git", "init", "--quiet", str(tmp_path)), check=True)
    (tmp_path / "data").mkdir()
    for name in ("dvc.lock", "data/a.dvc", "data/gone.dvc", "data/ignored.dvc", "dvc.yaml"):
        (tmp_path / name).touch()
    (tmp_path / ".gitignore").write_text("ignored.dvc\n")
    subprocess.run(("git", "add", "."), cwd=tmp_path, check=True)
    (tmp_path / "data/gone.dvc").unlink()
    (tmp_path / "new.dvc").touch()
    assert dvc_files.working_files(Git(tmp_path)) == ["data/a.dvc", "dvc.lock", "new.dvc"]


def test_the_default_remote_comes_first(tmp_path: Path) -> None:
    root = configured(tmp_path, CONFIG)
    assert dvc_files.default_remote(root) == "second"
    assert dvc_files.remote_names(root) == ("second", "first")
    (root / ".dvc/config.local").write_text("[core]\n    remote = first\n")
    assert dvc_files.default_remote(root) == "first"


def test_a_repository_without_remotes_has_no_default_one(tmp_path: Path) -> None:
    root = configured(tmp_path, "")
    assert dvc_files.default_remote(root) == ""
    assert dvc_files.remote_names(root) == ()


@pytest.mark.parametrize("text", ["[core]\n    remot = x\n", "[core\n"])
def test_a_configuration_that_dvc_refuses_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match="DVC would not read it"):
        dvc_files.check_config(text)
    with pytest.raises(InputError, match="DVC cannot read its configuration"):
        dvc_files.read_config(configured(tmp_path, text))


def test_an_edited_configuration_keeps_its_comments() -> None:
    text = "# ours\n[core]\n    remote = first  # the near one\n"
    config = dvc_files.parse_config(text)
    config["core"]["remote"] = "second"
    assert [line.split() for line in config.write()] == [
        ["#", "ours"], ["[core]"], ["remote", "=", "second", "#", "the", "near", "one"],
    ]  # fmt: skip
    with pytest.raises(InputError, match="Correct the file"):
        dvc_files.parse_config("[core\n")
