"""What DVC's own files say: dvc.lock, `.dvc` files, params.yaml and .dvc/config.

Every module that needs a digest, a dependency, a parameter or a remote from one of them asks here.
"""

from __future__ import annotations

import math
import os
import re
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from facemodels.errors import InputError, ParamsError
from facemodels.git import Git

LOCK = "dvc.lock"
CONFIG = Path(".dvc", "config")  # below the root
# YAML 1.2, which DVC writes, has 1e-05; YAML 1.1, which PyYAML reads, takes that for text.
_FLOAT = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)[eE][-+]?[0-9]+$")


def parse_yaml(text: str, where: str) -> dict[str, Any]:
    """A mapping of keys to values of JSON; an empty file is an empty one.

    Args:
        text: of the file.
        where: names the file in errors.

    Raises:
        ParamsError: the text is no YAML, or no mapping.
    """
    try:
        values = plain(yaml.load(text, Loader=_loader()))  # noqa: S506  (a safe loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ParamsError(
            f"{where} cannot be read: {' '.join(str(error).split())}.",
            "Was it edited by hand, or left in the middle of a merge?",
        ) from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ParamsError(f"{where} holds no mapping of keys to values.")
    return values


@cache
def _loader() -> type[yaml.SafeLoader]:
    """The safe loader, in C where PyYAML has it: ten times as fast."""
    base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    loader: type[yaml.SafeLoader] = type("_Loader", (base,), {})
    loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))
    return loader


def plain(value: Any) -> Any:
    """A value of YAML as one of JSON: text keys, no dates, no NaN.

    Raises:
        RecursionError: the value holds itself.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, str | int | float):
        return value
    return str(value)


def read_lock(git: Git, commit: str) -> dict[str, Any]:
    """The stages of dvc.lock at a commit, by name; empty where there is none.

    Raises:
        InputError: the file is no lock.
    """
    return parse_lock(git.file(commit, LOCK) or "", f"{LOCK} at {commit[:10]}")


def parse_lock(text: str, where: str) -> dict[str, Any]:
    """The stages of a dvc.lock's text.

    Raises:
        InputError: the text is no lock.
    """
    stages = parse_yaml(text, where).get("stages") or {}
    if not isinstance(stages, dict):
        raise InputError(f"{where} holds no stages.", "Restore it with `git checkout`.")
    return stages


def find_hash(git: Git, commit: str, path: str) -> str | None:
    """DVC's digest of an output at a commit, from dvc.lock or from `<path>.dvc`; None if it is
    tracked by neither.

    Raises:
        InputError: one of the files cannot be read.
    """
    for stage in read_lock(git, commit).values():
        for out in stage.get("outs", ()):
            if out.get("path") == path:
                return _digest(out)
    frozen = git.file(commit, f"{path}.dvc")
    outs = parse_yaml(frozen or "", f"{path}.dvc").get("outs") or [{}]
    return _digest(outs[0])


def stages_passed_on(stages: Mapping[str, Any], path: str, digest: str) -> list[str]:
    """Names of the stages that ran through with this very package as their dependency."""
    return sorted(
        name
        for name, stage in stages.items()
        if any(d.get("path") == path and _digest(d) == digest for d in stage.get("deps", ()))
    )


def _digest(entry: Mapping[str, Any]) -> str | None:
    value = entry.get("md5")
    return str(value) if value else None


# --- files of any commit, which need not parse -------------------------------------------

# `md5: <id>` in dvc.lock and `.dvc` files; YAML or a person may have quoted the id.
_RECORDED = re.compile(rb"""md5['"]?:\s*['"]?([0-9a-f]{32}(?:\.dir)?)""")


def is_dvc_file(path: str) -> bool:
    """Whether a path is that of a dvc.lock or a `.dvc` file."""
    name = PurePosixPath(path).name
    return name == LOCK or name.endswith(".dvc")


def working_files(git: Git) -> list[str]:
    """The paths of dvc.lock and all `.dvc` files in the working tree, tracked by Git or not.

    Files that Git ignores are left out.
    """
    listed = git.raw("ls-files", "-z", "--cached", "--others", "--exclude-standard")
    paths = (os.fsdecode(name) for name in set(listed.split(b"\0")))
    return sorted(path for path in paths if is_dvc_file(path) and (git.root / path).is_file())


def recorded_ids(text: bytes) -> set[str]:
    """The ids of all objects that the text of DVC's files names, whether or not it parses."""
    return {match.decode() for match in _RECORDED.findall(text)}


def read_outputs(text: str, where: str) -> list[tuple[str, str]]:
    """The path in the repository and the object id of every output of a DVC file.

    Args:
        text: the text of a dvc.lock or a `.dvc` file.
        where: the path of the file in the repository; outputs are relative to its folder.

    Raises:
        ParamsError: the text cannot be parsed, or is neither of the two kinds of file.
    """
    folder = PurePosixPath(where).parent
    values = parse_yaml(text, where)
    try:
        stages = values.get("stages") or {"": values}
        outs = [out for stage in stages.values() for out in stage.get("outs") or ()]
        if "wdir" in values:
            folder /= str(values["wdir"])
        return [
            (os.path.normpath(folder / str(out["path"])), str(out["md5"]))
            for out in outs
            if "md5" in out
        ]
    except (AttributeError, TypeError, KeyError) as error:
        raise ParamsError(f"{where} does not list outputs as DVC does.") from error


# --- .dvc/config -------------------------------------------------------------------------


def read_config(root: Path) -> Mapping[str, Any]:
    """DVC's configuration of a repository, .dvc/config.local and the user's own included.

    Args:
        root: the folder of the repository.

    Raises:
        InputError: DVC cannot read it.
    """
    from dvc.config import Config, ConfigError

    try:
        config: Mapping[str, Any] = Config(str(root / CONFIG.parent))
    except ConfigError as error:
        raise InputError(f"DVC cannot read its configuration: {error}.", "Correct it.") from error
    return config


def default_remote(root: Path) -> str:
    """The name of the default remote; "" where there is none.

    Raises:
        InputError: DVC cannot read its configuration.
    """
    return str(read_config(root)["core"].get("remote") or "")


def remote_names(root: Path) -> tuple[str, ...]:
    """The names of the remotes of a repository, the default one first.

    Raises:
        InputError: DVC cannot read its configuration.
    """
    config = read_config(root)
    default = config["core"].get("remote")
    names = list(config["remote"])
    return tuple(sorted(names, key=lambda name: (name != default, names.index(name))))


def parse_config(text: str) -> Any:
    """A `ConfigObj` of the text of .dvc/config, with its comments, to be edited and written.

    Raises:
        InputError: the text cannot be parsed.
    """
    from configobj import ConfigObj, ConfigObjError  # type: ignore[import-untyped]

    try:
        return ConfigObj(text.splitlines(), interpolation=False)
    except ConfigObjError as error:
        raise InputError(f"{CONFIG}: {error}", "Correct the file.") from error


def check_config(text: str) -> None:
    """Let DVC read the text of a .dvc/config before it is written.

    Raises:
        InputError: DVC refuses it.
    """
    from dvc.config import Config, ConfigError

    with tempfile.TemporaryDirectory(prefix="facemodels-") as folder:
        Path(folder, "config").write_text(text, encoding="utf-8")
        try:
            Config(folder)
        except ConfigError as error:
            raise InputError(f"DVC would not read it: {error}.", "Correct the options.") from error
