"""The objects of an environment as a folder of files, which GitOps tools and `kubectl -k` apply.

One file an object, and a kustomization.yaml that lists them. That list also says which files were
written before and are not wanted any more; no other file of the folder is ever removed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from facemodels.deployment.kubernetes.manifests import as_yaml
from facemodels.deployment.kubernetes.target import Object
from facemodels.errors import InputError
from facemodels.files import write_text

KUSTOMIZATION = "kustomization.yaml"
_MARK = "# Written by `facemodels manifests`; it removes what it listed here before.\n"


@dataclass(frozen=True)
class FolderChanges:
    """What makes a folder hold the objects.

    Attributes:
        written: the text of each file that is new or differs, by name.
        removed: the names of the files of objects that are not wanted any more.
    """

    written: dict[str, str]
    removed: tuple[str, ...]


def file_name(one: Object) -> str:
    """The name of an object's file, for example `deployment-rec-facenet-v2-1-3.yaml`."""
    return f"{one['kind'].lower()}-{one['metadata']['name']}.yaml"


def changes(folder: Path, objects: Sequence[Object]) -> FolderChanges:
    """Compare a folder with the objects; nothing is written.

    Args:
        folder: the folder; it need not exist.
        objects: all objects, in the order in which they are applied.

    Raises:
        InputError: the folder has a kustomization.yaml of somebody else.
    """
    texts = {file_name(one): as_yaml([one]) for one in objects}
    listed = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": list(texts),
    }
    # The list comes last: a command that was killed before finds the old one, and ends its work.
    files = {**texts, KUSTOMIZATION: _MARK + as_yaml([listed])}
    written = {name: text for name, text in files.items() if _read(folder / name) != text}
    gone = tuple(name for name in _listed(folder) if name not in files and _is_file(folder, name))
    return FolderChanges(written, gone)


def write(folder: Path, found: FolderChanges) -> None:
    """Make the changes: write files, remove others, and list last what there is.

    Raises:
        OSError: the folder cannot be written; the same command does the rest later.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in found.removed:
        (folder / name).unlink(missing_ok=True)
    for name, text in found.written.items():
        write_text(folder / name, text)


def _listed(folder: Path) -> list[str]:
    """The files that an earlier command listed."""
    path = folder / KUSTOMIZATION
    text = _read(path)
    if text is None:
        return []
    if not text.startswith(_MARK):
        raise InputError(
            f"{path} was not written by `facemodels manifests`.",
            "Give a folder of its own, and name that in your kustomization.",
        )
    return [str(name) for name in yaml.safe_load(text)["resources"]]


def _is_file(folder: Path, name: str) -> bool:
    """Whether a listed name is a file in the folder itself: a list may have been edited."""
    return Path(name).name == name and (folder / name).is_file()


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
