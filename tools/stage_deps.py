"""Write the source files that each stage depends on into dvc.yaml, from the import graph.

A stage must run again when a module that it imports changes, so its `deps` list these
modules. This script finds them with grimp and replaces the `src/` entries of each list; the
other entries (data, weights, the stage's script, `${item.code}`) stay as they were written.

    .venv/bin/python tools/stage_deps.py            # rewrite dvc.yaml
    .venv/bin/python tools/stage_deps.py --check    # exit with 1 if that would change it

tests/unit/test_dvc_yaml.py calls the same functions. Run the script after you have added,
moved or removed an import in a module that a stage uses.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import grimp
import yaml

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "facemodels"
Model = Mapping[str, Any]  # one entry of `models` or `systems` in params.yaml

# Modules that a stage reaches by name and not by an import statement; {task} is filled in,
# and a name that ends with .* stands for the modules of that package. The deps name the folder
# of such a package, so that a new module needs no edit of dvc.yaml.
BY_NAME = {
    "prepare": [
        "facemodels.data.kinds.*",
        "facemodels.detection.mtcnn.cascade",  # the finder's steps
        "facemodels.detection.decodes.*",
    ],
    "validate": ["facemodels.evaluate.{task}"],
    "package": ["facemodels.{task}.example", "facemodels.evaluate.{task}"],
    "benchmark": ["facemodels.evaluate.speed_child"],
    "system": ["facemodels.evaluate.{task}", "facemodels.{task}.task"],
    "bundle": [],
    "benchmark_system": ["facemodels.evaluate.speed_child", "facemodels.{task}.task"],
    "compare": [
        "facemodels.evaluate.{task}",
        "facemodels.{task}.task",
        "facemodels.{task}.decodes.*",
    ],
}
# Stages that load no architecture.
WITHOUT_ARCHITECTURE = {"prepare", "bundle"}
# Stages whose script has another name.
SCRIPTS = {"benchmark_system": "benchmark"}


@cache
def parameters() -> dict[str, Any]:
    """The values of params.yaml."""
    values: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    return values


@cache
def stages() -> dict[str, Any]:
    """The stages of dvc.yaml by name."""
    text = (ROOT / "dvc.yaml").read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.safe_load(text)["stages"]
    return found


@cache
def _graph() -> grimp.ImportGraph:
    return grimp.build_graph("facemodels")


@cache
def has_code(path: Path) -> bool:
    """Whether a module holds more than its docstring; the line with the version is no code."""
    body = ast.parse(path.read_text(encoding="utf-8")).body[1:]
    return bool(body) and path != SOURCE / "__init__.py"


def of_stage(stage: str) -> list[Model]:
    """The models or systems that a stage runs for; both where it runs for each task."""
    over = stages()[stage]["foreach"]
    models, systems = (list(parameters()[key].values()) for key in ("models", "systems"))
    return {"${models}": models, "${systems}": systems}.get(over, [*models, *systems])


def needed(stage: str, model: Model) -> set[Path]:
    """The source files that a stage executes for one model or system."""
    if "members" not in model:
        return _needed(stage, model["task"], (f"{model['task']}.{model['architecture']}",))
    folders = set(model["members"].values())
    members = [one for one in parameters()["models"].values() if one["package"] in folders]
    parts = [f"{one['task']}.{part}" for one in members for part in ("task", one["architecture"])]
    return _needed(stage, model["task"], tuple(parts))


@cache
def _needed(stage: str, task: str, parts: tuple[str, ...]) -> set[Path]:
    modules = _imports_of(ROOT / "stages" / f"{SCRIPTS.get(stage, stage)}.py")
    if stage not in WITHOUT_ARCHITECTURE:
        modules |= {f"facemodels.{part}" for part in parts}
    for pattern in BY_NAME.get(stage, []):
        name = pattern.format(task=task)
        package = name.removesuffix(".*")
        if package == name:
            modules.add(name)
        elif package in _graph().modules:  # not every task has each of them
            modules |= _graph().find_descendants(package)
    return _with_imports(modules)


def listed(stage: str, model: Model) -> set[Path]:
    """The source files that the deps of a stage name, with the placeholders of one model."""
    found: set[Path] = set()
    for text in stages()[stage]["do"]["deps"]:
        path = ROOT / _filled(stage, text, model)
        if path.is_relative_to(SOURCE):
            found |= set(path.rglob("*.py")) if path.is_dir() else {path}
    return {path for path in found if has_code(path)}


def generated(stage: str) -> list[str]:
    """The `src/` entries that the deps of a stage must have, sorted.

    A folder stands for its files where the stage needs each of them: DVC writes dvc.lock anew
    after every stage, which takes it a second for 5,000 lines.
    """
    models = of_stage(stage)
    entries = {
        entry
        for model in models
        for path in needed(stage, model)
        if (entry := _entry(stage, path, model, models)) is not None
    }
    folders = _whole_folders({ROOT / entry for entry in entries})
    covered = {
        entry for entry in entries if any((ROOT / entry).is_relative_to(one) for one in folders)
    }
    return sorted(entries - covered | {one.relative_to(ROOT).as_posix() for one in folders})


def _whole_folders(files: set[Path]) -> list[Path]:
    """The topmost folders of which `files` holds every file with code, and more than one."""
    whole: list[Path] = []
    folders = {path.parent for path in files if path.is_relative_to(SOURCE)}
    above = {one for path in folders for one in path.parents if one.is_relative_to(SOURCE)}
    for folder in sorted(folders | above, key=lambda one: len(one.parts)):
        code = {path for path in folder.rglob("*.py") if has_code(path)}
        if len(code) > 1 and code <= files and not any(map(folder.is_relative_to, whole)):
            whole.append(folder)
    return whole


def rewritten(text: str) -> str:
    """dvc.yaml with the generated `src/` entries; every other line stays as it is."""
    lines: list[str] = []
    stage, in_deps = "", False
    for line in [*text.split("\n"), ""]:
        name = line.strip().removesuffix(":")
        if line == f"  {name}:" and name in stages():
            stage = name
        entry = line.startswith("        - ")
        if in_deps and not entry:
            lines += [f"        - {dep}" for dep in generated(stage)]
            in_deps = False
        if not (in_deps and line.startswith("        - src/")):
            lines.append(line)
        in_deps = in_deps or line == "      deps:"
    return "\n".join(lines[:-1])


def _imports_of(script: Path) -> set[str]:
    """Modules of facemodels that a script imports."""
    found = set()
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("facemodels"):
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in _graph().modules else str(node.module))
    return found


def _with_imports(modules: Iterable[str]) -> set[Path]:
    """Files of `modules` and of everything that they import, without files that hold no code."""
    found: set[str] = set()
    for module in modules:
        found |= {module} | _graph().find_upstream_modules(module)
    return {path for module in found if has_code(path := _file(module))}


def _file(module: str) -> Path:
    path = ROOT.joinpath("src", *module.split("."))
    return path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py"


def _is_per_task(stage: str) -> bool:
    return bool(stages()[stage]["foreach"] == "${data}")


def _filled(stage: str, text: str, model: Model) -> str:
    """An entry of the deps with the placeholders of one model filled in."""
    text = text.replace("${item.task}", model["task"]).replace("${item.code}", model["code"])
    if _is_per_task(stage):
        text = text.replace("${key}", model["task"])
        for key in ("source", "needs"):
            text = text.replace(f"${{item.{key}}}", parameters()["data"][model["task"]][key])
    return text


def _entry(stage: str, path: Path, model: Model, models: list[Model]) -> str | None:
    """How the deps name a source file; None if an entry that stays covers it."""
    others = [
        ROOT / _filled(stage, text, model)
        for text in stages()[stage]["do"]["deps"]
        if not text.startswith("src/")
    ]
    if any(path.is_relative_to(other) for other in others):
        return None
    for pattern in BY_NAME.get(stage, []):
        folder = f"src/{pattern.removesuffix('.*').replace('.', '/')}"
        if pattern.endswith(".*") and path.is_relative_to(ROOT / folder):
            return folder
    compared = _is_per_task(stage) and stage not in WITHOUT_ARCHITECTURE
    if compared and path.is_relative_to(SOURCE / model["task"]):
        return "src/facemodels/${key}"  # all architectures of the task are compared
    literal = path.relative_to(ROOT).as_posix()
    placeholder = "${key}" if _is_per_task(stage) else "${item.task}"
    task = model["task"]
    if any(path in needed(stage, other) for other in models if other["task"] != task):
        return literal
    general = literal.replace(f"/{task}/", f"/{placeholder}/")
    general = general.replace(f"/{task}.py", f"/{placeholder}.py")
    filled = (ROOT / _filled(stage, general, other) for other in models)
    return general if all(file.is_file() for file in filled) else literal


def main() -> None:
    """Rewrite dvc.yaml, or check that it needs no rewriting."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if stale")
    check = parser.parse_args().check
    path = ROOT / "dvc.yaml"
    before = path.read_text(encoding="utf-8")
    after = rewritten(before)
    if before == after:
        return
    if check:
        sys.exit("dvc.yaml is stale: run `python tools/stage_deps.py`.")
    path.write_text(after, encoding="utf-8")


if __name__ == "__main__":
    main()
