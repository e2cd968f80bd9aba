"""The command line of a model server. Pure but for looking whether the settings' file exists."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from facemodels.deployment.servers.health import HOST
from facemodels.deployment.settings import Environment, serving_or_last_good
from facemodels.names import ModelId

COMMAND = (str(Path(sys.executable).with_name("facemodels")), "serve")


@dataclass(frozen=True)
class ServerFiles:
    """The files of one server.

    Attributes:
        package: the folder of its package.
        about: what the registry says of its version.
        beat: the file that gets its heartbeat.
    """

    package: Path
    about: Path
    beat: Path


def serve_command(
    identity: str, port: int, files: ServerFiles, root: Path, settings: Environment
) -> list[str]:
    """Make the command line of a server.

    Args:
        identity: the version, for example `rec-facenet-v2.1.3`.
        port: the port on loopback.
        files: the files of the server.
        root: the root folder of the repository.
        settings: the settings of the environment.
    """
    command = [
        *COMMAND, str(files.package), "--host", HOST, "--port", str(port),
        "--threads", str(settings.threads), "--about", str(files.about),
        "--heartbeat", str(files.beat),
    ]  # fmt: skip
    config = serving_or_last_good(root, settings).path  # a typo must not keep it down
    command += ["--config", str(config)] if config.is_file() else []
    if settings.tokens:
        command += ["--tokens", str(root / settings.tokens)]
    if ModelId.parse(identity).name.task == "system":  # no other model identifies people
        for gallery in settings.galleries:
            command += ["--gallery", gallery]
    return command
