"""conf/rollback_triggers.yaml: the guide's names and values, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from facemodels.errors import ParamsError
from facemodels.monitoring.settings import TRIGGERS_PATH, Triggers, load_triggers

ROOT = Path(__file__).resolve().parents[3]
GUIDE = {
    "error_rate_threshold": 0.05,
    "latency_threshold_ms": 500,
    "memory_threshold_mb": 2000,
    "accuracy_drop_threshold": 0.02,
    "monitoring_window_minutes": 30,
}
# The guide names none that ask users; they are off.
ALL = {
    **GUIDE, "satisfaction_threshold": 0.0, "false_match_threshold": 1.0,
    "false_non_match_threshold": 1.0,
}  # fmt: skip


def write(folder: Path, text: str) -> Path:
    path = folder / TRIGGERS_PATH
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    return folder


def test_the_repositorys_triggers_are_the_guides_under_its_names() -> None:
    assert load_triggers(ROOT).model_dump() == ALL
    assert Triggers().model_dump() == ALL
    assert not Triggers().ask_users


def test_a_trigger_that_is_named_goes_before_the_guides(tmp_path: Path) -> None:
    write(tmp_path, "rollback_triggers: {latency_threshold_ms: 80.5}\n")
    assert load_triggers(tmp_path).model_dump() == {**ALL, "latency_threshold_ms": 80.5}


def test_another_file_can_be_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("rollback_triggers: {memory_threshold_mb: 1}\n", encoding="utf-8")
    assert load_triggers(ROOT, path).memory_threshold_mb == 1


@pytest.mark.parametrize(
    "text",
    [
        "rollback_triggers: {error_rate_threshold: 0}",
        "rollback_triggers: {error_rate_threshold: 1}",
        "rollback_triggers: {error_rate_threshold: 5}",  # per cent, as one might think
        "rollback_triggers: {error_rate_threshold: .nan}",
        "rollback_triggers: {accuracy_drop_threshold: -0.02}",
        "rollback_triggers: {latency_threshold_ms: 0}",
        "rollback_triggers: {latency_threshold_ms: .inf}",
        "rollback_triggers: {memory_threshold_mb: two}",
        "rollback_triggers: {monitoring_window_minutes: -30}",
        "rollback_triggers: {latency_threshold: 500}",
        "triggers: {latency_threshold_ms: 500}",
        "rollback_triggers: [0.05]",
        "rollback_triggers: {",
        "[]",
    ],
)
def test_a_value_that_cannot_be_meant_is_refused_with_its_file(tmp_path: Path, text: str) -> None:
    write(tmp_path, text + "\n")
    with pytest.raises(ParamsError, match=r"does not fit|cannot be read|no mapping") as refused:
        load_triggers(tmp_path)
    assert TRIGGERS_PATH.name in str(refused.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="rollback_triggers"):
        load_triggers(tmp_path)
