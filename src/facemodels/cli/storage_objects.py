"""`facemodels storage push`, `pull` and `audit`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from facemodels.cli.options import json_option, output
from facemodels.cli.registry_options import complete_ids
from facemodels.cli.table import print_table

if TYPE_CHECKING:
    from facemodels.git import Git
    from facemodels.registry.state import State
    from facemodels.storage.stores.stores import Stores
    from facemodels.storage.sync.findings import AuditReport

Function = TypeVar("Function", bound=Callable[..., object])


def _remote(function: Function) -> Function:
    return click.option("--remote", metavar="NAME", help="Of DVC; the default one if not given.")(
        function
    )


def _work(function: Function) -> Function:
    """Add the options `--jobs` and `--patience` to a command."""
    with_jobs = click.option(
        "--jobs", "-j", type=click.IntRange(1, 256), help="Objects at once; 4 a core, at most 16."
    )(function)
    return click.option(
        "--patience", type=click.FloatRange(0), default=120.0, show_default=True,
        metavar="SECONDS", help="How long a remote may be away before we give up.",
    )(with_jobs)  # fmt: skip


def _open(patience: float) -> tuple[Stores, State, Git]:
    from facemodels.git import Git, find_root
    from facemodels.registry.reading import read_events
    from facemodels.registry.state import fold
    from facemodels.storage.stores.retries import Patience
    from facemodels.storage.stores.stores import Stores

    git = Git(find_root(Path.cwd()))
    return Stores(git.root, Patience(seconds=patience)), fold(read_events(git)), git


@click.command()
@_remote
@_work
@click.option("--read-back", is_flag=True, help="Read the bytes of every object there.")
@click.option("--dry-run", is_flag=True, help="Say what would be sent, and send nothing.")
@json_option
def push(
    remote: str | None,
    jobs: int | None,
    patience: float,
    read_back: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Bring every object of every released version to a remote, and prove that it is there.

    Unlike `dvc push` it looks at each file of a version: what is missing is sent, what is
    corrupt is replaced. It may be interrupted at any moment and run again. The proof is the
    checksum that the store itself made of what it took, or an earlier reading; damage at rest
    under a right checksum shows only with --read-back, or in `storage audit`.

    \b
    Example:
      facemodels storage push
      facemodels storage push --remote backup --dry-run
      facemodels storage push --read-back
    """
    from facemodels.errors import some
    from facemodels.storage.stores.stores import JOBS
    from facemodels.storage.sync.push import push as run
    from facemodels.text import size_text

    stores, state, _ = _open(patience)
    done = run(
        stores, state, remote=remote, jobs=jobs or JOBS, dry_run=dry_run, read_back=read_back
    )
    sizes = [*done.missing.values(), *done.repaired.values()]
    verb = "Would send" if dry_run else "Sent"
    lines = [
        f"{verb} {len(done.missing)} missing and {len(done.repaired)} corrupt objects "
        f"({size_text(sum(sizes))}) to {done.remote}.",
    ]
    if not dry_run:
        how = (
            "their bytes were read back"
            if read_back
            else "size and checksum are right by the store's word; --read-back reads the bytes"
        )
        lines.append(
            f"All {done.objects} objects of {len(done.versions)} versions are proven there: {how}."
        )
    if done.untracked:
        lines.append(f"Registered without DVC, nothing to push: {some(done.untracked)}")
    output(done.as_json(), "\n".join(lines) + "\n", as_json=as_json)


@click.command()
@_remote
@click.option(
    "--model-id", "only", multiple=True, shell_complete=complete_ids,
    help="One version alone; may be repeated.",
)  # fmt: skip
@_work
@json_option
def pull(
    remote: str | None, only: Sequence[str], jobs: int | None, patience: float, as_json: bool
) -> None:
    """Bring the objects of released versions into the cache, each checked by its digest.

    What the remote lacks or has broken comes from another remote. `dvc checkout` then needs
    no network.

    \b
    Example:
      facemodels storage pull --model-id rec-facenet-v2.1.3
    """
    from facemodels.storage.stores.stores import JOBS
    from facemodels.storage.sync.pull import pull as run

    stores, state, _ = _open(patience)
    done = run(stores, state, remote=remote, only=only, jobs=jobs or JOBS)
    lines = [
        f"Fetched {len(done.fetched)} of {done.objects} objects; the cache has "
        f"{len(done.versions)} versions whole."
    ]
    if done.replaced:
        lines.append(f"{len(done.replaced)} lay broken in the cache and were replaced.")
    lines += [
        f"{name} has {len(oids)} corrupt objects, which were refused: run `facemodels storage "
        f"audit --repair`."
        for name, oids in done.refused.items()
        if oids
    ]
    text = "\n".join(lines) + "\n" + _of_links(done.linked, done.relink)
    output(done.as_json(), text, as_json=as_json)


