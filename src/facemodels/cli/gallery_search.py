"""`facemodels gallery`: the commands that look into a gallery and change nothing."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from facemodels.cli.gallery_options import (
    existing,
    folder_of,
    gallery_option,
    open_system,
    system_options,
    threshold_options,
)
from facemodels.cli.options import FILE, json_option, output
from facemodels.cli.table import print_table

if TYPE_CHECKING:
    from facemodels.gallery.faces import FaceChoice
    from facemodels.gallery.identify import IdentifiedFace


@click.command("list")
@gallery_option
@click.option("--person", help="List the photos of this person.")
@click.option("--space", help="Embedding space, where the gallery has several.")
@json_option
def list_(name: str, person: str | None, space: str | None, as_json: bool) -> None:
    """List people with their numbers of photos, or the photos of one of them.

    \b
    Example:
      facemodels gallery list --gallery staff
      facemodels gallery list --gallery staff --person "Ada"
    """
    rows = existing(name, space).rows
    if person is None:
        counts = sorted(Counter(rows.person[rows.named].tolist()).items())
        nobody = int((~rows.named).sum())
        if as_json:
            people = [{"person": who, "photos": count} for who, count in counts]
            output({"people": people, "nobody": nobody}, "", as_json=True)
        else:
            print_table(
                ["person", "photos"], [*counts, *([("(nobody)", nobody)] if nobody else [])]
            )
        return
    own = rows.take(rows.person == person)
    listed = [
        {
            "photo": own.source[row],
            "enrolled": f"{own.enrolled[row]}Z",
            "eyes": round(float(own.eyes[row]), 1),
            "sharpness": round(float(own.sharpness[row]), 1),
            "system": own.system[row].split()[0],
        }
        for row in range(len(own))
    ]
    if as_json:
        output({"person": person, "photos": listed}, "", as_json=True)
    else:
        headers = ["photo", "enrolled", "eyes", "sharpness", "system"]
        print_table(headers, [list(line.values()) for line in listed])


@click.command()
@click.argument("photo", type=FILE)
@gallery_option
@system_options
@threshold_options
@click.option(
    "--choose", type=click.Choice(["largest", "centre", "best", "all", "error"]),
    default="largest", show_default=True, help="Which face of a photo with several.",
)  # fmt: skip
@click.option("--top", type=click.IntRange(min=1), default=5, show_default=True, help="People.")
@json_option
def identify(
    photo: Path,
    name: str,
    package: str,
    threads: int,
    fmr: float | None,
    threshold: float | None,
    choose: FaceChoice,
    top: int,
    as_json: bool,
) -> None:
    """Say who is in a photo, or unknown.

    The best person counts from the threshold on. The false match rate is that of one comparison:
    in a gallery of N people a stranger is taken for one of them up to N times as often.

    \b
    Example:
      facemodels gallery identify door.jpg --gallery staff --system sys-faces-v1.0.0 --fmr 0.001
    """
    from facemodels.gallery.faces import meant, read_photo
    from facemodels.gallery.identify import identify as identify_faces
    from facemodels.gallery.store import open_gallery

    system = open_system(package, threads)
    at = system.operating_threshold(threshold=threshold, fmr=fmr)
    gallery = open_gallery(folder_of(name), system.space)
    read = read_photo(photo)
    faces = meant(
        read,
        system.find(read.image),
        choose=choose,
        limits=system.limits,
        min_score=system.min_score,
    )
    found = identify_faces(gallery.index, faces, at, top=top)
    value = {
        "gallery": gallery.name,
        "system": system.name,
        "embedding_space": system.space,
        "threshold": at.threshold,
        "fmr": at.fmr,
        "faces": [face.as_json() for face in found],
    }
    ending = f"Threshold {at.threshold:.3f}, at an FMR of {at.fmr:.2g} for each comparison\n"
    output(value, "".join(map(_line, found)) + ending, as_json=as_json)


def _line(found: IdentifiedFace) -> str:
    x, y = (round(float(edge)) for edge in found.face.box[:2])
    scores = ", ".join(f"{match.person} {match.similarity:.3f}" for match in found.people)
    return f"Face at {x},{y}: {found.person or 'unknown'}  ({scores or 'nobody is enrolled'})\n"


@click.command()
@gallery_option
@system_options
@threshold_options
@json_option
def audit(
    name: str,
    package: str,
    threads: int,
    fmr: float | None,
    threshold: float | None,
    as_json: bool,
) -> None:
    """List what a person should look at.

    Faces that look like two people's, faces enrolled twice, poor faces, people with one photo,
    photos that are missing or of no row, rows that other embedding spaces lack.

    \b
    Example:
      facemodels gallery audit --gallery staff --system sys-faces-v1.0.0 --fmr 0.0001
    """
    from facemodels.gallery.audit import audit_gallery
    from facemodels.gallery.store import open_gallery

    system = open_system(package, threads)
    at = system.operating_threshold(threshold=threshold, fmr=fmr)
    gallery = open_gallery(folder_of(name), system.space)
    findings = audit_gallery(gallery, threshold=at.threshold, limits=system.limits)
    if as_json:
        output({"findings": [found.as_json() for found in findings]}, "", as_json=True)
        return
    print_table(
        ["kind", "person", "photo", "found"],
        [(f.kind, f.person or "", f.source[:12], f.text) for f in findings],
    )
