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
@json_option
def alerts(
    environment: str,
    config: Path | None,
    folder: Path,
    alertmanagers: tuple[str, ...],
    as_json: bool,
) -> None:
    """Write what Prometheus, Alertmanager and Grafana need, from the rollback triggers.

    Rules, scrape configuration, a webhook that tells the controller to roll back, dashboards.
    The controller keeps the list of servers that Prometheus scrapes.

    \b
    Example:
      facemodels alerts --environment production --output build/monitoring
      prometheus --config.file build/monitoring/prometheus.yml
    """
    from facemodels.deployment import settings
    from facemodels.git import find_root
    from facemodels.monitoring.alerts.files import write
    from facemodels.monitoring.settings import load_triggers

    root = find_root(Path.cwd())
    found = settings.load(root, environment, config)
    listed = settings.state_folder(root, environment, found) / "targets.json"
    listed.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    paths = write(
        folder,
        load_triggers(root),
        control=f"{found.control.host}:{found.control.port}",
        alertmanagers=alertmanagers,
        targets_file=str(listed),
        price_per_hour=found.price_per_hour,
        interval_s=found.scrape_interval_s,
    )
    text = "".join(f"{path}\n" for path in paths)
    output([str(path) for path in paths], text, as_json=as_json)
