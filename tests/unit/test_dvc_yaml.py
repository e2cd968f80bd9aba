"""dvc.yaml against the code: the deps of a stage are the modules that it imports."""

from __future__ import annotations

import pytest

from stage_deps import ROOT, SCRIPTS, listed, needed, of_stage, rewritten, stages


@pytest.mark.parametrize(
    ("stage", "model"),
    [(stage, model) for stage in stages() for model in of_stage(stage)],
    ids=lambda value: value if isinstance(value, str) else value["name"],
)
def test_no_imported_module_is_missing_from_the_deps(stage: str, model: dict) -> None:
    missing = needed(stage, model) - listed(stage, model)
    assert sorted(str(path.relative_to(ROOT)) for path in missing) == []


@pytest.mark.parametrize("stage", stages())
def test_no_dep_is_a_module_that_no_model_of_the_stage_imports(stage: str) -> None:
    imported = {path for model in of_stage(stage) for path in needed(stage, model)}
    deps = {path for model in of_stage(stage) for path in listed(stage, model)}
    own = {path for path in deps if path.name == "example.py"}  # scripts of model cards
    assert sorted(str(path.relative_to(ROOT)) for path in deps - imported - own) == []


@pytest.mark.parametrize("stage", stages())
def test_a_stage_depends_on_its_own_script(stage: str) -> None:
    assert f"stages/{SCRIPTS.get(stage, stage)}.py" in stages()[stage]["do"]["deps"]


def test_the_lists_are_those_that_the_script_writes() -> None:
    text = (ROOT / "dvc.yaml").read_text()
    assert rewritten(text) == text, "run `python tools/stage_deps.py`"


def test_a_missing_and_a_needless_dep_are_mended_and_nothing_else_changes() -> None:
    text = (ROOT / "dvc.yaml").read_text()
    line = "        - src/facemodels/files.py\n"
    assert text.count(line) == len(stages())
    needless = "        - src/facemodels/cli/serve.py\n"
    assert rewritten(text.replace(line, "")) == text
    assert rewritten(text.replace(line, line + needless)) == text
