"""`facemodels alerts`."""

from __future__ import annotations

from pathlib import Path

import click

from facemodels.cli.environment_options import config_option, environment_option
from facemodels.cli.options import FOLDER, json_option, output


@click.command()
@environment_option
@config_option
@click.option(
    "--output", "folder", type=FOLDER, default=Path("build/monitoring"), show_default=True
)
@click.option(
    "--alertmanager", "alertmanagers", multiple=True, default=("127.0.0.1:9093",),
    show_default=True, help="HOST:PORT; may be repeated.",
)  # fmt: skip
@click.option("--webhook", "webhooks", multiple=True, help="URL that tells people.")
@click.option("--mail", "mails", multiple=True, help="Address of a person.")
@click.option("--smtp", default="127.0.0.1:25", show_default=True, help="HOST:PORT for the mails.")
@click.option("--sender", default="facemodels@localhost", show_default=True, help="Of the mails.")
@json_option
def alerts(
    environment: str,
    config: Path | None,
    folder: Path,
    alertmanagers: tuple[str, ...],
    webhooks: tuple[str, ...],
    mails: tuple[str, ...],
    smtp: str,
    sender: str,
    as_json: bool,
) -> None:
    """Write what Prometheus, Alertmanager and Grafana need, from the rollback triggers.

    Rules, scrape configuration, dashboards, and where alerts go: to the controller, which rolls
    back, and to people (--webhook, --mail).
    The controller keeps the list of servers that Prometheus scrapes.

    \b
    Example:
      facemodels alerts --environment production --output build/monitoring \\
          --webhook https://chat.example.org/hooks/faces
      prometheus --config.file build/monitoring/prometheus.yml
    """
    from facemodels.deployment import settings
    from facemodels.deployment.controller.control_access import TOKEN_FILE, control_token
    from facemodels.deployment.router.settings import host_in_url
    from facemodels.git import find_root
    from facemodels.monitoring.alerts.alertmanager import NotifiedPeople
    from facemodels.monitoring.alerts.files import write
    from facemodels.monitoring.settings import load_triggers

    root = find_root(Path.cwd())
    found = settings.load(root, environment, config)
    place = settings.state_folder(root, environment, found)
    control_token(place)  # Prometheus and Alertmanager read its file
    folder.mkdir(parents=True, exist_ok=True)
    paths = write(
        folder,
        load_triggers(root),
        control=f"{host_in_url(found.control.host)}:{found.control.port}",
        alertmanagers=alertmanagers,
        targets_file=str(place / "targets.json"),
        price_per_hour=found.price_per_hour,
        interval_s=found.scrape_interval_s,
        webhook_token_file=str(place / TOKEN_FILE),
        people=NotifiedPeople(webhooks, mails, smtp, sender),
    )
    text = "".join(f"{path}\n" for path in paths)
    output([str(path) for path in paths], text, as_json=as_json)
