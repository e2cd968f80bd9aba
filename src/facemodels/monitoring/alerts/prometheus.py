"""Prometheus' own configuration, and the list of servers that it scrapes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from facemodels.errors import InputError
from facemodels.monitoring.metrics.reading import Series
from facemodels.monitoring.metrics.scraper import ScrapeTarget

SERVERS, CONTROLLER = "facemodels", "facemodels-controller"
DEPLOYMENT = "deployment"  # a label of the servers: the tag by which a version has its place
RULES = "rules.yml"
TARGETS = "targets.json"


def targets(
    servers: Iterable[ScrapeTarget], deployments: Mapping[Series, str] | None = None
) -> list[dict[str, Any]]:
    """The list of servers for `file_sd_configs`; the controller writes it when one starts or ends.

    The label `instance` names the process. A server that starts again on the same port is another
    instance, so its counters are not taken for those of the process before. The label `deployment`
    names the tag by which the version has its place: a version that is deployed again begins new
    series, so that no alert is about requests of before.

    Args:
        servers: the servers that run.
        deployments: the tag of each version that gets requests.

    Raises:
        InputError: a server's URL has no host and port.
    """
    return [
        {
            "targets": [_address(server.url)],
            "labels": {
                "model_name": server.series.model,
                "model_version": server.series.version,
                "instance": server.instance,
                DEPLOYMENT: (deployments or {}).get(server.series, ""),
            },
        }
        for server in sorted(servers, key=lambda server: (server.series, server.instance))
    ]


def prometheus(
    *,
    control: str,
    alertmanagers: Sequence[str] = (),
    targets_file: str = TARGETS,
    interval_s: float = 5.0,
    token_file: str = "",
    control_token_file: str = "",
) -> dict[str, Any]:
    """The content of prometheus.yml as plain values.

    Args:
        control: `host:port` of the controller's own metrics.
        alertmanagers: `host:port` of each Alertmanager.
        targets_file: the list of servers that the controller writes, as a path from the folder of
            prometheus.yml.
        interval_s: the time between two scrapes.
        token_file: the file with a bearer token of the scope `metrics`; "" sends none.
        control_token_file: the file with the bearer token for the controller; "" sends none.
    """
    interval = f"{round(interval_s * 1000)}ms"
    alerting = (
        {"alerting": {"alertmanagers": [{"static_configs": [{"targets": list(alertmanagers)}]}]}}
        if alertmanagers
        else {}
    )
    return {
        "global": {
            "scrape_interval": interval,
            "scrape_timeout": interval,
            "evaluation_interval": interval,
        },
        "rule_files": [RULES],
        **alerting,
        "scrape_configs": [
            {
                "job_name": SERVERS,
                # Without it the servers' own labels would be renamed to `exported_…`.
                "honor_labels": True,
                "file_sd_configs": [{"files": [targets_file], "refresh_interval": "5s"}],
                **_access(token_file),
            },
            {
                "job_name": CONTROLLER,
                "honor_labels": True,
                "static_configs": [{"targets": [control]}],
                **_access(control_token_file),
            },
        ],
    }


def _access(token_file: str) -> dict[str, Any]:
    return {"authorization": {"credentials_file": token_file}} if token_file else {}


def _address(url: str) -> str:
    parts = urlsplit(url)
    if not parts.hostname or not parts.port:
        raise InputError(f"{url!r} has no host and port.", "Give http://HOST:PORT.")
    return parts.netloc
