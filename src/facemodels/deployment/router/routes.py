"""What the router shall do, in the words of models and versions. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from facemodels.errors import InputError, NameFormatError
from facemodels.names import ModelId, ModelName

# RFC 9110, 5.6.2: what the name of a header may be; RFC 6265 takes the same for a cookie's.
_TOKEN = re.compile(r"[!#$%&'*+.^_|~0-9A-Za-z-]+")
# Traefik's rules put text between backticks.
_TEXT = re.compile(r"[ -_a-~]+")
_PATH = re.compile(r"(?:/[A-Za-z0-9._~-]+)+")


@dataclass(frozen=True)
class RouteArm:
    """One version that runs.

    Attributes:
        id: for example `rec-facenet-v2.1.3`.
        weight: percent of the requests to its model; 0 for one that is only ready.
        urls: of its servers, `http://host:port`.
    """

    id: str
    weight: int
    urls: tuple[str, ...]

    @property
    def version(self) -> str:
        """For example `2.1.3`; the servers know no variant."""
        return str(ModelId.parse(self.id).version)


@dataclass(frozen=True)
class FlagRoute:
    """Requests with a header or a cookie go to one arm.

    Attributes:
        name: for people.
        value: that it must have.
        arm: the id of an arm.
        header: its name; or
        cookie: its name.
    """

    name: str
    value: str
    arm: str
    header: str = ""
    cookie: str = ""


@dataclass(frozen=True)
class Route:
    """Where the requests to one model go.

    Attributes:
        model: for example `recognition-facenet`.
        task: `detection`, `recognition` or `landmarks`.
        arms: its versions; their weights sum to 100.
        paths: plain addresses that it answers, for example `/api/embed`.
        mirror: the version that gets copies, and of how many percent of the requests.
        sticky: a cookie that keeps a client with its arm; "" lets each request choose.
        user_header: gives each user one arm by a hash of it; "" does not.
        salt: of that hash: another test, another half of the users.
        flags: in order; the first one wins.
        fallback: ids of arms that answer, in order, what an arm failed to.
    """

    model: str
    task: str
    arms: tuple[RouteArm, ...]
    paths: tuple[str, ...] = ()
    mirror: tuple[RouteArm, int] | None = None
    sticky: str = ""
    user_header: str = ""
    salt: str = ""
    flags: tuple[FlagRoute, ...] = ()
    fallback: tuple[str, ...] = ()

    @property
    def running(self) -> tuple[RouteArm, ...]:
        """Every version that has a server, that of the mirror included."""
        beside = (self.mirror[0],) if self.mirror else ()
        return tuple({arm.id: arm for arm in (*beside, *self.arms) if arm.urls}.values())


def check(routes: Sequence[Route], default: str = "") -> None:
    """Raise unless every request would find a server.

    Raises:
        InputError: names the route and what is wrong with it.
    """
    _unique("Model", (route.model for route in routes))
    _unique("Version", (arm.id for route in routes for arm in route.arms))
    _unique("Address", (path for route in routes for path in route.paths))
    if default and default not in {route.model for route in routes}:
        raise InputError(f"The default model {default} has no route.", "Name one that is deployed.")
    for route in routes:
        for problem in _problems(route):
            raise InputError(f"Route {route.model}: {problem}.", "Nothing was published.")


def _problems(route: Route) -> Iterable[str]:
    yield from _wrong_names(route)
    mirrored = (route.mirror[0],) if route.mirror else ()
    for arm in (*route.arms, *mirrored):
        yield from _wrong_arm(route, arm)
    total = sum(arm.weight for arm in route.arms)
    if total != 100:
        yield f"the weights sum to {total}, not to 100"
    if route.mirror and not 0 <= route.mirror[1] <= 100:
        yield f"{route.mirror[1]} is no percentage of copies"
    if route.mirror and not route.mirror[0].urls:
        yield f"{route.mirror[0].id} shall get copies and has no server"
    ids = {arm.id for arm in route.arms}
    if route.mirror and any(
        arm.id == route.mirror[0].id and arm.urls != route.mirror[0].urls for arm in route.arms
    ):
        yield f"{route.mirror[0].id} has two sets of servers"
    ready = {arm.id for arm in route.running}
    for identity in route.fallback:
        if identity not in ids & ready:
            yield f"{identity} shall stand in and has no server"
    for flag in route.flags:
        yield from _wrong_flag(flag, ready)


def _wrong_names(route: Route) -> Iterable[str]:
    try:
        ModelName.parse(route.model)
    except NameFormatError as error:
        yield error.what
    for path in route.paths:
        if not _PATH.fullmatch(path):
            yield f"{path!r} is no address"
    for name in (route.sticky, route.user_header):
        if name and not _TOKEN.fullmatch(name):
            yield f"{name!r} is no name of a header or cookie"
    if not route.salt.isprintable():
        yield "the salt is not printable"


def _wrong_arm(route: Route, arm: RouteArm) -> Iterable[str]:
    try:
        identity = ModelId.parse(arm.id)
    except NameFormatError as error:
        yield error.what.removesuffix(".")
        return
    if str(identity) != arm.id or str(identity.name) != route.model:
        yield f"{arm.id} is not the id of one of its versions"
    if not 0 <= arm.weight <= 100:
        yield f"{arm.id} has {arm.weight} % of the requests"
    if arm.weight and not arm.urls:
        yield f"{arm.id} has {arm.weight} % of the requests and no server"
    if len(set(arm.urls)) != len(arm.urls):
        yield f"{arm.id} names a server twice"
    for url in arm.urls:
        if not _is_base(url):
            yield f"{url!r} is not http://host:port"


def _wrong_flag(flag: FlagRoute, ready: set[str]) -> Iterable[str]:
    name = flag.header or flag.cookie
    if bool(flag.header) == bool(flag.cookie) or not _TOKEN.fullmatch(name):
        yield f"flag {flag.name} names not one header or one cookie"
    if not _TEXT.fullmatch(flag.value):
        yield f"flag {flag.name} has the value {flag.value!r}: printable ASCII, no backtick"
    if flag.arm not in ready:
        yield f"flag {flag.name} leads to {flag.arm}, which has no server"


def _is_base(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    host = parts.hostname or ""
    return (
        parts.scheme == "http"
        and port is not None
        and 0 < port < 65536
        and re.fullmatch(r"[0-9A-Za-z.:-]+", host) is not None
        and url == f"http://{parts.netloc}"
        and "@" not in parts.netloc
    )


def _unique(what: str, names: Iterable[str]) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise InputError(f"{what} {name} has {count} routes.", "One is enough.")
