"""Runs a controller under systemd: its unit, and the signs of life that systemd waits for."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path

_WATCHDOG_S = 30  # without a sign of life for so long, systemd starts the controller anew


def unit(environment: str, command: Path, root: Path, config: Path | None = None) -> str:
    """The text of a unit for an environment's controller.

    A controller that dies, or hangs, is started anew and adopts what serves: its servers and its
    router are left alone (`KillMode=process`). A restart ends the controller alone (SIGHUP), a
    stop ends everything in order (SIGTERM).

    Args:
        environment: `staging` or `production`.
        command: the path of the program `facemodels`.
        root: the root folder of the repository.
        config: another file of settings; None takes conf/deploy/<environment>.yaml.
    """
    words = [str(command), "up", "--environment", environment]
    words += ["--config", str(config)] if config else []
    return f"""\
[Unit]
Description=facemodels {environment}
After=network-online.target
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
WorkingDirectory={_escaped(str(root))}
ExecStart={" ".join(_quoted(word) for word in words)}
Restart=always
RestartSec=1
WatchdogSec={_WATCHDOG_S}
KillMode=process
RestartKillSignal=SIGHUP
TimeoutStartSec=120
TimeoutStopSec=120
LimitNOFILE=65536
OOMPolicy=continue

[Install]
WantedBy=multi-user.target
"""


def notify(message: str) -> None:
    """Tell systemd how the process is, for example `READY=1`; nothing where it does not ask.

    The form is that of sd_notify(3).
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    name = f"\0{address[1:]}" if address.startswith("@") else address
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(message.encode(), socket.MSG_DONTWAIT, name)


def _escaped(text: str) -> str:
    return text.replace("%", "%%")


def _quoted(word: str) -> str:
    escaped = _escaped(word).replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return f'"{escaped}"' if set(escaped) & set(" \t\"'\\;") else escaped
