"""The command `facemodels`. The module of a command is imported when the command is called."""

from __future__ import annotations

import errno
import sys
from contextlib import suppress
from typing import Any

import click

from facemodels import __version__
from facemodels.cli.lazy import LazyGroup
from facemodels.determinism import Determinism, settle
from facemodels.errors import FacemodelsError

# Module of this package and line of help, by command.
_COMMANDS = {
    "params": ("params", "Compose conf/ into params.yaml."),
    "prepare": ("prepare", "Turn a dataset into arrays."),
    "weights": ("weights", "Fetch the weights that others publish, verified."),
    "train": ("train", "Train an architecture on a dataset."),
    "validate": ("validate", "Measure trained weights beside their untrained baseline."),
    "package": ("package", "Build the folder of a version."),
    "import": ("import_", "Make a version of a network that others trained."),
    "verify": ("package", "Check a package against its checksums."),
    "sign": ("signature", "Sign a package."),
    "bundle": ("bundle", "Make one version of a detector, a recogniser and their crop."),
    "quantize": ("quantize", "Make the int8 variant of a package."),
    "benchmark": ("benchmark", "Run the suite on a package and measure its speed."),
    "exp": ("exp", "Run experiments of DVC as jobs, on Slurm or in the background."),
    "compare": ("compare", "Set two packages side by side."),
    "registry": ("registry", "Versions and their statuses: list, register, promote, audit."),
    "serve": ("serve", "Answer requests over HTTP with one version."),
    "gallery": ("gallery", "Enrolled people: enrol, identify, mend, migrate."),
    "token": ("serve", "Make and void the tokens that a server asks for."),
    "deploy": ("deploy", "Bring a version into staging or production, at once or by and by."),
    "rollback": ("rollback", "Take production back to the version before, at once."),
    "up": ("environment", "Run an environment: controller, router, servers."),
    "down": ("environment", "End an environment."),
    "status": ("environment", "What serves which share of an environment, and how it is."),
    "manifests": ("manifests", "Print an environment as objects of Kubernetes."),
    "pull": ("pull", "Bring the verified package of a version to a machine without a clone."),
    "monitor": ("monitor", "Watch a version beside the one before, to a verdict."),
    "alerts": ("alerts", "Write Prometheus rules, Alertmanager and Grafana files."),
    "probes": ("probes", "Make the labelled probes that an environment replays."),
    "release": ("release", "Build, judge, tag and push the next version of a model."),
    "merge-lock": ("merge_lock", "Merge dvc.lock or params.yaml of two branches, for Git."),
    "deps": ("deps", "Compare the deps in dvc.yaml with what the stages use."),
    "check-lock": ("deps", "Find stages of dvc.lock that no sealed run made."),
    "storage": ("storage", "Push, audit, archive and back up weights."),
    "completion": ("completion", "Print the shell code that completes commands."),
}


_FULL = {errno.ENOSPC, errno.EDQUOT}

# What builds does it in the mode of params.yaml, as the stages do.
_BUILDING = {"prepare", "train", "validate", "package", "bundle", "quantize"}


class _Commands(LazyGroup):
    """The group of all commands; it turns our errors into exit codes."""

    def main(self, args: Any = None, *rest: Any, **named: Any) -> Any:
        """Run the command of a command line; called without arguments, that of this process."""
        if args is None and not _BUILDING.isdisjoint(sys.argv[1:2]):
            _settle()
        return super().main(args, *rest, **named)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except FacemodelsError as error:
            click.echo(f"Error: {error}", err=True)
            sys.exit(error.exit_code)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            place = f" that holds {error.filename}" if error.filename else ""
            click.echo(
                f"Error: the disk{place} has no room left ({error.strerror}). Make room, or choose "
                "another folder (TMPDIR for what is temporary), and run the command again.",
                err=True,
            )
            sys.exit(1)


def _settle() -> None:
    """Settle what this process computes with, before a command imports what computes."""
    from facemodels import params

    mode: Determinism = "portable"
    with suppress(FacemodelsError):  # a command that reads the file says what is wrong with it
        mode = params.load().determinism
    settle(mode)


@click.group(
    cls=_Commands, commands_of=_COMMANDS, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__, prog_name="facemodels")
def main() -> None:
    """Rebuild, version and compare the models of a face recognition system.

    \b
    Exit codes: 0 done, 1 failed, 2 wrong input, 3 files, tags or signatures are
    not what was signed off, 4 a model is below a gate, 5 a rule refuses, 6 someone
    else was faster, 7 not enough evidence yet.

    \b
    Example:
      facemodels train --model facenet --dataset data/training --output out/facenet
    """
