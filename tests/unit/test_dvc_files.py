"""The one reader of DVC's files: what it finds, what it refuses, and that it is the only one."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import facemodels
from facemodels import dvc_files
from facemodels.errors import InputError, ParamsError
from facemodels.git import Git

SOURCE = Path(facemodels.__file__).parent
A, B = "a" * 32, "b" * 32 + ".dir"  # ids of a file and of a folder
STAGES = {
    "train": {
        "deps": [{"path": "data", "md5": "aa.dir"}],
        "outs": [{"path": "out/w", "md5": "bb", "size": 3}],
    },
    "package": {
        "deps": [{"path": "out/w", "md5": "bb"}],
        "outs": [{"path": "models/m", "hash": "md5", "md5": "cc.dir", "nfiles": 2}],
    },
}


@pytest.mark.parametrize("top", [{"schema": "2.0", "stages": STAGES}, {"stages": STAGES}, STAGES])
def test_a_lock_of_either_schema_gives_its_stages(top) -> None:
    assert dvc_files.parse_lock(yaml.safe_dump(top), "dvc.lock") == STAGES


@pytest.mark.parametrize("text", ["", "schema: '2.0'\n", "schema: '2.0'\nstages:\n"])
def test_a_lock_without_stages_is_empty(text: str) -> None:
    assert dvc_files.parse_lock(text, "dvc.lock") == {}


@pytest.mark.parametrize(
    "text",
    [
        "[1, 2]", "stages: 3", "stages: [a]", "stages: {a: 1}", "stages: {a: {deps: 1}}",
        "stages: {a: {outs: [b]}}", "stages: {a: {outs: [{md5: b}]}}",
        "stages: {a: {outs: [{path: 1}]}}", "<<<<<<< HEAD\nstages: {}\n",
    ],
)  # fmt: skip
def test_what_is_no_lock_is_refused_and_named(text: str) -> None:
    with pytest.raises(ParamsError, match=r"^dvc\.lock at abc "):
        dvc_files.parse_lock(text, "dvc.lock at abc")


@given(st.text() | st.binary().map(lambda data: data.decode("latin-1")))
def test_any_text_is_stages_or_a_clear_error(text: str) -> None:
    for parse in (dvc_files.parse_lock, dvc_files.parse_dvc_file):
        try:
            found = parse(text, "it")
        except ParamsError:
            continue
        assert isinstance(found, dict)


def test_an_output_is_found_with_all_that_is_recorded_of_it() -> None:
    assert dvc_files.find_output(STAGES, "models/m") == STAGES["package"]["outs"][0]
    assert dvc_files.find_output(STAGES, "models") is None
    assert dvc_files.find_output({"empty": {}}, "models") is None
    assert dvc_files.paths_of(STAGES["train"], "deps") == ["data"]
    assert dvc_files.paths_of({}, "outs") == []
    assert dvc_files.stages_passed_on(STAGES, "out/w", "bb") == ["package"]
    assert dvc_files.stages_passed_on(STAGES, "out/w", "other") == []


def test_the_lock_of_the_working_tree_may_be_absent(tmp_path: Path) -> None:
    assert dvc_files.read_lock_here(tmp_path) == {}
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": STAGES}))
    assert dvc_files.read_lock_here(tmp_path) == STAGES


def test_a_dvc_file_gives_its_output_and_may_lie_beside_a_folder_above(tmp_path: Path) -> None:
    text = "outs:\n- md5: cc.dir\n  path: m\n"
    assert dvc_files.parse_dvc_file(text, "m.dvc") == {"md5": "cc.dir", "path": "m"}
    for broken in ("", "outs: []", "outs: {}", "outs: [m]"):
        with pytest.raises(ParamsError, match=r"m\.dvc is no \.dvc file"):
            dvc_files.parse_dvc_file(broken, "m.dvc")
    assert dvc_files.dvc_files_of("models/a/m-v1.0.0") == [
        "models/a/m-v1.0.0.dvc", "models/a.dvc", "models.dvc",
    ]  # fmt: skip
    for name in ("m-v1.0.1.dvc", "m-v1.0.0.dvc", "other"):
        (tmp_path / name).touch()
    assert dvc_files.tracked_in(tmp_path) == [tmp_path / "m-v1.0.0", tmp_path / "m-v1.0.1"]


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


def configure(root: Path, text: str, local: str = "") -> Path:
    (root / ".dvc").mkdir()
    (root / ".dvc/config").write_text(text)
    (root / ".dvc/config.local").write_text(local)
    return root


BOTH = """[core]
    remote = b