def _of_links(count: int, outputs: Sequence[str]) -> str:
    """What to do about files of a working tree that still hold the bytes of replaced objects."""
    from facemodels.text import counted

    if not count:
        return ""
    # DVC takes the damaged bytes for changes of the user's, which --force drops: of these alone.
    where = " ".join(outputs) or "OUTPUT in the clone that shares this cache"
    return (
        f"Files of a working tree are hard links to {counted(count, 'object')} that were replaced, "
        f"and are still broken. Mend them: dvc checkout --relink --force {where}\n"
    )


@click.command()
@click.option(
    "--remote", "remotes", multiple=True, metavar="NAME", help="May be repeated; all if not given."
)
@click.option("--all", "everything", is_flag=True, help="Read every object (the default).")
@click.option("--sample", metavar="SHARE", help="Read a share of the objects: 5%.")
@click.option("--seed", default="", help="Takes another sample; the day's date, for example.")
@click.option("--repair", is_flag=True, help="Replace what is missing or corrupt.")
@click.option("--dry-run", is_flag=True, help="Of --repair: say where each would come from.")
@_work
@json_option
def audit(
    remotes: Sequence[str],
    everything: bool,
    sample: str | None,
    seed: str,
    repair: bool,
    dry_run: bool,
    jobs: int | None,
    patience: float,
    as_json: bool,
) -> None:
    """Read the objects and archives of the cache and of the remotes again; find what is damaged.

    Exit code 3 if something is missing or corrupt and was not repaired, 1 if a place could not
    be read at all. All objects are listed; which are read, a sample may decide. The pointer,
    the manifest and the bundle of a backup are always read. What does no harm is summed up;
    --json lists it.

    \b
    Example:
      facemodels storage audit --sample 5% --seed $(date +%F)
      facemodels storage audit --all --repair
    """
    from facemodels.storage.stores.stores import JOBS
    from facemodels.storage.sync.audit import Sample, parse_share
    from facemodels.storage.sync.audit import audit as run
    from facemodels.storage.sync.findings import require_whole

    if everything and sample:
        raise click.UsageError("Give --all or --sample, not both.")
    if dry_run and not repair:
        raise click.UsageError("--dry-run belongs to --repair.")
    drawn = Sample(parse_share(sample) if sample else 1.0, seed)
    stores, state, git = _open(patience)
    found = run(
        stores, state, git, remotes=remotes, sample=drawn, repair=repair, dry_run=dry_run,
        jobs=jobs or JOBS,
    )  # fmt: skip
    if as_json:
        output(found.as_json(), "", as_json=True)
    else:
        _print_audit(found)
    require_whole(found)


_HARMLESS = {
    "extra": "no version and no commit names them",
    "foreign": "files that are no objects",
    "archived": "packages in the archive, which `dvc pull` looks for in vain; `dvc remove --outs` "
    "their .dvc files, or `facemodels storage restore` the versions",
    "unpushed": "no version needs them, but a fresh clone's `dvc pull` does; run `dvc push`",
}


def _print_audit(found: AuditReport) -> None:
    """What is lost as a table; of what does no harm one line a place and kind (--json has all)."""
    from facemodels.errors import some
    from facemodels.text import counted, size_text

    for name, facts in found.stores.items():
        size = size_text(facts["bytes_read"])
        archives = f"; {counted(facts['archives'], 'archive')}" if facts["archives"] else ""
        click.echo(f"{name}: {facts['objects']} objects, {facts['read']} read ({size}){archives}.")
    if wrong := [f for f in found.findings if f.is_wrong]:
        how = "repaired from" if found.repaired else "repair from"
        print_table(
            ("place", "kind", "object", "versions", how),
            [(f.store, f.kind, f.item, ",".join(f.versions), f.repair) for f in wrong],
        )
    harmless: dict[tuple[str, str], list[str]] = {}
    for one in found.findings:
        if not one.is_wrong:
            harmless.setdefault((one.store, one.kind), []).append(one.item)
    for (place, kind), items in harmless.items():
        click.echo(f"{place}: {len(items)} {kind} ({_HARMLESS[kind]}): {some(items, 3)}.")
    click.echo(_of_links(found.linked, found.relink), nl=False)
