"""A version of another embedding space waits for the galleries; the way back needs none anew."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.registry.conftest import NOW, Clone, move, start

from facemodels.deployment.deploy import DeploymentRequest, deploy
from facemodels.deployment.rollback import find_rollback
from facemodels.deployment.settings import Address, Environment
from facemodels.errors import ParamsError, RuleError
from facemodels.names import ModelId
from facemodels.params import parse
from facemodels.registry.events import Event
from facemodels.registry.registry import Registry

OLD, NEW = "sys-faces-v1.0.0", "sys-faces-v2.0.0"
DETECTOR = "det-yolov8-v1.0.0"


def space(model: str) -> str:
    return f"recognition-{model[-5]}"


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    """One system is in production, one of another space in staging."""
    made = start(tmp_path / "clone")
    for model in (OLD, NEW):
        made.register(model, interface={"embedding_space": space(model)})
        made.add(move(model, "staging"))
    made.add(move(OLD, "production"))
    return made


def enrolled(clone: Clone, gallery: str, *spaces: str) -> None:
    """A gallery with faces of these spaces, as far as deployments look at it."""
    for name in spaces:
        facts = clone.root / "galleries" / gallery / name / "gallery.json"
        facts.parent.mkdir(parents=True)
        facts.write_text("{}")


def act(
    clone: Clone, model: str, strategy: str = "direct", environment: str = "production"
) -> Event:
    settings = Environment(
        address=Address(port=0), control=Address(port=0), galleries=("staff", "guests")
    )
    asked = DeploymentRequest(ModelId.parse(model), environment, strategy)  # type: ignore[arg-type]
    return clone.repository.add(
        deploy(Registry(clone.repository), settings, asked, clock=lambda: NOW + 10**6)
    )


@pytest.mark.parametrize("strategy", ["direct", "canary", "ab", "progressive", "blue-green"])
def test_a_version_of_another_space_is_refused_until_every_gallery_was_migrated(
    clone: Clone, strategy: str
) -> None:
    enrolled(clone, "staff", space(OLD), space(NEW))
    enrolled(clone, "guests", space(OLD))
    with pytest.raises(RuleError) as refused:
        act(clone, NEW, strategy)
    for words in (
        "guests",
        space(OLD),
        space(NEW),
        f"facemodels gallery migrate guests --to {NEW}",
    ):
        assert words in str(refused.value)
    enrolled(clone, "guests", space(NEW))
    act(clone, NEW, strategy)


def test_staging_waits_for_its_galleries_too(clone: Clone) -> None:
    enrolled(clone, "staff", space(OLD))
    third = "sys-faces-v2.0.1"
    clone.register(third, interface={"embedding_space": space(NEW)})
    with pytest.raises(RuleError, match="gallery migrate staff"):
        act(clone, third, environment="staging")


def test_the_way_back_needs_no_plan_where_the_galleries_have_both_spaces(clone: Clone) -> None:
    for gallery in ("staff", "guests"):
        enrolled(clone, gallery, space(OLD), space(NEW))
    act(clone, NEW, "canary")
    done = act(clone, NEW, "complete")
    assert done.record is not None
    assert space(OLD) in done.record["re_enrolment"]
    found = find_rollback(clone.repository.state(), "system")
    assert (found.to, found.taken_back) == (OLD, NEW)
    clone.repository.add(found.proposal("it is slow"))
    assert clone.repository.state().production == {"system-faces": OLD}
    assert clone.audit() == []


def test_the_way_back_needs_a_plan_where_nothing_shows_that_galleries_have_faces_for_it(
    clone: Clone,
) -> None:
    enrolled(clone, "staff", space(NEW))
    act(clone, NEW)
    with pytest.raises(RuleError, match="another embedding space"):
        find_rollback(clone.repository.state(), "system")


def test_a_gallery_without_faces_and_a_detector_hinder_nothing(clone: Clone) -> None:
    clone.register(DETECTOR)
    clone.add(move(DETECTOR, "staging"))
    enrolled(clone, "staff", space(OLD))
    act(clone, DETECTOR)
    later = "sys-faces-v1.0.1"
    clone.register(later, interface={"embedding_space": space(OLD)})
    clone.add(move(later, "staging"))
    assert "re_enrolment" not in (act(clone, later).record or {})


def test_a_gallery_that_was_not_fetched_is_not_taken_for_an_empty_one(clone: Clone) -> None:
    folder = clone.root / "galleries"
    folder.mkdir()
    (folder / "guests.dvc").write_text("outs: []")
    with pytest.raises(RuleError, match=r"dvc pull galleries/guests\.dvc"):
        act(clone, NEW)


@pytest.mark.parametrize("name", ["../staff", "Staff", "", "other/staff"])
def test_settings_name_galleries_of_the_repository(name: str) -> None:
    with pytest.raises(ParamsError, match="galleries"):
        parse(
            Environment, {"address": {"port": 1}, "control": {"port": 2}, "galleries": [name]}, "x"
        )
