"""The Git remote that decides who was first: which one it is, by which URL, and its clock.

One URL decides. Where git fetches from one place and pushes to another, the place that takes the
pushes has the events first, so it is asked for them too; a mirror of it may be behind. Where a
remote has several push URLs, the first decides and the others get copies.
"""

from __future__ import annotations

import re
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from facemodels.errors import InputError, ToolError
from facemodels.git import Git
from facemodels.registry.policy import PATH

_LINE = re.compile(r"(?P<name>\S+)\t(?P<url>.*) \((?P<kind>fetch|push)\)")
_SSH = re.compile(r"(?:ssh://)?(?:[^@/]+@)?(?P<host>[A-Za-z0-9][A-Za-z0-9.-]*\.[A-Za-z]+)[:/]")
_CLOCK_S = 3.0  # for the answer of a web server; an event does not wait longer for a date
_GUESS_S = 1.0  # for a host that may have none
_LOCAL = f'or set `remote: ""` in {PATH} where one clone is the whole registry'


@dataclass(frozen=True)
class RegistryRemote:
    """A remote as the registry uses it.

    Attributes:
        name: its name in this clone.
        place: what git is given for it: the name, or the push URL where it fetches elsewhere.
        mirror: the URL that git fetches from, if that is another place; "" if not.
        copies: the other push URLs, which get what the first has taken.
    """

    name: str
    place: str
    mirror: str = ""
    copies: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name


def find(git: Git, wanted: str) -> RegistryRemote:
    """Find the remote that decides.

    Args:
        git: runs commands in the clone.
        wanted: its name by the policy. A clone that has one remote under another name (`git clone
            -o NAME`) means that one.

    Raises:
        ToolError: the clone has no remote.
        InputError: it has several, and none of that name.
    """
    urls = _read(git)
    if not urls:
        raise ToolError(
            "This clone has no Git remote: nobody else would see what is done here, nor is seen "
            "what others did. Nothing was changed.",
            "Add it: git remote add origin URL. To work without, give --local for an event and "
            f"--offline for an audit, {_LOCAL}.",
        )
    name = wanted if wanted in urls else next(iter(urls)) if len(urls) == 1 else ""
    if not name:
        raise InputError(
            f"{PATH} names the remote {wanted!r}, and this clone has {', '.join(sorted(urls))}.",
            f"Set `remote` in {PATH} to the one that everybody pushes to.",
        )
    fetched, pushed = urls[name]
    first = pushed[0] if pushed else ""
    same = not pushed or (first in fetched and len(pushed) == 1)
    mirror = "" if first in fetched or not fetched else fetched[0]
    return RegistryRemote(name, name if same else first, mirror, tuple(pushed[1:]))


def _read(git: Git) -> dict[str, tuple[list[str], list[str]]]:
    """The URLs of each remote to fetch from and to push to, as git would use them."""
    found: dict[str, tuple[list[str], list[str]]] = {}
    for line in git.text("remote", "--verbose").splitlines():
        match = _LINE.match(line)
        if match is not None:
            urls = found.setdefault(match["name"], ([], []))
            urls[match["kind"] == "push"].append(match["url"])
    return found


@dataclass(frozen=True, slots=True)
class HostClock:
    """What a clock of a remote's host says.

    Attributes:
        time: seconds since 1970.
        own: whether it may be the clock of this machine: then it agrees with ours and says
            nothing.
    """

    time: float
    own: bool = False


def read_clock(git: Git, remote: RegistryRemote) -> HostClock | None:
    """The time on the host of a remote; None if it cannot be had.

    A web server dates its answers; where git speaks SSH, which tells no time, a host that answers
    HTTPS too is asked so. A folder's file system dates a file (one without a name) by its own
    host, which may be this machine.
    """
    url = remote.place
    if url == remote.name:
        url = _read(git)[remote.name][0][0]
    if url.startswith(("http://", "https://")):
        return _ask_web(url, _CLOCK_S)
    folder = git.root / url.removeprefix("file://")
    if folder.is_dir():
        with suppress(OSError), tempfile.TemporaryFile(dir=folder) as file:
            return HostClock(Path(f"/dev/fd/{file.fileno()}").stat().st_mtime, own=True)
        return None
    host = _SSH.match(url)
    return _ask_web(f"https://{host['host']}/", _GUESS_S) if host else None


def _ask_web(url: str, limit_s: float) -> HostClock | None:
    """The date of a web server's answer."""
    import ssl
    import urllib.error
    import urllib.request  # 30 ms, which reading must not wait for
    from email.utils import parsedate_to_datetime

    # A certificate is out of date where our clock is wrong. Nothing is sent, and no more than the
    # date is believed.
    anybody = ssl._create_unverified_context()  # noqa: S323
    asked = urllib.request.Request(url, method="HEAD")  # noqa: S310  (the callers check it)
    with suppress(OSError, ValueError, TypeError):
        try:
            with urllib.request.urlopen(asked, timeout=limit_s, context=anybody) as answer:  # noqa: S310
                date = answer.headers["Date"]
        except urllib.error.HTTPError as error:  # it has a date, whatever it refuses
            date = error.headers["Date"]
        return HostClock(parsedate_to_datetime(date).timestamp())
    return None
