"""`facemodels gallery`: the commands that change who is enrolled."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from facemodels.cli.gallery_options import (
    folder_of,
    gallery_option,
    open_system,
    photo_source,
    system_options,
    threshold_options,
)
from facemodels.cli.options import FILE, json_option, output
from facemodels.errors import InputError
from facemodels.text import counted

if TYPE_CHECKING:
    from facemodels.gallery.edits import GalleryEdit
    from facemodels.gallery.faces import FaceChoice


@click.command()
@click.argument("photos", type=FILE, nargs=-1, required=True)
@gallery_option
@click.option("--person", required=True, help="The name.")
@system_options
@threshold_options
@click.option(
    "--choose", type=click.Choice(["largest", "centre", "best", "error"]), default="error",
    show_default=True, help="Which face of a photo with several.",
)  # fmt: skip
@click.option("--also", is_flag=True, help="Even if the face stands under another name.")
@click.option("--keep-photos", is_flag=True, help="Keep the photos, so that it can be migrated.")
@json_option
def enrol(
    photos: tuple[Path, ...],
    name: str,
    person: str,
    package: str,
    threads: int,
    fmr: float | None,
    threshold: float | None,
    choose: FaceChoice,
    also: bool,
    keep_photos: bool,
    as_json: bool,
) -> None:
    """Enrol the faces of photos under a name: all of them, or none.

    The same photo twice is one row. A face that stands under another name is refused. Without
    --fmr or --threshold the similarity for that rises with the number of enrolled faces, so that
    a new face is like somebody else's in one of a hundred enrolments at most.

    \b
    Example:
      facemodels gallery enrol --gallery staff --person "Ada" ada1.jpg ada2.jpg \\
          --system sys-faces-v1.0.0 --keep-photos
    """
    from facemodels.gallery.enrol import EnrolmentRules
    from facemodels.gallery.enrol import enrol as enrol_photos
    from facemodels.gallery.faces import read_photo

    system = open_system(package, threads)
    folder = folder_of(name)
    asked = threshold is not None or fmr is not None
    at = system.operating_threshold(threshold=threshold, fmr=fmr)
    rules = EnrolmentRules(
        choose=choose,
        also=also,
        keep_photos=keep_photos,
        threshold=at.threshold if asked else None,
    )
    done = enrol_photos(folder, system, person, [read_photo(path) for path in photos], rules)
    known = f", {len(done.known)} known before" if done.known else ""
    text = f"Enrolled {counted(len(done.added), 'photo')} of {done.person} in {folder}{known}\n"
    output({"gallery": folder.name, **done.as_json()}, text, as_json=as_json)


@click.command()
@click.argument("photo")
@gallery_option
@click.option("--person", help="Under whom the face stands.")
@click.option("--nobody", is_flag=True, help="The face is marked as nobody.")
@click.option("--to", required=True, help="The other name.")
@json_option
def move(photo: str, name: str, person: str | None, nobody: bool, to: str, as_json: bool) -> None:
    """Give the face of one photo another name.

    PHOTO is the file, or the first digits of its digest.

    \b
    Example:
      facemodels gallery move 3f2a91c0 --gallery staff --person "Ada" --to "Grace"
    """
    from facemodels.gallery import edits

    if nobody == (person is not None):
        raise InputError("give --person or --nobody: under whom the face stands.")
    done = edits.move(folder_of(name), photo_source(photo), person=person, to=to)
    _say(done, f"Moved the photo to {to}", as_json=as_json)


@click.command()
@click.argument("photo")
@gallery_option
@click.option("--person", required=True, help="Under whom the face stands.")
@json_option
def nobody(photo: str, name: str, person: str, as_json: bool) -> None:
    """Take the name off the face of one photo: no search finds it any more.

    PHOTO is the file, or the first digits of its digest.

    \b
    Example:
      facemodels gallery nobody 3f2a91c0 --gallery staff --person "Ada"
    """
    from facemodels.gallery import edits

    done = edits.mark_as_nobody(folder_of(name), photo_source(photo), person=person)
    _say(done, f"Took the name {person} off the photo", as_json=as_json)


@click.command()
@click.argument("person")
@gallery_option
@click.option("--into", required=True, help="The name that stays.")
@json_option
def merge(person: str, name: str, into: str, as_json: bool) -> None:
    """Give all faces of one person to another.

    \b
    Example:
      facemodels gallery merge "A. Lovelace" --into "Ada" --gallery staff
    """
    from facemodels.gallery import edits

    _say(
        edits.merge(folder_of(name), person, into=into),
        f"Merged {person} into {into}",
        as_json=as_json,
    )


def _say(done: GalleryEdit, text: str, *, as_json: bool) -> None:
    spaces = ", ".join(f"{count} in {space}" for space, count in done.faces.items())
    output(done.as_json(), f"{text} ({spaces})\n", as_json=as_json)
