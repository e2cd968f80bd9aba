"""Replays to all versions that serve: what is stored of them, and what is forgotten."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from facemodels.monitoring.metrics.reading import PROBE, Series
from facemodels.monitoring.metrics.store import SampleStore
from facemodels.monitoring.probes import OutcomeCounts, ReplayResult, replayer
from facemodels.monitoring.probes.replayer import ProbeReplayer
from facemodels.monitoring.served import ServedModel, ServedVersion

V1, V2, MODEL = "rec-facenet-v1.0.0", "rec-facenet-v2.0.0", "recognition-facenet"
STABLE = ServedVersion(V1, "stable", 90, "tag-1", 0, "A <a@b>")
CANARY = ServedVersion(V2, "canary", 10, "tag-2", 0, "A <a@b>")
BOTH = [ServedModel(MODEL, STABLE, CANARY)]
CORRECT = {V1: (True, True, True, False), V2: (True, False, None, False)}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SampleStore]:
    made = SampleStore(tmp_path / "samples.db", wall=lambda: 100.0, elapsed=lambda: 0.0)
    yield made
    made.close()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[str, str]]:
    """Which versions were asked at which address; the answers are those of CORRECT."""
    (tmp_path / "sets" / "recognition").mkdir(parents=True)
    seen: list[tuple[str, str]] = []

    def replay(url: str, probes: object, version: str, *, headers: object) -> ReplayResult:
        seen.append((url, version))
        correct = CORRECT[version]
        failed = {"timeout": correct.count(None)} if None in correct else {}
        counts = OutcomeCounts(correct.count(True), correct.count(False), 0, 0)
        return ReplayResult(version, "recognition", "sha256:1", 4, counts, correct, failed)

    monkeypatch.setattr(replayer, "replay", replay)
    monkeypatch.setattr(replayer, "load", lambda folder: folder)
    return seen


def test_the_stable_version_is_asked_first_and_the_other_compared_with_it(
    store: SampleStore, asked: list[tuple[str, str]], tmp_path: Path
) -> None:
    made = ProbeReplayer(tmp_path / "probes", store, token="")
    made.run(BOTH, "http://127.0.0.1:1", tmp_path / "sets")
    url = f"http://127.0.0.1:1/models/{MODEL}"
    assert asked == [(url, V1), (url, V2)]
    told = json.loads((tmp_path / "probes" / f"{V2}.json").read_bytes())
    assert told["agreement"] == {"with": V1, "compared": 3, "agreed": 2}


def test_only_a_complete_replay_has_rates(
    store: SampleStore, asked: list[tuple[str, str]], tmp_path: Path
) -> None:
    made = ProbeReplayer(tmp_path / "probes", store, token="")
    made.run(BOTH, "http://127.0.0.1:1", tmp_path / "sets")
    assert list(made.rates) == [V1]
    assert made.problems == {f"probes {V2}": "1 of 4 probes failed: 1 x timeout"}
    assert store.gauge(f"{PROBE}accuracy", Series.of(V1), 0, 200) == [(100.0, 0.75)]
    assert store.gauge(f"{PROBE}accuracy", Series.of(V2), 0, 200) == []


def test_what_does_not_serve_any_more_is_forgotten_even_without_a_router(
    store: SampleStore, asked: list[tuple[str, str]], tmp_path: Path
) -> None:
    made = ProbeReplayer(tmp_path / "probes", store, token="")
    made.run(BOTH, "http://127.0.0.1:1", tmp_path / "sets")
    made.run([ServedModel(MODEL, STABLE)], None, tmp_path / "sets")
    assert len(asked) == 2
    assert list(made.rates) == [V1]
    assert made.problems == {}


def test_a_task_without_a_golden_set_is_not_asked(
    store: SampleStore, asked: list[tuple[str, str]], tmp_path: Path
) -> None:
    ProbeReplayer(tmp_path / "probes", store, token="").run(BOTH, "http://x", tmp_path / "none")
    assert asked == []
