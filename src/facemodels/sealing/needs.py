"""The source files that each stage executes, from the import graph.

A stage must run again when a module that it imports changes, so its `deps` list these modules.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import grimp

from facemodels.sealing.declaration import PARAMS, PIPELINE
from facemodels.sealing.judgement import is_code
from facemodels.yaml_text import parse_yaml

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
    "gate": [],
    "gate_system": [],
    "package": [
        "facemodels.{task}.example",
        "facemodels.evaluate.{task}",
        "facemodels.package.native_example",  # text of a model card, where there is no ONNX
    ],
    "benchmark": ["facemodels.evaluate.speed_child"],
    "system": ["facemodels.evaluate.{task}", "facemodels.{task}.task"],
    "bundle": [],
    "benchmark_system": ["facemodels.evaluate.speed_child", "facemodels.{task}.task"],
    "compare": [
        "facemodels.evaluate.speed_child",
        "facemodels.evaluate.{task}",
        "facemodels.{task}.task",
        "facemodels.{task}.decodes.*",
    ],
}
# Stages that load no architecture.
WITHOUT_ARCHITECTURE = {"prepare", "gate", "gate_system", "bundle"}
# Stages whose script has another name.
SCRIPTS = {"gate_system": "gate", "benchmark_system": "benchmark"}


class StageNeeds:
    """What the stages of a working tree need, and what its dvc.yaml lists.

    Args:
        root: the folder of dvc.yaml and params.yaml, which holds `src/facemodels`, the package
            that is imported.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._source = root / "src" / "facemodels"
        self._needed = cache(self._find_needed)
        self._has_code = cache(lambda path: is_code(path, self._source))

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """The values of params.yaml."""
        return parse_yaml((self.root / PARAMS).read_text(encoding="utf-8"), PARAMS)

    @cached_property
    def stages(self) -> dict[str, Any]:
        """The stages of dvc.yaml by name."""
        text = (self.root / PIPELINE).read_text(encoding="utf-8")
        return dict(parse_yaml(text, PIPELINE)["stages"])

    @cached_property
    def _graph(self) -> grimp.ImportGraph:
        return grimp.build_graph("facemodels")

    def of_stage(self, stage: str) -> list[Model]:
        """The models or systems that a stage runs for; both where it runs for each task."""
        over = self.stages[stage]["foreach"]
        models, systems = (list(self.parameters[key].values()) for key in ("models", "systems"))
        return {"${models}": models, "${systems}": systems}.get(over, [*models, *systems])

    def needed(self, stage: str, model: Model) -> set[Path]:
        """The source files that a stage executes for one model or system."""
        if "members" not in model:
            return self._needed(stage, model["task"], (f"{model['task']}.{model['architecture']}",))
        folders = set(model["members"].values())
        members = [one for one in self.parameters["models"].values() if one["package"] in folders]
        parts = [
            f"{one['task']}.{part}" for one in members for part in ("task", one["architecture"])
        ]
        return self._needed(stage, model["task"], tuple(parts))

    def listed(self, stage: str, model: Model) -> set[Path]:
        """The source files that the deps of a stage name, with the placeholders of one model."""
        found: set[Path] = set()
        for text in self.entries(stage):
            path = self.root / self._filled(stage, text, model)
            if path.is_relative_to(self._source):
                found |= set(path.rglob("*.py")) if path.is_dir() else {path}
        return {path for path in found if self._has_code(path)}

    def entries(self, stage: str) -> list[str]:
        """The deps of a stage as dvc.yaml has them."""
        return list(self.stages[stage]["do"]["deps"])

    def generated(self, stage: str) -> list[str]:
        """The `src/` entries that the deps of a stage must have, sorted.

        A folder stands for its files where the stage needs each of them: DVC writes dvc.lock anew
        after every stage, which takes it a second for 5,000 lines.
        """
        models = self.of_stage(stage)
        entries = {
            entry
            for model in models
            for path in self.needed(stage, model)
            if (entry := self._entry(stage, path, model, models)) is not None
        }
        root = self.root
        folders = self._whole_folders({root / entry for entry in entries})
        covered = {
            entry for entry in entries if any((root / entry).is_relative_to(one) for one in folders)
        }
        return sorted(entries - covered | {one.relative_to(root).as_posix() for one in folders})

    def _find_needed(self, stage: str, task: str, parts: tuple[str, ...]) -> set[Path]:
        modules: set[str] = set()
        for script in self._scripts(stage):
            modules |= self._imports_of(script)
        if stage not in WITHOUT_ARCHITECTURE:
            modules |= {f"facemodels.{part}" for part in parts}
        for pattern in BY_NAME.get(stage, []):
            name = pattern.format(task=task)
            package = name.removesuffix(".*")
            if package == name:
                modules.add(name)
            elif package in self._graph.modules:  # not every task has each of them
                modules |= self._graph.find_descendants(package)
        return self._with_imports(modules & self._graph.modules)  # a plugin has its own

    def _scripts(self, stage: str) -> set[Path]:
        """What a stage runs beside the library: its script, and the suite of a package."""
        named = [
            self.root / one for one in self.entries(stage) if not one.startswith(("src/", "$"))
        ]
        inside = [script for path in named if path.is_dir() for script in path.rglob("*.py")]
        return {path for path in (*named, *inside) if path.suffix == ".py"}

    def _imports_of(self, script: Path) -> set[str]:
        """Modules of facemodels that a script imports."""
        found = set()
        for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("facemodels"):
                for alias in node.names:
                    whole = f"{node.module}.{alias.name}"
                    found.add(whole if whole in self._graph.modules else str(node.module))
        return found

    def _with_imports(self, modules: Iterable[str]) -> set[Path]:
        """Files of modules and of all that they import, without files that hold no code."""
        found: set[str] = set()
        for module in modules:
            found |= {module} | self._graph.find_upstream_modules(module)
        return {path for module in found if self._has_code(path := self._file(module))}

    def _file(self, module: str) -> Path:
        path = self.root.joinpath("src", *module.split("."))
        file = path.with_suffix(".py")
        return file if file.is_file() else path / "__init__.py"

    def _whole_folders(self, files: set[Path]) -> list[Path]:
        """The topmost folders of which `files` holds every file with code, and more than one."""
        whole: list[Path] = []
        folders = {path.parent for path in files if path.is_relative_to(self._source)}
        above = {one for path in folders for one in path.parents}
        inside = {one for one in folders | above if one.is_relative_to(self._source)}
        for folder in sorted(inside, key=lambda one: len(one.parts)):
            code = {path for path in folder.rglob("*.py") if self._has_code(path)}
            if len(code) > 1 and code <= files and not any(map(folder.is_relative_to, whole)):
                whole.append(folder)
        return whole

    def _is_per_task(self, stage: str) -> bool:
        return bool(self.stages[stage]["foreach"] == "${data}")

    def _filled(self, stage: str, text: str, model: Model) -> str:
        """An entry of the deps with the placeholders of one model filled in."""
        text = text.replace("${item.task}", model["task"]).replace("${item.code}", model["code"])
        if self._is_per_task(stage):
            text = text.replace("${key}", model["task"])
            for key in ("source", "needs"):
                value = self.parameters["data"][model["task"]][key]
                text = text.replace(f"${{item.{key}}}", value)
        return text

    def _entry(self, stage: str, path: Path, model: Model, models: list[Model]) -> str | None:
        """How the deps name a source file; None if an entry that stays covers it."""
        others = [
            self.root / self._filled(stage, text, model)
            for text in self.entries(stage)
            if not text.startswith("src/")
        ]
        if any(path.is_relative_to(other) for other in others):
            return None
        for pattern in BY_NAME.get(stage, []):
            folder = f"src/{pattern.removesuffix('.*').replace('.', '/')}"
            if pattern.endswith(".*") and path.is_relative_to(self.root / folder):
                return folder
        task, per_task = model["task"], self._is_per_task(stage)
        compared = per_task and stage not in WITHOUT_ARCHITECTURE
        if compared and path.is_relative_to(self._source / task):
            return "src/facemodels/${key}"  # all architectures of the task are compared
        literal = path.relative_to(self.root).as_posix()
        if any(path in self.needed(stage, other) for other in models if other["task"] != task):
            return literal
        placeholder = "${key}" if per_task else "${item.task}"
        general = literal.replace(f"/{task}/", f"/{placeholder}/")
        general = general.replace(f"/{task}.py", f"/{placeholder}.py")
        filled = (self.root / self._filled(stage, general, other) for other in models)
        return general if all(file.is_file() for file in filled) else literal
