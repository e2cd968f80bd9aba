"""Routes in terms of models and versions, before they become Traefik's configuration. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from facemodels.errors import InputError, NameFormatError
from facemodels.names import ModelId, ModelName

# RFC 9110, 5.6.2: the characters of a header's name; RFC 6265 uses them for cookies too.
_TOKEN = re.compile(r"[!#$%&'*+.^_|~0-9A-Za-z-]+")
# Traefik's rules put text between backticks, so a value must not contain one.
_TEXT = re.compile(r"[ -_a-~]+")
_PATH = re.compile(r"(?:/[A-Za-z0-9._~-]+)+")


@dataclass(frozen=True)
class RouteArm:
    """One running version as a destination of requests.

    Attributes:
        id: the version, for example `rec-facenet-v2.1.3`.
        weight: the percentage of the requests to its model; 0 if it is only kept ready.
        urls: the URLs of its servers, `http://host:port`.
    """

    id: str
    weight: int
    urls: tuple[str, ...]

    @property
    def version(self) -> str:
        """The version number, for example `2.1.3`; variants share it."""
        return str(ModelId.parse(self.id).version)


@dataclass(frozen=True)
class FlagRoute:
    """Requests with a certain header or cookie go to one arm.

    Attributes:
        name: a name for people.
        value: the value that the header or cookie must have.
        arm: the id of the arm.
        header: the name of the header; "" if the flag looks at a cookie.
        cookie: the name of the cookie; "" if the flag looks at a header.
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
        model: the model's name, for example `recognition-facenet`.
        task: `detection`, `recognition` or `landmarks`.
        arms: the versions that may get requests; their weights sum to 100.
        paths: plain addresses that the model answers, for example `/api/embed`.
        mirror: the version that gets copies, and the percentage of the requests that is copied.
        sticky: a cookie that keeps a client with its arm; "" routes each request by itself.
        sticky_s: seconds for which the cookie does that.
        user_header: a header whose hash chooses the arm of a user; "" if there is none.
        salt: the salt of that hash, so that each test divides the users differently.
        flags: the feature flags in order; the first that matches decides.
        fallback: ids of arms that repeat, in this order, a request on which another arm failed.
    """

    model: str
    task: str
    arms: tuple[RouteArm, ...]
    paths: tuple[str, ...] = ()
    mirror: tuple[RouteArm, int] | None = None
    sticky: str = ""
    sticky_s: int = 600
    user_header: str = ""
    salt: str = ""
    flags: tuple[FlagRoute, ...] = ()
    fallback: tuple[str, ...] = ()

    @property
    def running(self) -> tuple[RouteArm, ...]:
        """Every version that has a server, including the mirror's."""
        beside = (self.mirror[0],) if self.mirror else ()
        return tuple({arm.id: arm for arm in (*beside, *self.arms) if arm.urls}.values())

    def by_version(self) -> tuple[RouteArm, ...]:
        """One arm for each version number; of several variants the one with the largest weight."""
        order = sorted(self.running, key=lambda arm: (-arm.weight, arm.id))
        return tuple({arm.version: arm for arm in reversed(order)}.values())


def check(routes: Sequence[Route], default: str = "") -> None:
    """Check that every request would find a server.

    Raises:
        InputError: a route is wrong; the message names the route and the fault.
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
