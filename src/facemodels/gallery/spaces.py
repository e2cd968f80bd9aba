"""Which embedding spaces a gallery has.

Only gallery.json is read here, so that a rule which asks for spaces loads no faces.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from facemodels.errors import DataError, InputError

GALLERIES = Path("galleries")  # below the root of a repository
FORMAT = 1  # of gallery.json and faces.parquet, see docs/formats/gallery.md
FACTS = "gallery.json"
FACES = "faces.parquet"
PHOTOS = "photos"  # beside the spaces; no space is called so

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
# As packages write it: the name of a recogniser and digits of its weights' digest.
_SPACE = re.compile(r"[a-z][a-z0-9_.-]{0,119}")


class SpaceError(InputError):
    """A gallery has faces of other embedding spaces only.

    Attributes:
        gallery: the name of the gallery.
        wanted: the embedding space that was asked for.
        present: the spaces that the gallery has.
    """

    def __init__(self, gallery: str, wanted: str, present: tuple[str, ...]) -> None:
        self.gallery, self.wanted, self.present = gallery, wanted, present
        super().__init__(
            f"the gallery {gallery} has faces of {' and '.join(present)}, not of {wanted}.",
            f"Make them with `facemodels gallery migrate {gallery} --to PACKAGE`.",
        )


@dataclass(frozen=True)
class SpaceFacts:
    """What gallery.json says of the faces of one space.

    Attributes:
        gallery: the name of the gallery.
        embedding_space: of which all embeddings beside the file are.
        dimension: D, the length of an embedding.
        system: id and digest of the system that the space was made with.
    """

    gallery: str
    embedding_space: str
    dimension: int
    system: str

    def as_json(self) -> dict[str, Any]:
        """The values of gallery.json."""
        return {"format": FORMAT, **asdict(self)}


def gallery_folder(gallery: str, root: Path = Path()) -> Path:
    """The folder of a gallery, given its name or a path with its name at the end.

    Args:
        gallery: `staff`, or `other/place/staff`.
        root: of the repository; names are those of its galleries.

    Raises:
        InputError: the name is none.
    """
    path = Path(gallery)
    if not _NAME.fullmatch(path.name):
        raise InputError(
            f"{gallery!r} is no name of a gallery.",
            "Use lower-case letters, digits, - and _, and a letter first.",
        )
    return path if len(path.parts) > 1 else root / GALLERIES / gallery


def galleries_of(root: Path) -> list[Path]:
    """The folders of all galleries of a repository, sorted; one without a face is left out."""
    folders = sorted((root / GALLERIES).glob("*"))
    return [f for f in folders if _NAME.fullmatch(f.name) and f.is_dir() and spaces_of(f)]


def spaces_of(folder: Path) -> tuple[str, ...]:
    """The embedding spaces that a gallery has faces of, sorted; none where it is not there."""
    return tuple(sorted(path.parent.name for path in folder.glob(f"*/{FACTS}")))


def space_folder(folder: Path, space: str) -> Path:
    """Where a gallery keeps the faces of a space.

    Raises:
        InputError: the space cannot be the name of a folder.
    """
    if not _SPACE.fullmatch(space) or space == PHOTOS:
        raise InputError(f"{space!r} is no embedding space that a gallery can hold.")
    return folder / space


def read_facts(folder: Path, space: str) -> SpaceFacts:
    """Read gallery.json of one space of a gallery.

    Raises:
        InputError: there is no such gallery.
        SpaceError: it has other spaces only.
        DataError: the file is not of this format.
    """
    path = space_folder(folder, space) / FACTS
    if not path.is_file():
        present = spaces_of(folder)
        if present:
            raise SpaceError(folder.name, space, present)
        raise InputError(
            f"there is no gallery {folder}.",
            f"Fetch it: `dvc pull {folder}.dvc`."
            if Path(f"{folder}.dvc").is_file()
            else f"Enrol people with `facemodels gallery enrol --gallery {folder.name} --system … "
            '--person "…" PHOTOS`.',
        )
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        known = values.pop("format")
        facts = SpaceFacts(**values)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is not readable: {error!r}.", _DAMAGED) from error
    if (known, facts.embedding_space) != (FORMAT, space):
        raise DataError(
            f"{path} is of format {known} and of {facts.embedding_space}; format {FORMAT} of "
            f"{space} belongs there.",
            _DAMAGED,
        )
    return facts


_DAMAGED = "Take the gallery of a commit before: `git checkout COMMIT -- *.dvc`, `dvc checkout`."
