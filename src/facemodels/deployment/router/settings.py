"""What Traefik reads once at its start: addresses, limits and timeouts. Pure.

`RouterSettings` holds the values and `static_configuration` makes Traefik's file from them. The
address for clients has no API and no metrics. Ping, metrics of the services, and the
configuration in use are on a second address, on loopback.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from facemodels.deployment.router.choice import NOBODY, VersionChoosers
from facemodels.deployment.settings import Environment
from facemodels.serving.settings import Serving

ENTRY = "web"
PLUGIN = "arms"
MODULE = "facemodels/arms"
LOOPBACK = "127.0.0.1"
_ENCODED = (
    "Backslash", "Hash", "NullCharacter", "Percent", "QuestionMark", "Semicolon", "Slash",
)  # fmt: skip


@dataclass(frozen=True)
class RouterSettings:
    """The values that are fixed while a router runs, and the limits of all routes.

    Attributes:
        port: the port for clients; 0 takes a free one.
        host: the host on which the router listens for clients.
        body_bytes: the largest request body; a larger one gets the status 413.
        head_bytes: the largest request line with headers.
        receive_s: seconds in which a client must send a whole request.
        idle_s: seconds for which an unused connection of a client is kept; a connection to a
            server is kept half as long.
        connect_s: seconds in which a server must accept a connection.
        answer_s: seconds in which a server must begin to answer; then the next one is asked.
        health_s: seconds between two health checks of a server.
        patience_s: seconds in which a server must answer a health check.
        start_s: seconds in which the router must become ready.
        grace_s: seconds that open requests get when the router ends.
        choosers: who may choose a version; this is no part of the static configuration.
    """

    port: int
    host: str = "127.0.0.1"
    body_bytes: int = 10_000_000
    head_bytes: int = 32_768
    receive_s: float = 30.0
    idle_s: float = 60.0
    connect_s: float = 1.0
    answer_s: float = 5.0
    health_s: float = 1.0
    patience_s: float = 2.0
    start_s: float = 15.0
    grace_s: float = 10.0
    choosers: VersionChoosers = NOBODY

    @classmethod
    def of(
        cls,
        environment: Environment,
        serving: Serving,
        choosers: VersionChoosers = NOBODY,
    ) -> Self:
        """Derive them from the settings of an environment and of its servers."""
        return cls(
            port=environment.address.port,
            host=environment.address.host,
            body_bytes=serving.limits.body_bytes,
            head_bytes=serving.limits.head_bytes,
            receive_s=max(cls.receive_s, serving.limits.body_s),
            # A server answers 504 by itself before that; one that hangs is killed before that.
            answer_s=max(environment.hang_s, serving.limits.deadline_s + 1),
            patience_s=environment.hang_s / 2,
            idle_s=min(60.0, serving.limits.idle_s),
            choosers=choosers,
        )


def host_in_url(host: str) -> str:
    """A host as a URL has it: an address of IPv6 in brackets (RFC 3986, 3.2.2)."""
    return f"[{host}]" if ":" in host else host


def static_configuration(
    settings: RouterSettings, routes: Path, port: int, inside: int
) -> dict[str, Any]:
    """Make Traefik's static configuration.

    Args:
        settings: the limits, and the host for clients.
        routes: the folder that Traefik watches for routes.
        port: the port for clients.
        inside: the port on loopback for ping, metrics and API.
    """
    return {
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
        "entryPoints": {
            ENTRY: {
                "address": f"{host_in_url(settings.host)}:{port}",
                "forwardedHeaders": {"insecure": False},
                "http": {
                    # Headers and addresses reach the servers in one spelling only.
                    "aliasHeadersStrategy": "delete",
                    "encodedCharacters": {f"allowEncoded{name}": False for name in _ENCODED},
                    "maxHeaderBytes": settings.head_bytes,
                },
                "transport": {
                    "respondingTimeouts": {
                        "readTimeout": seconds(settings.receive_s),
                        "idleTimeout": seconds(settings.idle_s),
                    },
                    "lifeCycle": {"graceTimeOut": seconds(settings.grace_s)},
                },
            },
            # Traefik gives its API this name.
            "traefik": {
                "address": f"{LOOPBACK}:{inside}",
                "http": {"aliasHeadersStrategy": "delete"},
            },
        },
        "providers": {
            # At most ten changes a second; the default is one in two seconds.
            "providersThrottleDuration": "100ms",
            "file": {"directory": str(routes), "watch": True},
        },
        "ping": {"entryPoint": "traefik"},
        "api": {"insecure": True, "dashboard": False},
        "metrics": {
            "prometheus": {
                "entryPoint": "traefik",
                "addServicesLabels": True,
                "addEntryPointsLabels": True,
                "buckets": [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0],
            }
        },
        "experimental": {
            "abortOnPluginFailure": True,
            "localPlugins": {PLUGIN: {"moduleName": MODULE}},
        },
        # There is no access log: addresses may name people, and each server writes its own.
        "log": {"level": "WARN", "format": "json"},
    }


def seconds(value: float) -> str:
    """Write a duration as Go does, for example `1500ms`."""
    return f"{round(value * 1000)}ms"
