"""`facemodels merge-lock`."""

from __future__ import annotations

from pathlib import Path

import click

from facemodels.cli.options import FILE


@click.command("merge-lock")
@click.argument("base", type=FILE)
@click.argument("ours", type=FILE)
@click.argument("theirs", type=FILE)
@click.argument("path")
def merge_lock(base: Path, ours: Path, theirs: Path, path: str) -> None:
    """Merge what the pipeline writes for Git; the result is written over OURS.

    Git runs it (`make setup` sets that up). A stage comes from the side that changed it; one that
    both sides changed is left out, and `dvc repro` builds it. Values of params.yaml are merged one
    by one. Of two records of a sealed run, or two lists of code, ours is kept: the next run writes
    it anew.

    \b
    Example:
      git config merge.facemodels-lock.driver "facemodels merge-lock %O %A %B %P"
    """
    from facemodels.files import write_text
    from facemodels.release.merge import merge

    texts = [file.read_text(encoding="utf-8") for file in (base, ours, theirs)]
    merged = merge(path, *texts)
    write_text(ours, merged.text)
    if merged.rebuilt:
        click.echo(
            f"{path}: both sides changed {', '.join(merged.rebuilt)}; `dvc repro` builds "
            f"{'it' if len(merged.rebuilt) == 1 else 'them'} again.",
            err=True,
        )
