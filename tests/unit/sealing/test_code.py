"""The list of a stage's code: held against the modules before the stage starts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from facemodels.errors import ParamsError
from facemodels.sealing.code import code_of, code_path, edited_code, read_code
from facemodels.sealing.declaration import find_stage
from facemodels.sealing.digests import file_digest
from facemodels.sealing.judgement import SealError
from facemodels.sealing.run import sealed

ARGV = ["make.py"]
LIST = code_path("make")
MODULE = "src/facemodels/used.py"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pipeline of one stage that depends on the list of its one module."""
    stage = {"cmd": "python make.py", "deps": [LIST], "outs": ["out", "reports/sealed/make.json"]}
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"make": stage}}))
    for path, text in ((MODULE, "A = 1\n"), (LIST, "")):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text(text)
    (tmp_path / LIST).write_text(json.dumps({MODULE: file_digest(tmp_path / MODULE)}))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_modules_that_are_as_listed_are_not_edited_and_a_stage_without_a_list_has_none(
    root: Path,
) -> None:
    assert edited_code(root, ["make", "other"]) == []


@pytest.mark.parametrize("text", ["A = 2\n", None])
def test_a_module_that_is_not_as_listed_stops_the_stage_before_it_starts(
    root: Path, text: str | None
) -> None:
    (root / MODULE).unlink()
    if text:
        (root / MODULE).write_text(text)
    with pytest.raises(SealError, match=rf"{MODULE} is not as stage `code` saw it"), sealed(ARGV):
        pytest.fail("it started")
    assert edited_code(root, ["make"]) == [f"make: {MODULE}"]


@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_what_is_no_list_is_refused_with_the_remedy(root: Path, text: str) -> None:
    (root / LIST).write_text(text)
    stage = find_stage(root, ARGV)
    assert stage is not None
    with pytest.raises(ParamsError, match="dvc repro code"):
        code_of(stage, root)
    assert read_code('{"a": "b"}', LIST) == {"a": "b"}
