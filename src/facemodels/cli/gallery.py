"""`facemodels gallery`: enrolled people, found again by their faces."""

from __future__ import annotations

import click

from facemodels.cli.lazy import LazyGroup

# command → (module of this package, line of help); a module is imported when it is called.
_COMMANDS = {
    "enrol": ("gallery_people", "Enrol the faces of photos under a name."),
    "list": ("gallery_search", "List people, or the photos of one of them."),
    "identify": ("gallery_search", "Say who is in a photo, or unknown."),
    "audit": ("gallery_search", "List what a person should look at."),
    "move": ("gallery_people", "Give the face of one photo another name."),
    "nobody": ("gallery_people", "Take the name off the face of one photo."),
    "merge": ("gallery_people", "Give all faces of one person to another."),
    "remove": ("gallery_removal", "Delete a person, or one photo of a person."),
    "drop": ("gallery_removal", "Delete the faces of an embedding space that nobody needs."),
    "purge": ("gallery_removal", "Delete earlier versions from DVC's cache or a remote."),
    "import": ("gallery_transfer", "Enrol folders of photos, or rows of CSV or NumPy."),
    "export": ("gallery_transfer", "Write people to folders of photos, CSV or NumPy."),
    "migrate": ("gallery_transfer", "Embed everybody anew for another system."),
}


@click.group(cls=LazyGroup, commands_of=_COMMANDS)
def gallery() -> None:
    """Enrolled people: enrol, identify, mend, migrate.

    A gallery is the folder galleries/NAME, which DVC tracks: commit galleries/NAME.dvc, and a
    checkout of an earlier commit brings back what was there.

    \b
    Example:
      facemodels gallery enrol --gallery staff --person "Ada" ada1.jpg ada2.jpg \\
          --system models/system/faces-v1.0.0
      facemodels gallery identify group.jpg --gallery staff \\
          --system models/system/faces-v1.0.0 --choose all
    """
