"""conf/deploy/<environment>.yaml: what fits, what is refused, and that each field is described."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from facemodels.deployment import settings
from facemodels.deployment.settings import (
    ENVIRONMENTS,
    Address,
    DeploymentPolicy,
    Environment,
    Flag,
)
from facemodels.errors import InputError, ParamsError
from facemodels.monitoring.settings import ProbeSettings, Triggers, VerdictSettings

ROOT = Path(__file__).resolve().parents[3]
LEAST = "address: {port: 8080}\ncontrol: {port: 8081}\n"
FLAG = "flags: [{name: a, model_id: rec-facenet-v2.2.0, value: 'yes', "


def load(folder: Path, text: str) -> Environment:
    path = folder / settings.FOLDER / "production.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return settings.load(folder, "production")


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_repositorys_environments_fit(environment: str) -> None:
    loaded = settings.load(ROOT, environment)
    assert loaded.steps == (10, 25, 50)
    assert (ROOT / loaded.serving).is_file()


def test_two_environments_of_one_machine_do_not_want_the_same_ports() -> None:
    ports = [
        port
        for environment in ENVIRONMENTS
        for one in [settings.load(ROOT, environment)]
        for port in (one.address.port, one.control.port)
    ]
    assert len(ports) == len(set(ports))


def test_ports_are_all_that_has_to_be_said(tmp_path: Path) -> None:
    loaded = load(tmp_path, LEAST)
    assert (loaded.address, loaded.replicas) == (Address(host="127.0.0.1", port=8080), 1)
    assert (loaded.policy.deployers, loaded.policy.staging_minutes) == ((), 0)
    assert settings.state_folder(tmp_path, "production", loaded) == (
        tmp_path / ".facemodels/production"
    )


def test_the_state_may_lie_elsewhere(tmp_path: Path) -> None:
    loaded = load(tmp_path, LEAST + "state: run/here\n")
    assert settings.state_folder(tmp_path, "production", loaded) == tmp_path / "run/here"


def test_another_file_can_be_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(LEAST + "replicas: 3\n", encoding="utf-8")
    assert settings.load(ROOT, "staging", path).replicas == 3


@pytest.mark.parametrize("environment", ["", "Production", "test", "../staging"])
def test_there_are_two_environments(environment: str) -> None:
    with pytest.raises(InputError, match="no environment") as refused:
        settings.load(ROOT, environment)
    assert "staging, production" in refused.value.remedy


@pytest.mark.parametrize(
    "text",
    [
        "replicas: 0",
        "replicas: 1.5",
        "threads: -1",
        "start_s: 0",
        "drain_s: -1",
        "fetch_interval_s: .inf",
        "canary_percent: 101",
        "canary_percent: -1",
        "canary_percent: 0.1",
        "steps: [10, 101]",
        "steps: [0, 50]",
        "steps: [50, 25]",
        "steps: [10, 10]",
        "policy: {staging_minutes: -1}",
        "policy: {deployer: [a@example.org]}",
        "verdict: {false_rollback: 0}",
        "verdict: {false_rollback: 1}",
        "verdict: {latency_quantiles: [95]}",
        "probes: {interval_s: -1}",
        "defaults: {faces: recognition-facenet}",
        "price_per_hour: -0.1",
        "adress: {port: 1}",
        f"{FLAG}header: X-Early, cookie: early}}]",
        f"{FLAG}enabled: true}}]",
        "flags: [{name: a, model_id: facenet, value: b, header: X}]",
    ],
)
def test_a_value_that_cannot_be_meant_is_refused_with_its_file(tmp_path: Path, text: str) -> None:
    with pytest.raises(ParamsError, match="does not fit") as refused:
        load(tmp_path, f"{LEAST}{text}\n")
    assert "production.yaml" in str(refused.value)
    assert text.split(":", maxsplit=1)[0] in refused.value.what


@pytest.mark.parametrize(
    "text", ["", "address: {port: 8080}\n", "address: {port: 65536}\ncontrol: {port: 1}\n"]
)
def test_a_file_without_its_ports_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ParamsError):
        load(tmp_path, text)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"staging\.yaml"):
        settings.load(tmp_path, "staging")


@pytest.mark.parametrize("name", ["header: X-Early", "cookie: early"])
def test_a_flag_has_a_header_or_a_cookie(tmp_path: Path, name: str) -> None:
    [flag] = load(tmp_path, f"{LEAST}{FLAG}{name}}}]\n").flags
    assert (flag.model_id, flag.value, flag.enabled) == ("rec-facenet-v2.2.0", "yes", True)


@pytest.mark.parametrize("text", ["recognition-facenet-v2.2.0", "recognition-facenet@v2.2.0"])
def test_a_flags_version_is_called_as_the_tags_call_it(text: str) -> None:
    flag = Flag(name="a", model_id=text, header="X", value="b")
    assert flag.model_id == "rec-facenet-v2.2.0"


@pytest.mark.parametrize(
    ("heading", "schema"),
    [
        ("## conf/deploy/", Environment), ("### address, control", Address), ("### policy", DeploymentPolicy),
        ("### verdict", VerdictSettings), ("### probes", ProbeSettings), ("### flags", Flag),
        ("## conf/rollback_triggers.yaml", Triggers),
    ],
)  # fmt: skip
def test_every_field_is_described_with_its_default(heading: str, schema: type[BaseModel]) -> None:
    """docs/formats/deploy.md: a row a field, and no other, under the heading of the schema."""
    text = (ROOT / "docs/formats/deploy.md").read_text(encoding="utf-8")
    section = re.split(r"^##", text.split(heading, 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    rows = dict(re.findall(r"^\| `([a-z_]+)` \| ([^|]*) \|", section, flags=re.MULTILINE))
    assert list(rows) == list(schema.model_fields)
    for name, field in schema.model_fields.items():
        default = field.get_default(call_default_factory=True)
        assert rows[name] == _as_text(name, default, needed=field.is_required())


def _as_text(name: str, default: object, *, needed: bool) -> str:
    """A default as the page writes it."""
    if needed:
        return "needed"
    if isinstance(default, BaseModel):
        return "see below"
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, (int, float)):
        return f"{default:g}"
    if default in ("", None):
        return "empty"
    return f"`{list(default) if isinstance(default, tuple) else default}`"
