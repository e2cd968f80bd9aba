"""`facemodels gallery`: the commands that bring many people in, out, or to another system."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from facemodels.cli.gallery_options import (
    existing,
    folder_of,
    gallery_option,
    open_system,
    system_options,
)
from facemodels.cli.options import FILE, FILE_OR_FOLDER, FOLDER, json_option, output
from facemodels.text import counted

if TYPE_CHECKING:
    from facemodels.gallery.enrol import Enrolment
    from facemodels.gallery.faces import FaceChoice


@click.command("import")
@click.argument("source", type=FILE_OR_FOLDER)
@gallery_option
@system_options
@click.option("--also", is_flag=True, help="Even faces that stand under another name.")
@click.option("--leave-out", is_flag=True, help="Leave out photos that are refused.")
@click.option("--keep-photos", is_flag=True, help="Keep the photos, so that it can be migrated.")
@click.option(
    "--choose", type=click.Choice(["largest", "centre", "best", "error"]), default="error",
    show_default=True, help="Which face of a photo with several.",
)  # fmt: skip
@click.option("--identity", type=FILE, help="Secret key of age, of a file that is encrypted.")
@click.option("--dry-run", is_flag=True, help="Find and judge the faces, and write nothing.")
@json_option
def import_(
    source: Path,
    name: str,
    package: str,
    threads: int,
    also: bool,
    leave_out: bool,
    keep_photos: bool,
    choose: FaceChoice,
    identity: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Enrol folders of photos, one named after each person, or rows of an exported file.

    All of it or nothing, unless refused photos are left out.

    \b
    Example:
      facemodels gallery import photos/ --gallery staff --system sys-faces-v1.0.0 --dry-run
      facemodels gallery import photos/ --gallery staff --system sys-faces-v1.0.0
      facemodels gallery import staff.npz --gallery staff --system sys-faces-v1.0.0
    """
    from facemodels.gallery import imports
    from facemodels.gallery.enrol import EnrolmentRules

    system, folder = open_system(package, threads), folder_of(name)
    if not source.is_dir():
        added = imports.import_table(
            folder, system, source, also=also, identity=identity, dry_run=dry_run
        )
        verb = "Would add" if dry_run else "Added"
        value = {"gallery": folder.name, "dry_run": dry_run, "added": added}
        output(value, f"{verb} {counted(added, 'face')} to {folder}\n", as_json=as_json)
        return
    rules = EnrolmentRules(
        choose=choose,
        also=also,
        leave_out=leave_out,
        keep_photos=keep_photos,
        dry_run=dry_run,
    )
    done = imports.import_photos(folder, system, source, rules)
    people = [enrolment.as_json() for enrolment in done]
    text = f"Would enrol in {folder}:\n" if dry_run else ""
    output(
        {"gallery": folder.name, "dry_run": dry_run, "people": people},
        text + "".join(map(_line, done)),
        as_json=as_json,
    )


def _line(done: Enrolment) -> str:
    refused = "".join(f"  left out: {what}\n" for what in done.refused)
    known = f", {len(done.known)} known before" if done.known else ""
    return f"{done.person}: {counted(len(done.added), 'photo')}{known}\n{refused}"


@click.command()
@click.argument("target", type=FILE_OR_FOLDER)
@gallery_option
@click.option("--space", help="Embedding space, where the gallery has several.")
@click.option("--person", "people", multiple=True, help="Only this person; may be repeated.")
@click.option(
    "--encrypt", "recipients", multiple=True, metavar="RECIPIENT",
    help="Public key of age, to which a .csv.age or .npz.age is encrypted; may be repeated.",
)  # fmt: skip
@json_option
def export(
    target: Path,
    name: str,
    space: str | None,
    people: tuple[str, ...],
    recipients: tuple[str, ...],
    as_json: bool,
) -> None:
    """Write people to a .csv or .npz with their embeddings, or their photos to a folder.

    The place is remembered: `facemodels gallery remove` takes a person out of it too.

    \b
    Example:
      facemodels gallery export staff.npz --gallery staff
      facemodels gallery export staff.csv.age --gallery staff --encrypt age1...
      facemodels gallery export photos/ --gallery staff
    """
    from facemodels.gallery import exports

    gallery = existing(name, space)
    if target.suffix in (".csv", ".npz", ".age") or recipients:
        count = exports.export_table(gallery, target, people=people, recipients=recipients)
    else:
        count = exports.export_photos(gallery, target, people=people)
    value = {"gallery": gallery.name, "target": str(target), "exported": count}
    output(value, f"Exported {counted(count, 'face')} to {target}\n", as_json=as_json)


@click.command()
@click.argument("name")
@click.option("--to", "package", required=True, help="Package of the other system, or its id.")
@click.option("--from", "old", help="Embedding space to migrate from, where there are several.")
@click.option("--photos", type=FOLDER, help="Photos that the gallery does not keep.")
@click.option("--leave-out", is_flag=True, help="Leave out faces that cannot be embedded.")
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True)
@json_option
def migrate(
    name: str,
    package: str,
    old: str | None,
    photos: Path | None,
    leave_out: bool,
    threads: int,
    as_json: bool,
) -> None:
    """Embed everybody anew for another system, beside the faces that are there.

    Run it again after it was killed: it goes on where it was. Each version answers from its own
    faces, so a rollback needs no migration back.

    \b
    Example:
      facemodels gallery migrate staff --to sys-faces-v2.0.0
    """
    from facemodels.gallery.migrate import migrate as migrate_gallery

    system = open_system(package, threads)
    done = migrate_gallery(folder_of(name), system, old=old, photos=photos, leave_out=leave_out)
    lost = f", {len(done.lost)} left out" if done.lost else ""
    text = f"Added {counted(done.added, 'face')} of {done.new} beside {done.old}{lost}\n"
    output(done.as_json(), text, as_json=as_json)
