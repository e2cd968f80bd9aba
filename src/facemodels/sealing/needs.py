"""The source files that each stage executes, from the import graph.

Stage `code` writes them with their digests, a list for each other stage, which depends on its list:
so a stage runs again when a module that it imports changes, and dvc.yaml names no modules but those
that `code` itself depends on, all of them together.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import grimp

from facemodels.names import TASKS, ModelName
from facemodels.sealing.code import CODE_STAGE, code_path
from facemodels.sealing.declaration import PIPELINE
from facemodels.sealing.judgement import is_code
from facemodels.yaml_text import parse_yaml

CONFIG = "conf/config.yaml"  # names the models and systems

# Modules that a stage reaches by name and not by an import statement; {task} is filled in,
# and a name that ends with .* stands for the modules of that package.
BY_NAME = {
    "prepare": [
        "facemodels.data.kinds.*",
        "facemodels.detection.mtcnn",  # the finder: its steps, and the package that holds them
        "facemodels.detection.mtcnn.*",
        "facemodels.detection.decodes.*",
    ],
    "validate": ["facemodels.evaluate.{task}", "facemodels.{task}.task"],
    "package": [
        "facemodels.{task}.task",
        "facemodels.{task}.example",
        "facemodels.evaluate.{task}",
        "facemodels.package.native_example",  # text of a model card, where there is no ONNX
    ],
    "benchmark": ["facemodels.evaluate.speed_child", "facemodels.{task}.task"],
    "system": ["facemodels.evaluate.{task}", "facemodels.{task}.task"],
    "benchmark_system": ["facemodels.evaluate.speed_child", "facemodels.{task}.task"],
    "compare": [
        "facemodels.evaluate.speed_child",
        "facemodels.evaluate.{task}",
        "facemodels.{task}.*",  # a pinned baseline may be of any architecture
    ],
}
# Stages that load no architecture.
WITHOUT_ARCHITECTURE = {"prepare", "gate", "gate_system", "bundle", CODE_STAGE}
# Stages whose script has another name.
SCRIPTS = {"gate_system": "gate", "benchmark_system": "benchmark"}


class StageNeeds:
    """What the stages of a working tree need, and what its dvc.yaml lists.

    Args:
        root: the folder of dvc.yaml and conf/, which holds `src/facemodels`, the package that is
            imported.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._source = root / "src" / "facemodels"
        self._needed = cache(self._find_needed)
        self._has_code = cache(lambda path: is_code(path, self._source))

    @cached_property
    def stages(self) -> dict[str, Any]:
        """The stages of dvc.yaml by name."""
        text = (self.root / PIPELINE).read_text(encoding="utf-8")
        return dict(parse_yaml(text, PIPELINE)["stages"])

    @cached_property
    def _graph(self) -> grimp.ImportGraph:
        return grimp.build_graph("facemodels", cache_dir=None)

    def keys(self, stage: str) -> list[str]:
        """The models, systems or tasks that a stage runs for; [""] for one that runs once."""
        over: str | dict[str, Any] = self.stages[stage].get("foreach", {"": None})
        if isinstance(over, dict):
            return list(over)
        tasks: list[str] = list(TASKS)
        return {
            "${data}": tasks,
            "${models}": self._chosen("model"),
            "${systems}": [f"system-{name}" for name in self._chosen("bundle")],
        }[over]

    @cached_property
    def _defaults(self) -> list[Any]:
        text = (self.root / CONFIG).read_text(encoding="utf-8")
        return list(parse_yaml(text, CONFIG)["defaults"])

    def _chosen(self, group: str) -> list[str]:
        """The files of one group of conf/ that its list of defaults names."""
        lists = [entry[group] for entry in self._defaults if group in entry]
        return [str(name) for names in lists for name in names]

    def needed(self, stage: str, key: str) -> set[Path]:
        """The source files that a stage executes for one model, system or task."""
        task = key if key in {*TASKS, ""} else ModelName.parse(key).task
        models = [ModelName.parse(name) for name in self._chosen("model")]
        if task == "system":  # which members a system has is no matter of this list
            parts = [part for one in models for part in ("task", one.architecture)]
            tasks = [one.task for one in models for _ in range(2)]
            loaded = [f"{of}.{part}" for of, part in zip(tasks, parts, strict=True)]
        else:
            own = [one for one in models if str(one) == key or one.task == key]
            loaded = [f"{one.task}.{one.architecture}" for one in own]
        return self._needed(stage, task, tuple(loaded))

    def entries(self, stage: str) -> list[str]:
        """The deps of a stage as dvc.yaml has them."""
        written = self.stages[stage]
        return list(written.get("do", written)["deps"])

    def lists(self) -> dict[str, list[str]]:
        """The files of each list that stage `code` makes, from the root, sorted; by its path."""
        return {
            code_path(f"{stage}@{key}" if key else stage): sorted(
                path.relative_to(self.root).as_posix() for path in self.needed(stage, key)
            )
            for stage in self.stages
            for key in self.keys(stage)
            if stage != CODE_STAGE
        }

    @cached_property
    def files(self) -> set[Path]:
        """The source files that any stage executes."""
        keys = [(stage, key) for stage in self.stages for key in self.keys(stage)]
        return {path for stage, key in keys for path in self.needed(stage, key)}

    def generated(self) -> list[str]:
        """The `src/` entries that the deps of stage `code` must have, sorted.

        A folder stands for its files where each of them is needed.
        """
        folders = self._whole_folders(self.files)
        single = {path for path in self.files if not any(map(path.is_relative_to, folders))}
        return sorted(path.relative_to(self.root).as_posix() for path in {*single, *folders})

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
