"""dvc.yaml against the code: the deps of a stage are the modules that it imports."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from facemodels.cli.main import main
from facemodels.sealing.lists import Difference, rewritten
from facemodels.sealing.needs import SCRIPTS, StageNeeds

ROOT = Path(__file__).resolve().parents[2]
NEEDS = StageNeeds(ROOT)


@pytest.mark.parametrize(
    ("stage", "model"),
    [(stage, model) for stage in NEEDS.stages for model in NEEDS.of_stage(stage)],
    ids=lambda value: value if isinstance(value, str) else value["name"],
)
def test_no_imported_module_is_missing_from_the_deps(stage: str, model: dict) -> None:
    missing = NEEDS.needed(stage, model) - NEEDS.listed(stage, model)
    assert sorted(str(path.relative_to(ROOT)) for path in missing) == []


@pytest.mark.parametrize("stage", NEEDS.stages)
def test_no_dep_is_a_module_that_no_model_of_the_stage_imports(stage: str) -> None:
    imported = {path for model in NEEDS.of_stage(stage) for path in NEEDS.needed(stage, model)}
    deps = {path for model in NEEDS.of_stage(stage) for path in NEEDS.listed(stage, model)}
    own = {path for path in deps if path.name == "example.py"}  # scripts of model cards
    assert sorted(str(path.relative_to(ROOT)) for path in deps - imported - own) == []


@pytest.mark.parametrize("stage", NEEDS.stages)
def test_a_stage_depends_on_its_own_script(stage: str) -> None:
    assert f"stages/{SCRIPTS.get(stage, stage)}.py" in NEEDS.entries(stage)


def test_the_lists_are_what_the_stages_import_and_what_they_used_when_they_last_ran(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    done = CliRunner().invoke(main, ["deps", "--json"])
    assert json.loads(done.stdout) == [], "run `facemodels deps --fix`"
    assert done.exit_code == 0


def test_a_missing_and_a_needless_dep_are_mended_and_nothing_else_changes() -> None:
    text = (ROOT / "dvc.yaml").read_text()
    line = "        - src/facemodels/files.py\n"
    assert text.count(line) == len(NEEDS.stages)
    needless = "        - src/facemodels/cli/serve.py\n"
    assert rewritten(text.replace(line, ""), NEEDS, []) == text
    assert rewritten(text.replace(line, line + needless), NEEDS, []) == text


def test_a_file_that_a_run_used_is_added_once_to_the_deps_of_its_stage() -> None:
    text = (ROOT / "dvc.yaml").read_text()
    used = Difference("train", "read", "data/extra.txt")
    added = rewritten(text, NEEDS, [used, used])
    assert added.replace("        - data/extra.txt\n", "") == text
    assert added.count("data/extra.txt") == 1


@pytest.mark.parametrize("stage", NEEDS.stages)
def test_how_work_is_shared_out_makes_no_stage_stale(stage: str) -> None:
    assert not any(name.startswith("train") for name in NEEDS.stages[stage]["do"]["params"])
