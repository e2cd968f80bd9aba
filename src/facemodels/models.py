"""From the name of an architecture to its class, and from a package's graph to a predictor.

The repository's own architectures are found by convention: `facemodels.<task>.<name>` is the
module of the architecture `<name>`, and holds a subclass of `Architecture` that says so in
its `task` and `name`. Nothing has to be registered or installed again when one is added. A
plugin package names its classes in the entry point group `facemodels.architectures`:

    [project.entry-points."facemodels.architectures"]
    recognition-arcface = "my_package.arcface:ArcFace"
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from inspect import isabstract
from pkgutil import iter_modules
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facemodels.architecture.contract import Architecture, Predictor
from facemodels.errors import InputError, NameFormatError
from facemodels.names import LEARNED_TASKS, TASKS, ModelName
from facemodels.runtime import Run, RunAll

GROUP = "facemodels.architectures"
# What every package of a task holds besides its architectures.
_COMMON_MODULES = {
    "task", "metrics", "error_rates", "batches", "example", "losses", "learning", "distillation",
    "compatible", "embedding_architecture", "coco", "decodes",
}  # fmt: skip

AnyArchitecture = Architecture[Any, Any]


def architecture(task: str, name: str) -> type[AnyArchitecture]:
    """Find the class of an architecture.

    Args:
        task: `detection`, `recognition` or `landmarks`.
        name: for example `facenet`.

    Raises:
        InputError: there is none of that name for the task, or a plugin's entry point does
            not lead to one.
    """
    _check_task(task, LEARNED_TASKS)
    if name in _own_names(task):
        return _in_module(task, name)
    return _of_plugin(task, name)


def architectures() -> list[tuple[str, str]]:
    """List the task and the name of every architecture, those of plugins included."""
    own = [(task, name) for task in LEARNED_TASKS for name in _own_names(task)]
    return sorted({*own, *(key for key, _ in _plugins())})


def served(
    task: str, run: Run, config: Mapping[str, Any], metadata: Mapping[str, Any]
) -> Predictor:
    """Return a predictor of the task around an ONNX graph.

    It needs the task's module alone and neither the architecture's nor torch, which takes
    seconds to import and half a gigabyte of memory.

    Args:
        task: `detection`, `recognition` or `landmarks`.
        run: runs the graph.
        config: config.yaml of the package.
        metadata: metadata.json of the package.
    """
    return _module_of(task).served(run, config, metadata)


def served_graphs(
    task: str,
    graphs: Mapping[str, RunAll],
    config: Mapping[str, Any],
    metadata: Mapping[str, Any],
) -> Predictor:
    """Return a predictor of the task around several ONNX graphs; see `served`.

    Args:
        task: `detection`, `recognition` or `landmarks`.
        graphs: runs the graphs, by name.
        config: config.yaml of the package; its `decode` names the steps between the graphs.
        metadata: metadata.json of the package.

    Raises:
        InputError: the task has no models of several graphs, or not these steps.
    """
    module = _module_of(task)
    if not hasattr(module, "served_graphs"):
        raise InputError(f"a model of {task} has one graph.", "Check `runtimes` in config.yaml.")
    return module.served_graphs(graphs, config, metadata)


def served_members(
    task: str, members: Mapping[str, Predictor], config: Mapping[str, Any]
) -> Predictor:
    """Return a predictor that is made of predictors of other tasks; see `served`.

    Args:
        task: `system`.
        members: the predictors, by task.
        config: config.yaml of the package.
    """
    return _module_of(task).served_members(members, config)


def postprocessing(task: str) -> dict[str, Any]:
    """How the output of one ONNX graph of a task becomes an answer, for config.yaml."""
    found: dict[str, Any] = _module_of(task).postprocessing()
    return found


def predict(
    task: str, predictor: Predictor, images: Sequence[NDArray[np.uint8]]
) -> list[NDArray[np.float32]]:
    """Run a predictor once, whatever its task: one array an image.

    The array is (K, 5) for detection (x0 y0 x1 y1 score), (D,) for recognition, (68, 2) for
    landmarks, where the face's box is the middle of the image, and (K, 5 + D) for a system.
    """
    outputs: list[NDArray[np.float32]] = _module_of(task).predict(predictor, images)
    return outputs


def _module_of(task: str) -> Any:
    _check_task(task)
    return import_module(f"facemodels.{task}.task")


def _check_task(task: str, known: Sequence[str] = TASKS) -> None:
    if task not in known:
        raise InputError(f"there is no task {task!r}.", f"Use one of {', '.join(known)}.")


def _own_names(task: str) -> list[str]:
    """Names of the modules of a task that are architectures; none of them is imported."""
    spec = find_spec(f"facemodels.{task}")
    folders = spec.submodule_search_locations if spec else None
    found = {module.name for module in iter_modules(folders or [])}
    return sorted(found - _COMMON_MODULES)


def _in_module(task: str, name: str) -> type[AnyArchitecture]:
    module = import_module(f"facemodels.{task}.{name}")
    values = vars(module).values()
    found: set[type[AnyArchitecture]] = {v for v in values if _is_architecture(v, task, name)}
    if len(found) != 1:
        raise InputError(
            f"{module.__name__} holds {len(found)} architectures, not one.",
            f"Give it one subclass of Architecture with task {task!r} and name {name!r}.",
        )
    return found.pop()


def _is_architecture(value: object, task: str, name: str) -> bool:
    return (
        isinstance(value, type)
        and issubclass(value, Architecture)
        and not isabstract(value)
        and (getattr(value, "task", ""), getattr(value, "name", "")) == (task, name)
    )


def _plugins() -> Iterator[tuple[tuple[str, str], EntryPoint]]:
    """Yield the task and the name of each entry point, and the entry point."""
    for entry in entry_points(group=GROUP):
        try:
            model = ModelName.parse(entry.name)
        except NameFormatError as error:
            raise InputError(
                f"the entry point {entry.name} = {entry.value} is no architecture: {error}"
            ) from error
        yield (model.task, model.architecture), entry


def _of_plugin(task: str, name: str) -> type[AnyArchitecture]:
    found = [entry for key, entry in _plugins() if key == (task, name)]
    if not found:
        known = ", ".join(other for of, other in architectures() if of == task)
        raise InputError(
            f"there is no architecture {name!r} for {task}, only {known}.",
            f"Write it as src/facemodels/{task}/{name}.py with one file in conf/model/.",
        )
    values = sorted({entry.value for entry in found})
    if len(values) > 1:
        raise InputError(
            f"{' and '.join(values)} are both called {found[0].name}.", "Uninstall one of them."
        )
    try:
        value: Any = found[0].load()
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"the entry point {found[0].name} = {values[0]} does not load: {error}."
        ) from error
    if not _is_architecture(value, task, name):
        raise InputError(
            f"{values[0]} is no subclass of Architecture with task {task!r} and name {name!r}."
        )
    architecture_class: type[AnyArchitecture] = value
    return architecture_class