['remote "a"']
    url = /a
['remote "b"']
    url = /b
"""


def test_remotes_come_in_the_order_of_the_file_after_the_default_one(tmp_path: Path) -> None:
    root = configure(tmp_path, BOTH, "['remote \"a\"']\n    url = /other\n")
    found = dvc_files.read_remotes(root)
    assert (found.default, found.names) == ("b", ("b", "a"))
    assert found.settings["a"]["url"] == "/other"
    assert dvc_files.default_remote(root) == "b"


def test_the_committed_remotes_are_those_of_the_file_in_git_alone(tmp_path: Path) -> None:
    root = configure(tmp_path, BOTH, "[core]\n    remote = a\n")
    assert dvc_files.committed_remotes(root) == ("b", {"a": "/a", "b": "/b"})
    assert dvc_files.default_remote(root) == "a"


def test_a_repository_without_remotes_has_none(tmp_path: Path) -> None:
    assert dvc_files.committed_remotes(tmp_path) == ("", {})
    found = dvc_files.read_remotes(configure(tmp_path, ""))
    assert (found.default, found.names) == ("", ())


@pytest.mark.parametrize("text", ["[core]\n    remot = x\n", "[core\n"])
def test_a_configuration_that_dvc_refuses_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match="DVC would not read it"):
        dvc_files.check_config(text)
    with pytest.raises(InputError, match="DVC cannot read its configuration"):
        dvc_files.read_remotes(configure(tmp_path, text))


def test_an_edited_configuration_keeps_its_comments() -> None:
    text = "# ours\n[core]\n    remote = first  # the near one\n"
    config = dvc_files.parse_config(text)
    config["core"]["remote"] = "second"
    assert [line.split() for line in config.write()] == [
        ["#", "ours"], ["[core]"], ["remote", "=", "second", "#", "the", "near", "one"],
    ]  # fmt: skip
    with pytest.raises(InputError, match="Correct the file"):
        dvc_files.parse_config("[core\n")


def test_reading_a_lock_does_not_import_dvc() -> None:
    code = (
        "import sys; from facemodels import dvc_files; dvc_files.parse_lock('', 'x');"
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'dvc', 'configobj'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# What only a reader of DVC's files needs: the keys of dvc.lock, the parsers of its configuration.
OWN = re.compile(
    r"""\.get\("(?:stages|outs|deps)"|\["(?:stages|outs|deps)"\]|\["core"\]|\.get\("core"
        |from\ dvc\.config\ import\ .*\bConfig\b|ConfigObj\(|glob\("\*\.dvc"\)""",
    re.VERBOSE,
)
# Each writes what it names, and reads nothing of it.
WRITERS = {
    "storage/backup/drill.py",  # the configuration of a scratch clone
    "provenance/lineage/dvc_lock.py",  # turns the stages that dvc_files read into values
}


def test_no_other_module_reads_dvcs_files_by_itself() -> None:
    found = {
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        if OWN.search(path.read_text(encoding="utf-8"))
    }
    # dvc.yaml has readers of its own: a stage reads it whenever it runs.
    of_the_pipeline = {"sealing/declaration.py", "sealing/needs.py"}
    assert found - WRITERS - of_the_pipeline == {"dvc_files.py"}
