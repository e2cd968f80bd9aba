"""dvc.yaml as we resolve it, against DVC's own resolver."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from facemodels.dvc_files import dvc_repository
from facemodels.errors import ParamsError
from facemodels.sealing.declaration import (
    StageDeclaration,
    find_stage,
    read_stages,
    record_path,
    values_of,
)

ROOT = Path(__file__).resolve().parents[3]
# Each way in which DVC makes stages of an entry.
MANY = """
vars:
  - folder: made
stages:
  plain:
    cmd:
      - echo ${folder}
      - python stage.py plain
    deps: [a.txt]
    params: [rate, other.yaml: [deep.key], whole.yaml: ]
    outs: ['${folder}/plain', kept.json: {cache: false}]
    metrics: [m.json]
  texts:
    foreach: [x, y]
    do: {cmd: 'python stage.py ${item}', outs: ['${item}.txt']}
  maps:
    foreach: [{name: p}, {name: q}]
    do: {cmd: 'python stage.py ${item.name}', outs: ['${item.name}.txt']}
  keyed:
    foreach: ${sizes}
    do: {cmd: 'python stage.py ${key} ${item.width}', outs: ['${key}-${item.width}.txt']}
  grid:
    matrix: {size: [1, 2], kind: ['${sizes.small.kinds[1]}', {name: n}]}
    cmd: python stage.py ${item.size} ${key}
    outs: ['grid-${key}']
"""
VALUES = "rate: 1e-05\nsizes:\n  small: {width: 1, kinds: [a, b]}\n  large: {width: 2}\n"


def as_dvc_has_them(root: Path) -> dict[str, tuple[set[str], set[str]]]:
    """The dependencies and the outputs of each stage, from DVC itself."""
    with dvc_repository(root) as repo:
        return {
            stage.name: (
                {dep.def_path for dep in stage.deps if not hasattr(dep, "params")},
                {out.def_path for out in stage.outs},
            )
            for stage in repo.index.stages
            if stage.name
        }


def as_we_have_them(root: Path) -> dict[str, tuple[set[str], set[str]]]:
    return {name: (set(one.deps), set(one.outs)) for name, one in read_stages(root).items()}


@pytest.fixture
def many(tmp_path: Path) -> Path:
    subprocess.run(("git", "init", "--quiet", str(tmp_path)), check=True)
    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    (tmp_path / ".dvc/config").touch()
    (tmp_path / "dvc.yaml").write_text(MANY)
    (tmp_path / "params.yaml").write_text(VALUES)
    (tmp_path / "other.yaml").write_text("deep: {key: 3}\n")
    (tmp_path / "whole.yaml").write_text("all: [1]\n")
    return tmp_path


def test_foreach_matrix_and_variables_resolve_as_in_dvc(many: Path) -> None:
    assert as_we_have_them(many) == as_dvc_has_them(many)
    assert len(as_we_have_them(many)) == 1 + 2 + 2 + 2 + 4


def test_the_pipeline_of_this_repository_resolves_as_in_dvc() -> None:
    ours = as_we_have_them(ROOT)
    assert ours == as_dvc_has_them(ROOT)
    assert len(ours) > 30
    for name, one in read_stages(ROOT).items():  # a gate makes nothing that a release could hold
        assert one.record == (None if one.group.startswith("gate") else record_path(name)), name


def find(root: Path, *argv: str) -> StageDeclaration:
    found = find_stage(root, argv)
    assert found is not None
    return found


def test_a_stage_is_found_by_its_script_and_arguments(many: Path) -> None:
    assert find(many, "stage.py", "plain").name == "plain"
    assert find(many, "stage.py", "large", "2").name == "keyed@large"
    assert find_stage(many, ["stage.py", "unknown"]) is None
    assert find_stage(many / ".dvc", ["stage.py", "plain"]) is None


def test_parameters_are_read_as_dvc_lock_has_them(many: Path) -> None:
    assert values_of(find(many, "stage.py", "plain"), many) == {
        "params.yaml": {"rate": 1e-05},
        "other.yaml": {"deep.key": 3},
        "whole.yaml": {"all": [1]},
    }


def test_a_placeholder_without_a_value_is_named(many: Path) -> None:
    (many / "params.yaml").write_text("rate: 1\n")
    with pytest.raises(ParamsError, match=r"\$\{sizes\}"):
        read_stages(many)
