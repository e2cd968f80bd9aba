"""`facemodels pull`."""

from __future__ import annotations

from pathlib import Path

import click

from facemodels.cli.options import FOLDER, json_option, output


@click.command()
@click.argument("model")
@click.option("--repository", default=".", show_default=True, help="URL or folder of the clone.")
@click.option("--output", "folder", type=FOLDER, required=True, help="Folder of the package.")
@click.option("--digest", default="", help="sha256:… of the package; another one is refused.")
@json_option
def pull(model: str, repository: str, folder: Path, digest: str, as_json: bool) -> None:
    """Copy the verified package of MODEL, a registered id, to a machine without a clone.

    Bytes, tags and signature are checked as by `facemodels serve`; exit code 3 if the package is
    not the one that was registered. One that is there already is verified and kept.

    \b
    Example:
      facemodels pull rec-facenet-v2.1.3 --repository https://git.example.org/faces.git \\
          --output /packages/facenet-v2.1.3
    """
    from facemodels.registry.pull import pull as bring

    found = bring(model, repository, folder, digest=digest)
    result = {"id": model, "digest": found, "path": str(folder)}
    output(result, f"{folder} holds {model}, {found}\n", as_json=as_json)
