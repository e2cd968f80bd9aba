"""Options that the commands of `facemodels gallery` share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from facemodels.errors import InputError, NameFormatError
from facemodels.gallery.spaces import gallery_folder, read_facts, spaces_of
from facemodels.git import root_or
from facemodels.names import ModelId

if TYPE_CHECKING:
    from facemodels.gallery.opened import GallerySystem
    from facemodels.gallery.store import Gallery

Function = TypeVar("Function", bound=Callable[..., Any])


def gallery_option(function: Function) -> Function:
    """Add the option `--gallery`, a name below galleries/ or a path."""
    return click.option(
        "--gallery", "name", required=True, help="Its name below galleries/, or its folder."
    )(function)


def system_options(function: Function) -> Function:
    """Add `--system`, a package or an id, and `--threads`."""
    function = click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True)(
        function
    )
    return click.option(
        "--system", "package", required=True, help="Package of a system, or its id."
    )(function)


def threshold_options(function: Function) -> Function:
    """Add `--fmr` and `--threshold`, of which one may be given."""
    function = click.option(
        "--threshold", type=click.FloatRange(-1, 1),
        help="Similarity from which two faces are one person's; the system's own if not given.",
    )(function)  # fmt: skip
    return click.option(
        "--fmr", type=click.FloatRange(0, 1, min_open=True),
        help="The false match rate of one comparison that the threshold is to give.",
    )(function)  # fmt: skip


def open_system(package: str, threads: int) -> GallerySystem:
    """The system of a package, given its folder or its id."""
    from facemodels.gallery.opened import GallerySystem
    from facemodels.package.policies import open_signed

    path = Path(package)
    if not path.exists():
        try:
            path = root_or(Path.cwd()) / ModelId.parse(package).folder
        except NameFormatError as error:
            raise InputError(
                f"{package} is neither a folder nor an id.", "Give one, such as sys-faces-v1.0.0."
            ) from error
    return GallerySystem.of(open_signed(path), threads=threads)


def folder_of(name: str) -> Path:
    """The folder of a gallery that is named on the command line."""
    return gallery_folder(name, root_or(Path.cwd()))


def existing(name: str, space: str | None) -> Gallery:
    """A gallery in the space that is named, or in its only one.

    Raises:
        InputError: it is not there, or has several spaces and none is named.
    """
    from facemodels.gallery.store import open_gallery

    folder = folder_of(name)
    spaces = spaces_of(folder)
    if space is None and len(spaces) > 1:
        raise InputError(
            f"{folder} has faces of {' and '.join(spaces)}.", "Name one of them with --space."
        )
    chosen = space or (spaces[0] if spaces else "none")
    read_facts(folder, chosen)
    return open_gallery(folder, chosen)


def photo_source(photo: str) -> str:
    """The digest of a photo that is given as a file, or as the digest's first digits."""
    from facemodels.files import sha256

    path = Path(photo)
    if path.is_file():
        return sha256(path)
    digits = photo.lower()
    if not (len(digits) >= 4 and set(digits) <= set("0123456789abcdef")):
        raise InputError(
            f"{photo} is neither a file nor the digits of a digest.",
            "`facemodels gallery list --gallery … --person …` shows a person's photos by digest.",
        )
    return digits
