"""What dvc.yaml declares for a stage, with `foreach` and `matrix` resolved as DVC does.

DVC is not asked, because its import takes half a second and a stage reads this whenever it runs.
"""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facemodels.errors import ParamsError
from facemodels.yaml_text import parse_yaml

PIPELINE = "dvc.yaml"
PARAMS = "params.yaml"
RECORDS = "reports/sealed"  # an output below it is the record of the stage's sealed run
_PLACEHOLDER = re.compile(r"\$\{\s*([^{}\s]+)\s*\}")


def record_path(stage: str) -> str:
    """The path of the record of a stage's sealed run, as dvc.yaml declares it."""
    return f"{RECORDS}/{stage.replace('@', '/')}.json"


@dataclass(frozen=True)
class StageDeclaration:
    """One stage of dvc.yaml.

    Attributes:
        name: its name, such as `train@landmark-dlib`.
        group: the key in dvc.yaml that holds it, such as `train`.
        commands: what it runs, a command a line.
        deps: its dependencies, as paths from the root of the repository.
        params: keys of each file of parameters; an empty list stands for the whole file.
        outs: what it makes: outs, metrics and plots.
        measured: files and folders of the `metrics` of the pipeline, which any stage may write.
        harmless_reads: what it reads without an effect on its outputs; `meta.sealed.reads`.
        scratch: what it writes and no stage reads; `meta.sealed.writes`.
    """

    name: str
    group: str
    commands: tuple[str, ...]
    deps: tuple[str, ...]
    params: Mapping[str, Sequence[str]]
    outs: tuple[str, ...]
    measured: tuple[str, ...]
    harmless_reads: tuple[str, ...]
    scratch: tuple[str, ...]

    @property
    def record(self) -> str | None:
        """The output that is the record of a sealed run; None if it has none."""
        return next((path for path in self.outs if path.startswith(f"{RECORDS}/")), None)

    def runs(self, argv: Sequence[str]) -> bool:
        """Whether one of its commands ends with a script and its arguments."""
        return any(shlex.split(line)[-len(argv) :] == list(argv) for line in self.commands)


def read_stages(root: Path) -> dict[str, StageDeclaration]:
    """Read all stages of dvc.yaml, by name.

    Args:
        root: the folder of dvc.yaml and params.yaml.

    Raises:
        ParamsError: a file cannot be read, or a placeholder has no value.
    """
    return {stage.name: stage for stage in _resolve(root, None)}


def find_stage(root: Path, argv: Sequence[str]) -> StageDeclaration | None:
    """Find the stage that runs a script with its arguments; None if no stage does.

    Args:
        root: the folder of dvc.yaml and params.yaml.
        argv: the script, as a path from the root, and its arguments.

    Raises:
        ParamsError: a file cannot be read, or a placeholder has no value.
    """
    return next(_resolve(root, argv), None)


def _resolve(root: Path, argv: Sequence[str] | None) -> Iterator[StageDeclaration]:
    """Resolve the stages, or only those that run `argv`."""
    pipeline = _read(root / PIPELINE)
    values = _read(root / PARAMS)
    for added in pipeline.get("vars") or ():
        values |= added if isinstance(added, Mapping) else _read(root / str(added))
    measured = tuple(_paths(pipeline.get("metrics")))
    for group, written in (pipeline.get("stages") or {}).items():
        body = written.get("do", written)
        for name, local in _items(group, written, values):
            scope = {**values, **local}
            commands = body["cmd"] if isinstance(body["cmd"], list) else [body["cmd"]]
            found = StageDeclaration(
                name, group, _filled_all(commands, scope), (), {}, (), measured, (), ()
            )
            if argv is None or found.runs(argv):
                yield _declared(found, body, scope)


