"""`facemodels gallery`: the commands that delete people, and what earlier versions have of them."""

from __future__ import annotations

from pathlib import Path

import click

from facemodels.cli.gallery_options import existing, folder_of, gallery_option, photo_source
from facemodels.cli.options import json_option, output
from facemodels.errors import InputError
from facemodels.text import counted


@click.command()
@click.argument("person")
@gallery_option
@click.option("--photo", help="Delete this photo only: its file, or digits of its digest.")
@click.option("--dry-run", is_flag=True, help="Say what would be deleted, and delete nothing.")
@json_option
def remove(person: str, name: str, photo: str | None, dry_run: bool, as_json: bool) -> None:
    """Delete a person, or one photo of a person, in every embedding space.

    Rows, kept photos, exports that are known, and what a migration put aside are deleted. What
    Git and DVC keep of earlier versions is named, with the commands that delete it.

    \b
    Example:
      facemodels gallery remove "Ada" --gallery staff --dry-run
      facemodels gallery remove "Ada" --gallery staff
    """
    from facemodels.gallery import edits, exports
    from facemodels.gallery.history import unreached

    folder = folder_of(name)
    source = photo_source(photo) if photo else ""
    if dry_run:
        counts = _would_remove(folder, person, source)
        text = "".join(f"Would delete {counted(n, 'face')} of {s}\n" for s, n in counts.items())
        output({"dry_run": True, "faces": counts}, text, as_json=as_json)
        return
    left = exports.take_out(folder, person, source)
    if photo is None:
        done = edits.remove_person(folder, person)
    else:
        done = edits.remove_photo(folder, source, person=person)
    left += unreached(folder)
    faces = counted(max(done.faces.values(), default=0), "face")
    text = f"Removed {faces} of {person}, and {counted(len(done.photos), 'photo')}\n"
    output(
        {**done.as_json(), "not_reached": left},
        text + "".join(f"Not reached: {line}\n" for line in left),
        as_json=as_json,
    )


def _would_remove(folder: Path, person: str, source: str) -> dict[str, int]:
    """The number of faces that would go, by embedding space."""
    from facemodels.gallery.spaces import spaces_of

    counts = {}
    for space in spaces_of(folder):
        rows = existing(str(folder), space).rows
        own = zip(rows.person, rows.source, strict=True)
        counts[space] = sum(who == person and digest.startswith(source) for who, digest in own)
    if not any(counts.values()):
        raise InputError(f"{folder} has no {person}, or no such photo.")
    return counts


@click.command()
@click.argument("space")
@gallery_option
@click.option("--accept-loss", is_flag=True, help="Even of faces that no other space has.")
@click.option("--dry-run", is_flag=True, help="Say what would be deleted, and delete nothing.")
@json_option
def drop(space: str, name: str, accept_loss: bool, dry_run: bool, as_json: bool) -> None:
    """Delete the faces of an embedding space, once every system that needs it has ended.

    A space that holds faces which no other has is not dropped, unless you accept their loss.

    \b
    Example:
      facemodels gallery drop facenet-0a1b2c3d --gallery staff --dry-run
      facemodels gallery drop facenet-0a1b2c3d --gallery staff
    """
    from facemodels.gallery import edits

    folder = folder_of(name)
    act = edits.droppable if dry_run else edits.drop_space
    count = act(folder, space, accept_loss=accept_loss)
    verb = "Would delete" if dry_run else "Deleted"
    value = {"gallery": folder.name, "space": space, "dry_run": dry_run, "faces": count}
    output(value, f"{verb} {counted(count, 'face')} of {space}\n", as_json=as_json)


@click.command()
@gallery_option
@click.option("--remote", metavar="NAME", help="Of a DVC remote instead of this clone's cache.")
@click.option("--dry-run", is_flag=True, help="Say what would be deleted, and delete nothing.")
@json_option
def purge(name: str, remote: str | None, dry_run: bool, as_json: bool) -> None:
    """Delete what only earlier versions of a gallery have from DVC's cache, or from a remote.

    Do it after the removal is committed, on the remotes first: the cache has the lists by which
    the objects are found. A checkout of those commits brings the gallery back no more. Other
    branches' current versions count as earlier ones.

    \b
    Example:
      facemodels gallery purge --gallery staff --remote storage
      facemodels gallery purge --gallery staff
    """
    from facemodels.gallery.history import earlier_versions, versions_in_use
    from facemodels.gallery.tracking import forget_versions
    from facemodels.git import find_root
    from facemodels.storage.stores.objects import with_children
    from facemodels.storage.stores.stores import Stores

    folder = folder_of(name)
    earlier = earlier_versions(folder)
    stores = Stores(find_root(folder.parent))
    known = [stores.cache]
    used = with_children(versions_in_use(folder), known)
    objects = sorted(with_children(earlier, known) - used)
    store = stores.remote(remote) if remote else stores.cache
    if not dry_run:
        for oid in objects:
            store.delete(oid)
        if remote is None:
            forget_versions(folder)
    verb = "Would delete" if dry_run else "Deleted"
    value = {"dry_run": dry_run, "place": store.name, "objects": objects}
    text = f"{verb} {counted(len(objects), 'object')} of {counted(len(earlier), 'earlier version')}"
    output(value, f"{text} from {store.name}\n", as_json=as_json)
