"""Writes the configuration of Prometheus, Alertmanager and Grafana as files, each atomically."""

from __future__ import annotations

from pathlib import Path

from facemodels.files import write_json, write_text, write_yaml
from facemodels.monitoring.alerts.alertmanager import NotifiedPeople, alertmanager
from facemodels.monitoring.alerts.dashboard import dashboard
from facemodels.monitoring.alerts.prometheus import RULES, TARGETS, prometheus
from facemodels.monitoring.alerts.rules import rules
from facemodels.monitoring.settings import Triggers


def write(
    folder: Path,
    triggers: Triggers,
    *,
    control: str,
    alertmanagers: tuple[str, ...] = ("127.0.0.1:9093",),
    targets_file: str = TARGETS,
    price_per_hour: float = 0.0,
    interval_s: float = 5.0,
    window_s: float | None = None,
    hold_s: float = 60.0,
    token_file: str = "",
    webhook_token_file: str = "",
    people: NotifiedPeople | None = None,
) -> list[Path]:
    """Write rules.yml, prometheus.yml, alertmanager.yml and dashboards/models.json.

    The same settings give the same bytes. The controller writes the list of servers; an empty
    list is written here if there is none yet.

    Args:
        folder: the folder for the files; it is made if it does not exist.
        triggers: the rollback triggers of the repository.
        control: `host:port` of the controller.
        alertmanagers: `host:port` of each Alertmanager.
        targets_file: the list of servers, as a path from `folder`.
        price_per_hour: the price of one server.
        interval_s: the time between two scrapes.
        window_s: the window of the rates; the triggers' monitoring window if None.
        hold_s: how long the memory, a drop of the accuracy or a loss must last before it alerts.
        token_file: the file with a bearer token of the scope `metrics`, for the servers.
        webhook_token_file: the file with the bearer token for the controller.
        people: where alerts reach people; None leaves that receiver to be filled in.

    Returns:
        The paths that were written.
    """
    paths = [folder / name for name in (RULES, "prometheus.yml", "alertmanager.yml")]
    ruling = rules(
        triggers,
        price_per_hour=price_per_hour,
        interval_s=interval_s,
        window_s=window_s,
        hold_s=hold_s,
    )
    scraping = prometheus(
        control=control,
        alertmanagers=alertmanagers,
        targets_file=targets_file,
        interval_s=interval_s,
        token_file=token_file,
        control_token_file=webhook_token_file,
    )
    notifying = alertmanager(control=control, token_file=webhook_token_file, people=people)
    for path, values in zip(paths, (ruling, scraping, notifying), strict=True):
        write_yaml(path, values)
    drawn = folder / "dashboards" / "models.json"
    write_text(drawn, dashboard())
    listed = folder / targets_file
    if not listed.exists():
        write_json(listed, [])
    return [*paths, drawn]
