"""`facemodels release`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from facemodels.cli.options import json_option, output
from facemodels.cli.registry_options import local_option

if TYPE_CHECKING:
    from facemodels.release.plan import ReleasePlan

_LEVELS = ("patch", "minor", "major")


@click.command()
@click.argument("name")
@click.option("--bump", type=click.Choice(_LEVELS), help="Not needed for a first release.")
@click.option("--message", "-m", required=True, help="What is new: card, commit and tag.")
@click.option("--accept-regression", default="", metavar="REASON", help="Answer for less accuracy.")
@click.option("--tag", "labels", multiple=True, metavar="WORD", help="For filters; repeatable.")
@click.option("--dry-run", is_flag=True, help="Print the plan and touch nothing.")
@local_option
@json_option
def release(
    name: str,
    bump: Any,
    message: str,
    accept_regression: str,
    labels: Sequence[str],
    dry_run: bool,
    local: bool,
    as_json: bool,
) -> None:
    """Build, judge, commit, push and register the next version of NAME.

    The version before is kept beside the new one, as its baseline. After a failure, or a
    kill, at any step the same command goes on where it stopped.

    \b
    Example:
      facemodels release recognition-facenet --bump minor -m "Trained on twice the people"
    """
    from facemodels.registry.completeness import require_whole
    from facemodels.registry.reading import read_events
    from facemodels.registry.registry import open_registry
    from facemodels.release.plan import ReleaseRequest
    from facemodels.release.steps import Release

    request = ReleaseRequest(name, bump, message, accept_regression, labels)
    opened = open_registry(Path.cwd(), local=local)
    act = Release(opened, request, say=lambda line: click.echo(line, err=True))
    if dry_run:
        store = opened.repository
        require_whole(store.git, read_events(store.git), remote=store.remote())
        made = act.plan()
        output(made.as_json(), _plan_text(made), as_json=as_json)
        return
    entry = act.run()
    bump_facts = entry.facts.get("bump")
    why = f" ({bump_facts['level']} or more was due)" if bump_facts else ""
    text = f"Released {entry.id} as {entry.event.tag}{why}, at commit {entry.event.commit[:10]}.\n"
    output(entry.as_json(), text, as_json=as_json)


def _plan_text(made: ReleasePlan) -> str:
    lines = [
        f"{number}. {step.name:<9}{step.text}" for number, step in enumerate(made.steps, start=1)
    ]
    return "".join(f"{line}\n" for line in [*lines, *made.notes, "Nothing was touched."])
