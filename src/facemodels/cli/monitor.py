"""`facemodels monitor`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from facemodels.cli.environment_options import config_option, environment_option
from facemodels.cli.options import FOLDER, json_option, output
from facemodels.cli.registry_options import complete_ids
from facemodels.errors import InputError
from facemodels.names import ModelId

if TYPE_CHECKING:
    from facemodels.deployment.settings import Environment
    from facemodels.monitoring.metrics.source import SampleSource
    from facemodels.monitoring.report import Observation
    from facemodels.monitoring.report.observe import ObservedSpan

_CODES: Mapping[str, int] = {"promote": 0, "roll back": 4, "hold": 7}


@click.command()
@click.option("--model-id", required=True, shell_complete=complete_ids, help="rec-facenet-v2.1.3")
@environment_option
@config_option
@click.option("--duration", default="24h", show_default=True, help="For example 90s, 1h30m, 2d.")
@click.option(
    "--output", "folder", type=FOLDER, help="For the report; reports/monitor if not given."
)
@click.option("--fresh", is_flag=True, help="Begin anew, whatever was watched before.")
@json_option
def monitor(
    model_id: str,
    environment: str,
    config: Path | None,
    duration: str,
    folder: Path | None,
    fresh: bool,
    as_json: bool,
) -> None:
    """Watch a version beside the one before, and end with a report and a verdict.

    It runs where the environment's controller runs, or anywhere with `prometheus` set. Ended
    and started again it goes on where it was. A version that is taken back ends it.

    Exit codes: 0 promote (or nothing is wrong), 4 roll back, 7 not enough evidence yet.

    \b
    Example:
      facemodels monitor --model-id rec-facenet-v2.2.0 --duration 24h
    """
    from facemodels.deployment import settings
    from facemodels.deployment.desired import desired
    from facemodels.monitoring import report
    from facemodels.monitoring.analysis.watch import Watch
    from facemodels.monitoring.report.observe import HourlyPrices, VersionObserver
    from facemodels.monitoring.settings import load_triggers
    from facemodels.registry.registry import open_registry

    model = ModelId.parse(model_id)
    seconds = report.parse_duration(duration)
    registry = open_registry(Path.cwd())
    registry.repository.state().entry(model)
    found = settings.load(registry.root, environment, config)
    place = settings.state_folder(registry.root, environment, found)
    source = _source(registry.root, place, found)
    span = _span(place / "monitors" / f"{model}.json", source.now(), seconds, fresh=fresh)
    triggers = load_triggers(registry.root)
    observer = VersionObserver(
        source,
        Watch(source, found.verdict, triggers, found.scrape_interval_s),
        folder=place / "probes",
        environment=environment,
        model=model,
        span=span,
        scrape_interval_s=found.scrape_interval_s,
        prices=HourlyPrices(
            found.price_per_hour, found.price_per_core_hour, found.price_per_gpu_hour
        ),
        replicas=found.replicas,
    )

    def look(curves: bool) -> Observation:
        state = registry.repository.state()
        wanted = desired(state, environment).get(str(model.name))
        return observer.look(wanted.served if wanted else None, state, curves=curves)

    last = _watch(look, span, source)
    written = _write(last, folder or registry.root / "reports" / "monitor")
    (place / "monitors" / f"{model}.json").unlink(missing_ok=True)
    answer = (last.verdict or {"answer": "hold"})["answer"]
    value = {"verdict": last.verdict, "versions": [_plain(one) for one in last.versions]}
    text = f"{answer}: {'; '.join((last.verdict or {}).get('reasons', ()))}\n"
    text += "".join(f"Report: {path}\n" for path in written)
    output({**value, "reports": [str(path) for path in written]}, text, as_json=as_json)
    sys.exit(_CODES[answer])


def _plain(seen: Any) -> dict[str, Any]:
    return {key: value for key, value in asdict(seen).items() if key != "series"}


def _source(root: Path, place: Path, found: Environment) -> SampleSource:
    """The source of samples: Prometheus if it is configured, or else this host's controller.

    Raises:
        InputError: there are no samples.
    """
    from facemodels.monitoring.metrics.prometheus import PrometheusSource
    from facemodels.monitoring.metrics.store import StoredSamples

    if found.prometheus:
        return PrometheusSource(found.prometheus, access=found.prometheus_access, root=root)
    path = place / "samples.db"
    if not path.is_file():
        raise InputError(
            f"There are no samples in {path}.",
            "Run this where the controller runs (`facemodels up`), or set `prometheus` in "
            "conf/deploy/<environment>.yaml.",
        )
    return StoredSamples(path)


def _span(path: Path, now: float, seconds: float, *, fresh: bool) -> ObservedSpan:
    """The time to observe: from now on, or from the start of a watch that was interrupted."""
    from facemodels.files import write_json
    from facemodels.monitoring.report.observe import ObservedSpan

    try:
        began = now if fresh else float(json.loads(path.read_bytes())["began"])
    except (OSError, ValueError, KeyError, TypeError):
        began = now
    if not now - seconds < began <= now:
        began = now  # the earlier watch is over
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"began": began})
    return ObservedSpan(began, began + seconds)


def _watch(
    look: Callable[[bool], Observation], span: ObservedSpan, source: SampleSource
) -> Observation:
    """Observe again and again until the span is over, with a live table in a terminal."""
    from rich.console import Console
    from rich.live import Live

    from facemodels.monitoring import report
    from facemodels.monitoring.report.following import Follower

    console = Console(stderr=True)
    with Live(console=console, auto_refresh=False, transient=not console.is_terminal) as live:

        def show(found: Observation) -> None:
            if console.is_terminal:
                live.update(report.table(found), refresh=True)

        return Follower(look, source, span.until, show).follow()


def _write(last: Observation, folder: Path) -> list[Path]:
    from facemodels.files import write_text
    from facemodels.monitoring import report

    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{last.model_id}.md", folder / f"{last.model_id}.html"]
    for path, text in zip(paths, (report.markdown(last), report.html(last)), strict=True):
        write_text(path, text)
    return paths