def _declared(found: StageDeclaration, body: Mapping[str, Any], scope: Any) -> StageDeclaration:
    outs = [path for kind in ("outs", "metrics", "plots") for path in _paths(body.get(kind))]
    sealed = (body.get("meta") or {}).get("sealed") or {}
    params: dict[str, list[str]] = {}
    for entry in body.get("params") or ():
        files = entry if isinstance(entry, Mapping) else {PARAMS: [entry]}
        for file, keys in files.items():
            filled = _filled_all(keys or (), scope)
            params.setdefault(_filled(file, scope), []).extend(filled)
    return StageDeclaration(
        found.name,
        found.group,
        found.commands,
        deps=_filled_all(_paths(body.get("deps")), scope),
        params=params,
        outs=_filled_all(outs, scope),
        measured=found.measured,
        harmless_reads=_filled_all(sealed.get("reads") or (), scope),
        scratch=_filled_all(sealed.get("writes") or (), scope),
    )


def _read(path: Path) -> dict[str, Any]:
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return parse_yaml(text, path.name)


def _paths(entries: Any) -> list[str]:
    """The paths of a list whose entries are paths, or mappings of a path to its options."""
    return [path for entry in entries or () for path in ([entry] if _is_text(entry) else entry)]


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _items(
    group: str, written: Mapping[str, Any], values: Mapping[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The name of each stage that an entry of dvc.yaml stands for, and its own values."""
    if "foreach" in written:
        over = _whole(written["foreach"], values)
        if isinstance(over, Mapping):
            for key, item in over.items():
                yield f"{group}@{key}", {"key": key, "item": item}
        else:
            for index, item in enumerate(over):
                scalar = not isinstance(item, Mapping | list)
                yield f"{group}@{item if scalar else index}", {"item": item}
    elif "matrix" in written:
        axes = {name: _whole(axis, values) for name, axis in written["matrix"].items()}
        numbered = [list(enumerate(axis)) for axis in axes.values()]
        for chosen in itertools.product(*numbered):
            item = {name: value for name, (_, value) in zip(axes, chosen, strict=True)}
            labels = [
                f"{name}{index}" if isinstance(value, Mapping | list) else str(value)
                for name, (index, value) in zip(axes, chosen, strict=True)
            ]
            yield f"{group}@{'-'.join(labels)}", {"key": "-".join(labels), "item": item}
    else:
        yield group, {}


def _whole(value: Any, scope: Mapping[str, Any]) -> Any:
    """A value with its placeholders filled in; a text that is one becomes what it stands for."""
    if isinstance(value, Mapping):
        return {key: _whole(inner, scope) for key, inner in value.items()}
    if isinstance(value, list):
        return [_whole(inner, scope) for inner in value]
    if not _is_text(value):
        return value
    match = _PLACEHOLDER.fullmatch(value)
    return _looked_up(match[1], scope) if match else _filled(value, scope)


def _filled_all(texts: Sequence[str], scope: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(_filled(text, scope) for text in texts)


def _filled(text: str, scope: Mapping[str, Any]) -> str:
    if "${" not in text:
        return text
    return _PLACEHOLDER.sub(lambda match: str(_looked_up(match[1], scope)), text)


def _looked_up(key: str, scope: Mapping[str, Any]) -> Any:
    value: Any = scope
    for part in re.split(r"[.\[\]]+", key.rstrip("]")):
        try:
            value = value[int(part)] if isinstance(value, list) else value[part]
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise ParamsError(
                f"{PIPELINE} names ${{{key}}}, and {PARAMS} has no such value."
            ) from error
    return value


def values_of(stage: StageDeclaration, root: Path) -> dict[str, dict[str, Any]]:
    """The values of a stage's parameters, by file and key, as dvc.lock has them.

    Raises:
        ParamsError: a file cannot be read.
    """
    found: dict[str, dict[str, Any]] = {}
    for file, keys in stage.params.items():
        values = _read(root / file)
        found[file] = {key: _value_at(values, key) for key in keys} if keys else values
    return found


def _value_at(values: Any, key: str) -> Any:
    for part in key.split("."):
        if not isinstance(values, Mapping) or part not in values:
            return None
        values = values[part]
    return values
