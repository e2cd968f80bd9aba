"""dvc.yaml against the code: the deps of a stage are the modules that it imports."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import grimp
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
# Modules that a stage reaches by name, not by an import statement; {task} is filled in.
BY_NAME = {
    "validate": ["facemodels.evaluate.{task}"],
    "package": ["facemodels.{task}.example"],
    "benchmark": ["facemodels.evaluate.speed_child"],
    "compare": ["facemodels.evaluate.{task}"],
}


@cache
def _graph() -> grimp.ImportGraph:
    return grimp.build_graph("facemodels")


def _file(module: str) -> Path:
    path = ROOT.joinpath("src", *module.split("."))
    return path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py"


def _says_something(path: Path) -> bool:
    """Whether a module is more than its docstring; the version's line counts for nothing."""
    body = ast.parse(path.read_text()).body[1:]
    return bool(body) and path != ROOT / "src/facemodels/__init__.py"


def _imports(script: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(script.read_text())):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("facemodels"):
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in _graph().modules else str(node.module))
    return found


def _closure(modules: Iterable[str]) -> set[Path]:
    found: set[str] = set()
    for module in modules:
        found |= {module} | _graph().find_upstream_modules(module)
    return {path for module in found if _says_something(path := _file(module))}


def _needed(stage: str, model: dict) -> set[Path]:
    modules = _imports(ROOT / "stages" / f"{stage}.py")
    if stage != "prepare":
        modules.add(f"facemodels.{model['task']}.{model['architecture']}")
    modules |= {name.format(task=model["task"]) for name in BY_NAME.get(stage, [])}
    return _closure(modules)


def _listed(stage: str, model: dict) -> set[Path]:
    """The source files of a stage's deps, filled in for a model."""
    found: set[Path] = set()
    for text in STAGES[stage]["do"]["deps"]:
        name = text.replace("${item.task}", model["task"]).replace("${item.code}", model["code"])
        if "foreach" in STAGES[stage] and STAGES[stage]["foreach"] == "${data}":
            name = name.replace("${key}", model["task"])
            name = name.replace("${item.source}", PARAMS["data"][model["task"]]["source"])
        path = ROOT / name
        if name.startswith("src/"):
            found |= set(path.rglob("*.py")) if path.is_dir() else {path}
    return {path for path in found if _says_something(path)}


@pytest.mark.parametrize("model", PARAMS["models"].values(), ids=lambda model: model["name"])
@pytest.mark.parametrize("stage", STAGES)
def test_no_imported_module_is_missing_from_the_deps(stage: str, model: dict) -> None:
    missing = _needed(stage, model) - _listed(stage, model)
    assert sorted(str(path.relative_to(ROOT)) for path in missing) == []


@pytest.mark.parametrize("stage", STAGES)
def test_no_dep_is_a_module_that_no_model_of_the_stage_imports(stage: str) -> None:
    models = PARAMS["models"].values()
    needed = {path for model in models for path in _needed(stage, model)}
    listed = {path for model in models for path in _listed(stage, model)}
    own = {path for path in listed if path.name == "example.py" and stage == "compare"}
    assert sorted(str(path.relative_to(ROOT)) for path in listed - needed - own) == []


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_its_own_script(stage: str) -> None:
    assert f"stages/{stage}.py" in STAGES[stage]["do"]["deps"]
