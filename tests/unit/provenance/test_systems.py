"""What is told of a system's origin: its members with their data, and how two systems differ."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.unit.provenance.workshop import Workshop, digest

from facemodels.cli.main import main
from facemodels.names import ModelId
from facemodels.provenance import difference, lineage
from facemodels.registry import rules

MEMBER, STRANGER = "rec-facenet-v1.0.0", "det-mtcnn-v1.0.0"
BOUNDS = {"min_score": 0.7, "fmr": 0.01, "threshold": 0.5, "quality": {"eyes": 20.0}}


def add_system(workshop: Workshop, version: str, **facts: Any) -> str:
    """Register a system of one member that is registered and one that is not."""
    model = ModelId.parse(f"sys-faces-v{version}")
    commit = workshop.commit({f"{version}.txt": version})
    entry = {
        "path": str(model.folder), "dvc": digest(version, folder=True), "parent_version": "",
        "members": {
            "detection": {"id": STRANGER, "digest": f"sha256:{'1' * 64}"},
            "recognition": {"id": MEMBER, "digest": "ab" * 32},
        },
        "decides_by": BOUNDS, "metrics": {"fnmr": 0.1}, **facts,
    }  # fmt: skip
    workshop.repository.add(
        lambda state: rules.register(state, model, commit, reason="", evidence={}, entry=entry)
    )
    return str(model)


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    made = Workshop(tmp_path / "repository")
    made.build("1.0.0")
    return made


def test_the_lineage_of_a_system_leads_through_its_members_to_their_data(
    workshop: Workshop, tmp_path: Path
) -> None:
    traced = workshop.trace(add_system(workshop, "1.0.0"))
    by_task = {one.task: one for one in traced.versions[0].members}
    known = by_task["recognition"].version
    assert known is not None
    assert "data/prepared/recognition" in {artifact.path for artifact in known.inputs.data}
    assert by_task["detection"].version is None
    text = lineage.text(traced)
    assert f"recognition  {MEMBER}  development" in text
    assert "data data/prepared/recognition" in text
    assert f"detection  {STRANGER}  not registered here" in text
    assert f'm0_1["{MEMBER}<br/>recognition<br/>development"]' in lineage.mermaid(traced)
    lineage.draw(traced, tmp_path / "lineage.svg")
    assert (tmp_path / "lineage.svg").stat().st_size > 1000
    assert traced.as_json()["versions"][0]["members"][0]["model_id"] == STRANGER


def test_the_difference_of_two_systems_names_members_thresholds_and_metrics(
    workshop: Workshop,
) -> None:
    one = add_system(workshop, "1.0.0")
    other = add_system(
        workshop, "1.1.0",
        members={"recognition": {"id": MEMBER, "digest": "ab" * 32}},
        decides_by={**BOUNDS, "threshold": 0.6}, metrics={"fnmr": 0.05},
    )  # fmt: skip
    found = difference.compare(workshop.git, workshop.repository.state(), one, other)
    text = difference.text(found)
    assert STRANGER in text
    assert "threshold" in text
    assert [metric.name for metric in found.metrics] == ["fnmr"]
    told = found.as_json()
    assert {change["key"] for change in told["members"]} == {"detection.id", "detection.digest"}
    assert [change["key"] for change in told["decides_by"]] == ["threshold"]


def test_info_of_a_member_names_the_systems_that_pin_it(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = add_system(workshop, "1.0.0")
    monkeypatch.chdir(workshop.root)
    command = ["registry", "info", "--json", "--model-id"]
    member, own = (CliRunner().invoke(main, [*command, one]) for one in (MEMBER, system))
    assert json.loads(member.output)["pinned_by"] == [system]
    assert json.loads(own.output)["members"]["recognition"]["id"] == MEMBER
