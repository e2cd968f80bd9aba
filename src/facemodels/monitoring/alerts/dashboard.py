"""Grafana's dashboard: every key metric of the model guide, by model and version. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from facemodels.monitoring.alerts.rules import QUANTILES
from facemodels.monitoring.metrics.reading import PROBE

TITLE = "facemodels: models"
SATISFACTION = "facemodels_user_satisfaction_ratio"
_OF = '{model_name=~"$model",model_version=~"$version"}'
_BY = "by (model_name, model_version)"
_REQUESTS, _SUCCESS = 'status!="invalid"', 'status="success"'
_LEGEND = "{{model_name}} {{model_version}}"
_WIDTH, _HEIGHT = 8, 7  # of a panel, in Grafana's grid of 24 columns


@dataclass(frozen=True, slots=True)
class DashboardPanel:
    """One panel of the dashboard.

    Attributes:
        row: the heading that the panel stands under.
        title: the panel's title.
        unit: the unit, under Grafana's name.
        queries: the PromQL queries, by what the legend adds to the version.
        text: a description of what the panel shows.
    """

    row: str
    title: str
    unit: str
    queries: dict[str, str]
    text: str = ""


def panels() -> list[DashboardPanel]:
    """Every panel in order, under the headings of the model guide."""
    probes = "On the labelled probes that the controller sends through the live address."
    accuracy, performance = "Accuracy metrics", "Performance metrics"
    business, traffic = "Business metrics", "Traffic and health"
    accuracies = {
        "Accuracy": "accuracy",
        "Precision": "precision",
        "Recall": "recall",
        "F1-Score": "f1",
        "False Positive Rate (FPR)": "fpr",
        "True Positive Rate (TPR)": "tpr",
    }
    return [
        *(
            DashboardPanel(accuracy, title, "percentunit", {"": f"{PROBE}{name}{_OF}"}, probes)
            for title, name in accuracies.items()
        ),
        _quantiles(performance, "Inference time (p50, p95, p99)", "inference", "Runs of the model"),
        _quantiles(
            performance, "Request time (p50, p95, p99)", "request",
            "From the complete request to the end of its answer",
        ),
        DashboardPanel(
            performance, "Throughput", "reqps", {"": _rate(_SUCCESS)},
            "Answered predictions a second.",
        ),
        DashboardPanel(
            performance, "Memory usage", "bytes", {"": f"model:memory_bytes:max{_OF}"},
            "Resident, of the largest server.",
        ),
        DashboardPanel(
            performance, "GPU utilization", "percentunit", {"": f"model:gpu_load:max{_OF}"},
            "Empty without a GPU.",
        ),
        DashboardPanel(
            performance, "GPU memory", "bytes", {"": f"model:gpu_memory_bytes:max{_OF}"}
        ),
        DashboardPanel(
            business, "API success rate", "percentunit",
            {"": f"{_rate(_SUCCESS)} / ({_rate(_REQUESTS)} > 0)"},
            "Predictions answered, those left out that the client got wrong.",
        ),
        DashboardPanel(
            business, "User satisfaction scores", "percentunit", {"": f"{SATISFACTION}{_OF}"},
            "What the product tells the controller; empty until it does.",
        ),
        DashboardPanel(
            business, "Cost per 1,000 inferences", "short",
            {"": f"model:cost_per_1000:ratio{_OF}"},
            "From price_per_hour in conf/deploy/.",
        ),
        DashboardPanel(traffic, "Predictions by version", "reqps", {"": _rate(_REQUESTS)}),
        DashboardPanel(traffic, "In flight", "short", {"": f"model:in_flight:sum{_OF}"}),
        DashboardPanel(
            traffic, "Servers", "short",
            {
                "answering": f"count {_BY} (up{_OF} == 1)",
                "wanted": f"count {_BY} (up{_OF})",
            },
        ),
        DashboardPanel(
            traffic, "Alerts", "short",
            {
                "{{alertname}}": "sum by (alertname, model_name, model_version) "
                f'(ALERTS{_OF[:-1]},alertstate="firing"}})'
            },
        ),
    ]  # fmt: skip


def _rate(status: str) -> str:
    selected = f"model_predictions_total{_OF[:-1]},{status}}}"
    return f"sum {_BY} (rate({selected}[$__rate_interval]))"


def _quantiles(row: str, title: str, kind: str, text: str) -> DashboardPanel:
    buckets = f"model_{kind}_duration_seconds_bucket{_OF}[$__rate_interval]"
    queries = {
        name: f"histogram_quantile({q}, sum by (le, model_name, model_version) (rate({buckets})))"
        for name, q in QUANTILES.items()
    }
    return DashboardPanel(row, title, "s", queries, f"{text}; linear within a bucket.")


def dashboard() -> str:
    """The dashboard as JSON for Grafana's import or provisioning; it uses a Prometheus source."""
    from grafana_foundation_sdk.builders import common, prometheus, timeseries
    from grafana_foundation_sdk.builders import dashboard as board
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement
    from grafana_foundation_sdk.models.dashboard import (
        DashboardCursorSync,
        DataSourceRef,
        VariableRefresh,
    )

    source = DataSourceRef(type_val="prometheus", uid="$datasource")
    made = (
        board.Dashboard(TITLE)
        .uid("facemodels-models")
        .description("Generated by facemodels; edits are lost with the next `facemodels alerts`.")
        .tags(["facemodels"])
        .refresh("10s")
        .time("now-1h", "now")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(
            board.DatasourceVariable("datasource").label("Data source").type("prometheus")
        )
    )
    for name, query in (
        ("model", "label_values(up, model_name)"),
        ("version", 'label_values(up{model_name=~"$model"}, model_version)'),
    ):
        made.with_variable(
            board.QueryVariable(name)
            .label(name.capitalize())
            .datasource(source)
            .query(query)
            .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
            .multi(multi=True)
            .include_all(include_all=True)
            .all_value(".*")
        )
    row = ""
    for drawn in panels():
        if drawn.row != row:
            row = drawn.row
            made.with_row(board.Row(row))
        panel = (
            timeseries.Panel()
            .title(drawn.title)
            .description(drawn.text)
            .datasource(source)
            .unit(drawn.unit)
            .height(_HEIGHT)
            .span(_WIDTH)
            .min(0)
            .legend(
                common.VizLegendOptions()
                .display_mode(LegendDisplayMode.LIST)
                .placement(LegendPlacement.BOTTOM)
                .show_legend(show_legend=True)
            )
        )
        for number, (words, query) in enumerate(drawn.queries.items()):
            panel.with_target(
                prometheus.Dataquery()
                .expr(query)
                .ref_id(chr(ord("A") + number))
                .legend_format(f"{_LEGEND} {words}".strip())
                .datasource(source)
            )
        made.with_panel(panel)
    text = JSONEncoder(sort_keys=True, indent=2).encode(made.build())
    return text + "\n"
