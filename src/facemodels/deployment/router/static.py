"""What Traefik reads once, at its start. Pure.

The address for clients knows no API and no metrics. Those are on an address of their own, on
loopback: ping, per-service metrics, and the configuration that is in use.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from facemodels.deployment.router.configuration import ENTRY, PLUGIN
from facemodels.deployment.router.services import seconds
from facemodels.deployment.router.settings import RouterSettings

MODULE = "facemodels/arms"
LOOPBACK = "127.0.0.1"
_ENCODED = (
    "Backslash", "Hash", "NullCharacter", "Percent", "QuestionMark", "Semicolon", "Slash",
)  # fmt: skip


def static(settings: RouterSettings, routes: Path, port: int, inside: int) -> dict[str, Any]:
    """The static configuration.

    Args:
        settings: limits and the host that clients use.
        routes: the folder that is watched.
        port: that clients use.
        inside: the port on loopback for ping, metrics and API.
    """
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return {
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
        "entryPoints": {
            ENTRY: {
                "address": f"{host}:{port}",
                "forwardedHeaders": {"insecure": False},
                "http": {
                    # The servers get one reading of a header and of an address, ours.
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
            # The name that Traefik's API has.
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
        # No access log: an address may hold who asks, and each server writes its own.
        "log": {"level": "WARN", "format": "json"},
    }
