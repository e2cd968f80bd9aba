"""`facemodels weights`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from facemodels.cli.options import json_option, output
from facemodels.cli.table import print_table
from facemodels.errors import InputError


@click.group()
def weights() -> None:
    """Weights that others trained: what there is, and how it gets here.

    \b
    Example:
      facemodels weights fetch facenet-vggface2
      dvc exp run -S models.recognition-facenet.train.init=pretrained
    """


@weights.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the downloads of conf/weights.yaml and the weights inside installed distributions.

    \b
    Example:
      facemodels weights list
    """
    from facemodels import params
    from facemodels.git import find_root
    from facemodels.pipeline.pretrained import pretrained_weights

    root = find_root(Path.cwd())
    rows = [asdict(row) for row in pretrained_weights(root, params.load(root / "params.yaml"))]
    if as_json:
        output(rows, "", as_json=True)
        return
    columns = ("name", "state", "size", "license", "models", "source")
    print_table(
        columns,
        (
            [", ".join(v) if isinstance(v := row[key], tuple) else v for key in columns]
            for row in rows
        ),
    )


@weights.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--dry-run", is_flag=True, help="Say what would be downloaded; change nothing.")
@json_option
def fetch(names: tuple[str, ...], dry_run: bool, as_json: bool) -> None:
    """Download weights, verify size and SHA-256, and let DVC track them.

    A transfer that was cut goes on where it stopped. A file that you put in its place by hand is
    verified and tracked without the network.

    \b
    Example:
      facemodels weights fetch facenet-vggface2 yolov8n-coco
    """
    from facemodels import params
    from facemodels.git import find_root
    from facemodels.pipeline import weights as library

    root = find_root(Path.cwd())
    known = params.load(root / "params.yaml").weights
    wanted = [library.chosen(known, name) for name in names]
    if dry_run:
        plan = [{**one.model_dump(), "state": library.state_of(root, one)} for one in wanted]
        lines = (
            f"{one['file']}: {one['state']}; {one['size']} bytes of {one['url']}\n" for one in plan
        )
        output(plan, "".join(lines), as_json=as_json)
        return
    done = [library.fetch(root, one) for one in wanted]
    lines = (
        f"{one.file}: {one.size} bytes, SHA-256 {one.sha256}, tracked by {_WAYS[one.tracked]}\n"
        for one in done
    )
    output([asdict(one) for one in done], "".join(lines), as_json=as_json)
    added = " ".join(f"{one.file}.dvc" for one in done if one.tracked != "before")
    if added:
        click.echo(f"To share it: git add data/weights/.gitignore {added}; dvc push", err=True)


@weights.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def pin(name: str, yes: bool, as_json: bool) -> None:
    """Download weights that nobody has pinned, and write size and SHA-256 into conf/weights.yaml.

    This trusts whatever the server sends now. Compare the digest with one from another source
    before you say yes; later downloads are held against it.

    \b
    Example:
      facemodels weights pin facenet-casia
    """
    from facemodels import params
    from facemodels.git import find_root
    from facemodels.pipeline import weights as library

    root = find_root(Path.cwd())
    known = params.load(root / "params.yaml").weights
    found = library.bring_unpinned(root, library.chosen(known, name))
    click.echo(
        f"{found.url}\n  size    {found.size} bytes\n  SHA-256 {found.sha256}\n"
        "Nobody has vouched for these bytes: trust on first use.",
        err=True,
    )
    if not yes and not click.confirm(f"Pin it in {library.CONF}?", err=True):
        raise InputError("nothing was pinned.", "The download is kept in .cache/ for another time.")
    done = library.pin(root, found)
    output(asdict(done), f"Pinned {done.name} to {done.sha256}\n", as_json=as_json)
    click.echo(f"Run `facemodels params`, and commit {library.CONF} and {done.file}.dvc.", err=True)


_WAYS: dict[str, Any] = {
    "import-url": "dvc import-url", "add": "dvc add", "before": "DVC as before",
}  # fmt: skip
