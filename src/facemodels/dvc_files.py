"""What DVC's own files say: dvc.lock, `.dvc` files, params.yaml and .dvc/config.

Every module that needs a digest, a dependency, a parameter or a remote from one of them asks here.
DVC itself, which takes half a second to import, is imported only to read its configuration or to
run in this process.
"""

from __future__ import annotations

import logging
import os
import re
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from facemodels.errors import InputError, ParamsError
from facemodels.git import Git
from facemodels.yaml_text import parse_yaml

LOCK = "dvc.lock"
CONFIG = Path(".dvc", "config")  # below the root

# --- dvc.lock and one `.dvc` file ---------------------------------------------------------


def read_lock(git: Git, commit: str) -> dict[str, Any]:
    """Read the stages of dvc.lock at a commit, by name; empty where there is no such file.

    Raises:
        ParamsError: the file is no lock.
    """
    return parse_lock(git.file(commit, LOCK) or "", f"{LOCK} at {commit[:10]}")


def read_lock_here(root: Path) -> dict[str, Any]:
    """Read the stages of dvc.lock in the working tree, by name; empty where there is no such file.

    Raises:
        ParamsError: the file is no lock.
    """
    path = root / LOCK
    return parse_lock(path.read_text(encoding="utf-8") if path.is_file() else "", LOCK)


def parse_lock(text: str, where: str) -> dict[str, Any]:
    """Parse the text of a dvc.lock into its stages, by name.

    Each stage is a mapping, and each of its `deps` and `outs` is one that has a `path`.

    Raises:
        ParamsError: the text is no lock.
    """
    values = parse_yaml(text, where)
    # In schema 1, which DVC before 2.0 wrote, the stages are the top of the file.
    stages = values.get("stages") or {} if {"schema", "stages"} & values.keys() else values
    try:
        entries = [
            entry
            for stage in stages.values()
            for kind in ("deps", "outs")
            for entry in stage.get(kind) or ()
        ]
        if all(isinstance(entry["path"], str) for entry in entries):
            return dict(stages)
        said = "a path is no text"
    except (AttributeError, TypeError, KeyError) as error:
        said = f"{type(error).__name__} {error}"
    raise ParamsError(
        f"{where} is no {LOCK}: {said}.", "Was it edited by hand, or left in the middle of a merge?"
    )


def parse_dvc_file(text: str, where: str) -> dict[str, Any]:
    """Parse the text of a `.dvc` file into the entry of its output.

    Raises:
        ParamsError: the text is no `.dvc` file.
    """
    outs = parse_yaml(text, where).get("outs")
    entry = outs[0] if isinstance(outs, list) and outs else None
    if not isinstance(entry, dict):
        raise ParamsError(f"{where} is no .dvc file: it has no outs.")
    return entry


def dvc_files_of(path: str) -> list[str]:
    """The paths of the `.dvc` files that may track a path: beside it, or beside a folder above."""
    place = PurePosixPath(path)
    return [f"{folder}.dvc" for folder in (place, *place.parents) if folder.name]


def tracked_in(folder: Path) -> list[Path]:
    """The paths that the `.dvc` files of one folder of the working tree track, sorted."""
    return sorted(path.with_suffix("") for path in folder.glob("*.dvc"))


def is_tracked_here(path: Path) -> bool:
    """Whether a dvc.lock or a `.dvc` file of the working tree around a path tracks it.

    Args:
        path: a path that need not exist. False where DVC's files cannot be read.
    """
    whole = path.absolute()
    root = next((folder for folder in whole.parents if (folder / ".dvc").is_dir()), None)
    if root is None:
        return False
    if whole.with_name(f"{whole.name}.dvc").is_file():
        return True
    try:
        stages = read_lock_here(root)
    except ParamsError:
        return False
    return find_output(stages, whole.relative_to(root).as_posix()) is not None


def paths_of(stage: Mapping[str, Any], kind: Literal["deps", "outs"]) -> list[str]:
    """The paths of the dependencies or the outputs of a stage of dvc.lock."""
    return [entry["path"] for entry in stage.get(kind) or ()]


def find_output(stages: Mapping[str, Any], path: str) -> dict[str, Any] | None:
    """The entry of an output in the stages of dvc.lock; None if no stage makes it."""
    for stage in stages.values():
        for out in stage.get("outs") or ():
            if out["path"] == path:
                return dict(out)
    return None


def find_hash(git: Git, commit: str, path: str) -> str | None:
    """DVC's digest of an output at a commit, from dvc.lock or from `<path>.dvc`; None if it is
    tracked by neither.

    Raises:
        ParamsError: one of the files cannot be read.
    """
    out = find_output(read_lock(git, commit), path)
    if out is None:
        name = f"{path}.dvc"
        text = git.file(commit, name)
        out = {} if text is None else parse_dvc_file(text, f"{name} at {commit[:10]}")
    return digest_of(out) or None


def stages_passed_on(stages: Mapping[str, Any], path: str, digest: str) -> list[str]:
    """The names of the stages whose recorded run had this package as a dependency."""
    return sorted(
        name
        for name, stage in stages.items()
        if any(d["path"] == path and digest_of(d) == digest for d in stage.get("deps") or ())
    )


def digest_of(entry: Mapping[str, Any]) -> str:
    """DVC's md5 of a dependency or an output; "" where only another digest is recorded."""
    return str(entry.get("md5") or "")


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


@contextmanager
def dvc_repository(root: Path) -> Iterator[Any]:
    """DVC in this process, without its hints and the warnings of its own dependencies.

    Args:
        root: the folder of the repository.
    """
    from dvc.repo import Repo

    logger = logging.getLogger("dvc")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Repo(str(root)) as repo:
                yield repo
    finally:
        logger.setLevel(level)


# --- .dvc/config -------------------------------------------------------------------------


@dataclass(frozen=True)
class Remotes:
    """The remotes of a repository.

    Attributes:
        default: the name of the default remote; "" where there is none.
        settings: the settings of each remote, by its name, in the order of the configuration.
    """

    default: str
    settings: Mapping[str, Mapping[str, Any]]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all remotes, the default one first."""
        listed = list(self.settings)
        return tuple(sorted(listed, key=lambda name: (name != self.default, listed.index(name))))


def read_remotes(root: Path) -> Remotes:
    """Read the remotes as DVC knows them, from .dvc/config, .dvc/config.local and the user's files.

    Args:
        root: the folder of the repository.

    Raises:
        InputError: DVC cannot read its configuration.
    """
    from dvc.config import Config, ConfigError

    try:
        config = Config(str(root / CONFIG.parent))
    except ConfigError as error:
        raise InputError(f"DVC cannot read its configuration: {error}.", "Correct it.") from error
    return Remotes(str(config["core"].get("remote") or ""), dict(config["remote"]))


def default_remote(root: Path) -> str:
    """The name of the default remote; "" where there is none.

    Raises:
        InputError: DVC cannot read its configuration.
    """
    return read_remotes(root).default


def committed_remotes(root: Path) -> tuple[str, dict[str, str]]:
    """The default remote's name ("" for none) and the URL of each remote in .dvc/config alone.

    Raises:
        InputError: the file cannot be parsed.
    """
    path = root / CONFIG
    config = parse_config(path.read_text(encoding="utf-8") if path.is_file() else "")
    sections = {name.lower(): config[name] for name in config.sections}
    urls = {
        name.partition(" ")[2].strip('"'): str(config[name].get("url", ""))
        for name in config.sections
        if name.startswith("remote ")
    }
    return str(sections.get("core", {}).get("remote", "")), urls


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
