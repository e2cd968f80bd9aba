"""Facts to a plan: no file, no git."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facemodels.errors import InputError
from facemodels.names import ModelId, ModelName, Version
from facemodels.registry import semver
from facemodels.release import plan
from facemodels.release.plan import PreviousVersion, ReleaseFacts, ReleaseRequest

NAME = "recognition-facenet"
versions = st.builds(Version, st.integers(0, 20), st.integers(0, 20), st.integers(0, 20))
levels = st.sampled_from(semver.LEVELS)
variants = st.sampled_from(["", "gpu"])


def _id(version: Version, variant: str = "") -> ModelId:
    return ModelId(ModelName.parse(NAME), version, variant)


def _facts(current: Version, released: Version | None, **changes) -> ReleaseFacts:
    previous = None
    if released is not None:
        old = _id(released, changes.get("variant", ""))
        previous = PreviousVersion(old, str(old.folder), "c" * 40)
    model = _id(current, changes.pop("variant", ""))
    values = {"model": model, "siblings": [NAME], "branch": "main", "previous": previous}
    return ReleaseFacts(**{**values, **changes})


def _asked(bump: str | None, message: str = "Better") -> ReleaseRequest:
    return ReleaseRequest(NAME, bump, message)  # type: ignore[arg-type]


@given(versions, st.none() | levels, variants)
def test_a_first_release_is_what_conf_says(current: Version, bump, variant: str) -> None:
    made = plan.make(_asked(bump), _facts(current, None, variant=variant))
    assert made.target == _id(current, variant)
    assert made.previous is None
    assert any("first release" in note for note in made.notes) == (bump is not None)


@given(versions, levels, variants)
def test_a_bump_counts_from_what_is_registered_wherever_conf_stands(
    released: Version, level, variant: str
) -> None:
    target = semver.bump(released, level)
    fresh = _facts(released, released, changes=["models.x"], variant=variant)
    assert plan.make(_asked(level), fresh).target.version == target
    for started in semver.LEVELS:  # conf as an interrupted release at any level left it
        facts = _facts(semver.bump(released, started), released, variant=variant)
        made = plan.make(_asked(level), facts)
        assert made.target == _id(target, variant)
        assert facts.started


@given(versions, levels)
def test_without_a_bump_an_interrupted_release_goes_on_with_its_number(
    released: Version, level
) -> None:
    current = semver.bump(released, level)
    assert plan.make(_asked(None), _facts(current, released)).target.version == current


@given(versions)
def test_without_a_bump_the_next_version_is_not_guessed(released: Version) -> None:
    with pytest.raises(InputError, match="--bump"):
        plan.make(_asked(None), _facts(released, released, changes=["x"]))


@given(versions, levels)
def test_nothing_changed_is_nothing_to_release(released: Version, level) -> None:
    with pytest.raises(InputError, match="Nothing has changed since"):
        plan.make(_asked(level), _facts(released, released))


@given(versions, levels)
def test_a_frozen_previous_version_is_a_release_under_way(released: Version, level) -> None:
    made = plan.make(_asked(level), _facts(released, released, frozen=True))
    assert made.target.version == semver.bump(released, level)


@given(versions, levels)
def test_a_branch_without_the_last_release_is_refused(current: Version, level) -> None:
    released = semver.bump(current, level)
    with pytest.raises(InputError, match="this branch lacks its release"):
        plan.make(_asked(level), _facts(current, released, changes=["x"], contained=False))
    with pytest.raises(InputError, match="git merge cccccccccc"):  # theirs, of the same number
        plan.make(_asked(level), _facts(current, current, changes=["x"], contained=False))


def test_a_version_that_gto_registered_on_this_very_branch_is_no_merge() -> None:
    with pytest.raises(
        InputError, match=r"at a commit that this branch has.*Write version 1\.1\.0"
    ):
        plan.make(_asked("minor"), _facts(Version(1, 0, 0), Version(1, 1, 0)))


@given(versions, versions | st.none(), st.none() | levels, st.booleans(), st.booleans())
def test_a_plan_has_all_steps_in_order_and_a_higher_target(
    current: Version, released, bump, changed: bool, remote: bool
) -> None:
    facts = _facts(
        current, released, changes=["x"] if changed else [], git_remote="origin" if remote else ""
    )
    try:
        made = plan.make(_asked(bump), facts)
    except InputError:
        assert released is not None  # a first release is never refused
        return
    assert tuple(step.name for step in made.steps) == plan.STEPS
    assert released is None or made.target.version > released
    assert all(step.text for step in made.steps)
    assert str(made.target) in made.steps[0].text
    assert made.as_json()["model_id"] == str(made.target)


def test_the_commit_may_hold_the_files_of_the_task_and_no_others() -> None:
    files = plan.files(
        NAME, _facts(Version(1, 1, 0), Version(1, 0, 0), siblings=[NAME, "recognition-arcface"])
    )
    assert "models/recognition/facenet-v1.0.0.dvc" in files
    assert "reports/validate/recognition-arcface.json" in files
    assert not [path for path in files if "landmark" in path or "detection" in path]
    assert "conf/model/recognition-arcface.yaml" not in files


@pytest.mark.parametrize("message", ["", "  \n", "${oc.env:HOME}", "costs ${x}", "???"])
def test_a_message_that_hydra_would_read_otherwise_is_refused(message: str) -> None:
    with pytest.raises(InputError, match=r"words|Hydra"):
        plan.make(_asked(None, message), _facts(Version(1, 0, 0), None))


def test_a_system_is_built_by_its_own_stages_and_has_its_card_in_conf_bundle() -> None:
    name = "system-faces"
    model = ModelId(ModelName.parse(name), Version(1, 0, 0))
    facts = ReleaseFacts(model=model, siblings=[name], branch="main")
    made = plan.make(ReleaseRequest(name, None, "First"), facts)
    assert plan.targets(name, "system") == [
        "bundle@system-faces", "benchmark_system@system-faces", "compare@system",
    ]  # fmt: skip
    assert plan.made_of(name, "system") == [
        "prepare@system", "system@system-faces", "gate_system@system-faces",
        "bundle@system-faces",
    ]  # fmt: skip
    assert "conf/bundle/faces.yaml" in made.files
    assert "models/system/.gitignore" in made.files
