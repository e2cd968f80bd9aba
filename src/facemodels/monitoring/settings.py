"""The settings of monitoring: the sequential test, the probes, and the rollback triggers.

`VerdictSettings`, `ProbeSettings` and `PrometheusAccess` are sections of
conf/deploy/<environment>.yaml, which `facemodels.deployment.settings` reads as a whole. `Triggers`
is conf/rollback_triggers.yaml, which `load_triggers` reads.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from facemodels.params import Frozen, load_yaml, parse

TRIGGERS_PATH = Path("conf", "rollback_triggers.yaml")
Share = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class VerdictSettings(Frozen):
    """The error probabilities and the margins of the sequential test on a rollout.

    Attributes:
        false_rollback: the greatest chance, over all time, that a version that is not worse is
            rolled back.
        missed_regression: the greatest chance, over all time, that a version that is worse by a
            margin is promoted.
        error_margin: the difference of the two error rates from which a version counts as worse.
        latency_quantiles: the quantiles of the latency that are compared.
        latency_margin: the share of requests by which more may be slower than the quantile of the
            version beside it.
        window_s: the length of the windows in which both versions are compared; both see the same
            load within one.
        silence_s: the time without a number of a version after which its metrics count as lost.
        deaths: the deaths of servers with which a version is taken back from its rollout.
        progress_s: the time without a ready server with which it is taken back.
    """

    false_rollback: Share = 0.01
    missed_regression: Share = 0.01
    error_margin: Share = 0.02
    latency_quantiles: tuple[Share, ...] = (0.5, 0.95)
    latency_margin: Share = 0.05
    window_s: Positive = 5.0
    silence_s: Positive = 30.0
    deaths: Annotated[int, Field(ge=1)] = 3
    progress_s: Positive = 300.0


class ProbeSettings(Frozen):
    """When the golden set is replayed through the live address, and where it lies.

    Attributes:
        interval_s: the time between two replays; 0 switches them off.
        folder: the folder of the labelled images from the repository's root, with one set a task:
            `<folder>/<task>/probes.json`.
    """

    interval_s: NotNegative = 60.0
    folder: str = "data/probes"


class PrometheusAccess(Frozen):
    """How a Prometheus server is asked that does not let everybody ask.

    Attributes:
        token: the file with a bearer token, from the repository's root; it is read for each
            question, so a token that changes counts at once.
        headers: the file with headers that each question carries, `Name: value` a line, from the
            repository's root; for example `X-Scope-OrgID: faces`.
        ca: the file with the certificates of the authority that signed the server's, from the
            repository's root; if it is empty, those of the system count.
    """

    token: str = ""
    headers: str = ""
    ca: str = ""


class Triggers(Frozen):
    """The rollback triggers of the model guide, under the guide's names.

    Attributes:
        error_rate_threshold: the share of predictions that may fail, 0 to 1.
        latency_threshold_ms: the limit of the 95th percentile of a prediction's latency.
        memory_threshold_mb: the limit of one server's resident memory, in 10⁶ bytes.
        accuracy_drop_threshold: how far the accuracy on the probes may lie below that of the
            version before, 0 to 1.
        monitoring_window_minutes: the length of the past that is tested.
        satisfaction_threshold: the mean score of users, 0 to 1, below which a version goes back;
            0 switches it off.
        false_match_threshold: the share of reported decisions on two people that called them one;
            1 switches it off.
        false_non_match_threshold: the share of reported decisions on one person that called it
            two; 1 switches it off.
    """

    error_rate_threshold: Share = 0.05
    latency_threshold_ms: Positive = 500
    memory_threshold_mb: Positive = 2000
    accuracy_drop_threshold: Share = 0.02
    monitoring_window_minutes: Positive = 30
    satisfaction_threshold: Annotated[float, Field(ge=0, lt=1)] = 0.0
    false_match_threshold: Annotated[float, Field(gt=0, le=1)] = 1.0
    false_non_match_threshold: Annotated[float, Field(gt=0, le=1)] = 1.0

    @property
    def ask_users(self) -> bool:
        """Whether a trigger looks at what users say."""
        least = min(self.false_match_threshold, self.false_non_match_threshold)
        return self.satisfaction_threshold > 0 or least < 1


class _TriggersFile(Frozen):
    rollback_triggers: Triggers = Triggers()


def load_triggers(root: Path, path: Path | None = None) -> Triggers:
    """Read the rollback triggers of a repository.

    Args:
        root: the repository's root.
        path: another file than conf/rollback_triggers.yaml.

    Raises:
        ParamsError: the file is missing or does not fit the schema.
    """
    chosen = path or root / TRIGGERS_PATH
    return parse(_TriggersFile, load_yaml(chosen), str(chosen)).rollback_triggers
