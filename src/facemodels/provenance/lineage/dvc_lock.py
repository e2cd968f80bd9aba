"""Finds what a package was made of in the texts of dvc.lock, `.dvc` files and params.yaml. Pure.

The stages of dvc.lock are followed backwards from the one whose output is the package. What a stage
executes stands in a list beside dvc.lock (`facemodels.sealing.code`). A package
that is kept beside a newer version has a `.dvc` file instead, which records its digest only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from facemodels.dvc_files import digest_of, parse_dvc_file, parse_lock
from facemodels.errors import ParamsError
from facemodels.names import ModelId
from facemodels.provenance.flat import Flat, Key, flatten, same
from facemodels.provenance.lineage.inputs import Artifact, Inputs, Stage
from facemodels.sealing.code import CODE, CODE_STAGE, read_code
from facemodels.yaml_text import parse_yaml

# the keys of a model in params.yaml that its stages read
_GROUPS = ("name", "version", "variant", "network", "train", "gates", "card")


def from_lock(
    text: str, package: str, model: str, where: str, list_at: Callable[[str], str | None]
) -> Inputs | None:
    """Follow the stages of dvc.lock backwards from a package; None if no stage makes it.

    Args:
        text: the text of dvc.lock.
        package: the folder of the package, from the root of the repository.
        model: the name of the model, for example `recognition-facenet`.
        where: the name of the file in errors.
        list_at: reads the list of a stage's code; None where the commit has no such file.

    Raises:
        ParamsError: the text is no dvc.lock.
    """
    stages = [_with_code(stage, list_at) for stage in _stages(text, where)]
    stages = [stage for stage in stages if stage.name != CODE_STAGE]
    last = next((stage for stage in stages if _makes(stage, package)), None)
    if last is None:
        return None
    chain = _upstream(last, stages)
    parameters, disagreements = _parameters(chain, model)
    # A folder above the package has its own digest, which is not the package's.
    out = next((out for out in last.outs if out.path == package), None)
    found = Artifact(package, out.md5, out.size, last.name) if out else None
    return Inputs(
        found,
        "stage",
        tuple(chain),
        parameters,
        "dvc.lock" if parameters else "",
        (*_stale(chain), *disagreements),
    )


def _stages(text: str, where: str) -> list[Stage]:
    entries = parse_lock(text, where)
    try:
        return [_stage(name, entry) for name, entry in entries.items()]
    except (ValueError, TypeError, AttributeError) as error:
        raise ParamsError(
            f"{where} is no dvc.lock: {type(error).__name__} {error}.",
            "Was it edited by hand, or left in the middle of a merge?",
        ) from error


def _stage(name: str, entry: Mapping[str, Any]) -> Stage:
    command = entry.get("cmd") or ""
    return Stage(
        name,
        command if isinstance(command, str) else " && ".join(map(str, command)),
        _artifacts(entry.get("deps") or []),
        _artifacts(entry.get("outs") or []),
        {file: dict(values) for file, values in (entry.get("params") or {}).items()},
    )


def _with_code(stage: Stage, list_at: Callable[[str], str | None]) -> Stage:
    """A stage with the files of its lists in place of the lists."""
    deps: list[Artifact] = []
    for dep in stage.deps:
        text = list_at(dep.path) if _within(dep.path, CODE) else None
        files = {} if text is None else read_code(text, dep.path)
        deps += [Artifact(path, digest) for path, digest in files.items()] or [dep]
    return replace(stage, deps=tuple(deps))


def _artifacts(entries: Sequence[Mapping[str, Any]]) -> tuple[Artifact, ...]:
    return tuple(Artifact(entry["path"], digest_of(entry), _size(entry)) for entry in entries)


def _size(entry: Mapping[str, Any]) -> int | None:
    size = entry.get("size")
    return size if isinstance(size, int) else None


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def _makes(stage: Stage, path: str) -> bool:
    return any(_within(path, out.path) for out in stage.outs)


def _upstream(last: Stage, stages: Sequence[Stage]) -> list[Stage]:
    """Find the stages that lead to `last`, itself included, in the order in which they ran."""
    done: list[Stage] = []
    seen = {last.name}
    todo: list[tuple[Stage, Iterator[Stage]]] = [(last, _feeding(last, stages))]
    while todo:
        stage, before = todo[-1]
        following = next((other for other in before if other.name not in seen), None)
        if following is None:
            done.append(stage)
            todo.pop()
        else:
            seen.add(following.name)
            todo.append((following, _feeding(following, stages)))
    return done


def _feeding(stage: Stage, stages: Sequence[Stage]) -> Iterator[Stage]:
    """Yield the stages with an output that a stage reads: the same path, one in it or above it."""
    for other in stages:
        pairs = ((out.path, dep.path) for out in other.outs for dep in stage.deps)
        if other is not stage and any(_within(a, b) or _within(b, a) for a, b in pairs):
            yield other


def _stale(chain: Sequence[Stage]) -> Iterator[str]:
    """Yield a note for each stage that read other bytes than the stage before it had made."""
    made = {out.path: (out.md5, stage.name) for stage in chain for out in stage.outs}
    for stage in chain:
        for dep in stage.deps:
            md5, maker = made.get(dep.path, (dep.md5, ""))
            if md5 != dep.md5:
                yield (
                    f"{stage.name} read {dep.path} {dep.md5[:8]}, but {maker} made {md5[:8]}: "
                    "dvc.lock was committed out of date."
                )


def _parameters(chain: Sequence[Stage], model: str) -> tuple[Flat, list[str]]:
    """Collect the parameters of all stages, and notes where two stages disagree.

    Where they disagree, the value of the stage that ran first is taken.
    """
    found: dict[Key, Any] = {}
    notes = []
    for stage in chain:
        for values in stage.parameters.values():
            for name, value in values.items():
                for key, leaf in flatten({"": value}).items():
                    full = (*_shorten(name, model), *key[1:])
                    if not same(found.setdefault(full, leaf), leaf):
                        notes.append(f"{stage.name} ran with {'.'.join(full)} {leaf}.")
    return found, notes


def _shorten(name: str, model: str) -> Key:
    """Shorten `models.recognition-facenet.train` to `train`, and `data.recognition` to `data`."""
    inside = name.removeprefix(f"models.{model}.")
    if inside != name:
        return tuple(inside.split("."))
    parts = name.split(".")
    return (parts[0], *parts[2:]) if parts[0] == "data" else tuple(parts)


def from_dvc_file(text: str, package: str, file: str, where: str) -> Inputs:
    """Read the digest of a package from a `.dvc` file.

    Args:
        text: the text of the `.dvc` file.
        package: the folder of the package, from the root of the repository.
        file: the path of the `.dvc` file, of the package itself or of a folder above it.
        where: the name of the file in errors.

    Raises:
        ParamsError: the text is no `.dvc` file.
    """
    entry = parse_dvc_file(text, where)
    note = f"{file} gives its digest alone: the stages that made it are in an earlier dvc.lock."
    artifact = None
    if file == f"{package}.dvc":
        artifact = Artifact(package, digest_of(entry), _size(entry))
    return Inputs(artifact, ".dvc", notes=(note,))


def from_params(text: str, model: ModelId, where: str) -> tuple[Flat, str]:
    """Read the parameters of a version from params.yaml, and a note for the reader.

    Args:
        text: the text of params.yaml.
        model: the version; the file may be of another one, then nothing is taken from it.
        where: the name of the file in errors.

    Raises:
        ParamsError: the text is no mapping.
    """
    values = parse_yaml(text, where)
    own = _mapping(_mapping(values, "models"), str(model.name))
    if not own:
        return {}, f"params.yaml has no {model.name} at the commit."
    built = (str(own.get("version")), str(own.get("variant") or ""))
    if built != (str(model.version), model.variant):
        of = " ".join(part for part in built if part)
        return {}, f"params.yaml is of {model.name} {of} at the commit, not of this version."
    groups = {key: own[key] for key in _GROUPS if key in own}
    data = _mapping(_mapping(values, "data"), model.name.task)
    if data:
        groups["data"] = data
    return flatten(groups), "The parameters are those of params.yaml: dvc.lock has none of it."


def _mapping(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    inner = values.get(key)
    return inner if isinstance(inner, Mapping) else {}
