"""dvc.yaml against the code: what the lists of stage `code` hold, and what it depends on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from facemodels.cli.main import main
from facemodels.errors import InputError
from facemodels.sealing.code import CODE_STAGE
from facemodels.sealing.declaration import read_stages
from facemodels.sealing.judgement import is_code
from facemodels.sealing.lists import Difference, require_listed, rewritten
from facemodels.sealing.needs import SCRIPTS, StageNeeds

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "facemodels"
NEEDS = StageNeeds(ROOT)
LISTS = NEEDS.lists()
ENTRY = "      - src/facemodels/files.py\n"


def listed(stage: str, key: str) -> Sequence[str]:
    return [
        path.removeprefix("src/facemodels/") for path in LISTS[f"reports/code/{stage}/{key}.json"]
    ]


def test_every_stage_depends_on_the_list_of_its_code_and_on_no_module_of_its_own_accord() -> None:
    declared = read_stages(ROOT)
    depended = {dep for one in declared.values() for dep in one.deps if dep in LISTS}
    assert depended == set(LISTS)
    assert len(LISTS) == len(declared) - 1  # `code` makes them


@pytest.mark.parametrize("stage", [stage for stage in NEEDS.stages if stage != CODE_STAGE])
def test_a_stage_depends_on_its_own_script(stage: str) -> None:
    assert f"stages/{SCRIPTS.get(stage, stage)}.py" in NEEDS.entries(stage)


def test_a_list_holds_what_is_imported_and_what_is_loaded_by_name_and_no_more() -> None:
    train = listed("train", "recognition-facenet")
    assert {"training/loop.py", "recognition/facenet.py", "recognition/task.py"} <= set(train)
    assert "recognition/dlib/__init__.py" not in train
    assert "training/loop.py" not in listed("train", "landmark-dlib")
    assert "evaluate/landmarks.py" in listed("validate", "landmark-dlib")
    assert "evaluate/speed_child.py" in listed("benchmark", "landmark-dlib")
    assert "recognition/arcface/__init__.py" in listed("compare", "recognition")
    assert not any("serving" in path for files in LISTS.values() for path in files)


def test_modules_of_words_alone_are_in_no_list() -> None:
    assert not any("src/facemodels/sealing/__init__.py" in files for files in LISTS.values())


def test_stage_code_depends_on_what_the_stages_import_and_they_used_nothing_else_when_they_last_ran(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    done = CliRunner().invoke(main, ["deps", "--json"])
    assert json.loads(done.stdout) == [], "run `facemodels deps --fix`"
    assert done.exit_code == 0


def test_a_missing_and_a_needless_dep_are_mended_and_nothing_else_changes() -> None:
    text = (ROOT / "dvc.yaml").read_text()
    assert text.count(ENTRY) == 1
    needless = "      - src/facemodels/cli/serve.py\n"
    assert rewritten(text.replace(ENTRY, ""), NEEDS, []) == text
    assert rewritten(text.replace(ENTRY, ENTRY + needless), NEEDS, []) == text


def test_a_stage_that_needs_a_module_needs_the_packages_that_python_runs_to_import_it() -> None:
    for path, modules in LISTS.items():
        packages = {folder / "__init__.py" for one in modules for folder in Path(one).parents}
        ran = {one.as_posix() for one in packages if (ROOT / one).is_file()}
        assert {one for one in ran if is_code(ROOT / one, SOURCE)} <= set(modules), path


def test_stage_code_refuses_to_make_lists_of_modules_that_it_does_not_depend_on() -> None:
    needs = StageNeeds(ROOT)
    require_listed(needs)
    needs.stages[CODE_STAGE]["deps"].remove("src/facemodels/files.py")
    with pytest.raises(InputError, match=r"lacks .*files\.py"):
        require_listed(needs)


def test_a_file_that_a_run_used_is_added_once_to_the_deps_of_its_stage() -> None:
    text = (ROOT / "dvc.yaml").read_text()
    used = Difference("train", "read", "data/extra.txt")
    added = rewritten(text, NEEDS, [used, used])
    assert added.replace("        - data/extra.txt\n", "") == text
    assert added.count("data/extra.txt") == 1


@pytest.mark.parametrize("stage", NEEDS.stages)
def test_how_work_is_shared_out_makes_no_stage_stale(stage: str) -> None:
    written = NEEDS.stages[stage]
    assert not any(str(one).startswith("train") for one in written.get("do", written)["params"])
