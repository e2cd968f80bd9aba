"""The unit keeps what serves over a death of the controller, and systemd hears its signs of life."""

from __future__ import annotations

import configparser
import socket
from pathlib import Path

import pytest

from facemodels.deployment.systemd import notify, unit


def test_the_unit_restarts_the_controller_alone_and_quotes_its_paths() -> None:
    text = unit("production", Path("/opt/my env/facemodels"), Path("/srv/50%"), Path("/etc/a.yaml"))
    read = configparser.ConfigParser(interpolation=None)
    read.optionxform = str  # type: ignore[assignment,method-assign]
    read.read_string(text)
    service = read["Service"]
    assert service["ExecStart"] == (
        '"/opt/my env/facemodels" up --environment production --config /etc/a.yaml'
    )
    assert service["WorkingDirectory"] == "/srv/50%%"
    assert (service["KillMode"], service["Restart"]) == ("process", "always")
    assert (service["RestartKillSignal"], service["Type"]) == ("SIGHUP", "notify")
    assert int(service["WatchdogSec"]) > 5


def test_signs_of_life_reach_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notify("WATCHDOG=1")  # nobody asks
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        notify("WATCHDOG=1")
        assert systemd.recv(100) == b"WATCHDOG=1"
    notify("WATCHDOG=1")  # it went away
