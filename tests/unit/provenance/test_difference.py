"""Two versions held against each other: in real repositories, and the flat values alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.provenance.workshop import MODEL, Workshop, digest, parameters, pipeline

from facemodels.errors import InputError, ParamsError
from facemodels.names import ModelId
from facemodels.provenance import difference
from facemodels.provenance.difference.values import bump, labels, metrics, pins, recorded
from facemodels.provenance.flat import changes, flatten, same, summary
from facemodels.registry import rules, semver
from facemodels.text import one_line, short, size_text
from facemodels.yaml_text import plain

V = "rec-facenet-v"
INTERFACE = {
    "architecture": "facenet",
    "input_shape": [1, 3, 80, 80],
    "output_shape": [1, 512],
    "embedding_space": "recognition-facenet-0123",
    "runtimes": ["onnx", "torch"],
}


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path / "repository")


def compare(workshop: Workshop, a: str, b: str) -> difference.VersionDifference:
    return difference.compare(workshop.git, workshop.repository.state(), a, b)


def pair(
    workshop: Workshop, first: dict[str, Any], second: dict[str, Any]
) -> difference.VersionDifference:
    """The difference of two versions whose facts are given."""
    workshop.commit({"dvc.lock": pipeline("1.0.0")})
    one = workshop.register("1.0.0", **first)
    workshop.commit({"dvc.lock": pipeline("1.1.0", steps=240, data=2, code=2)})
    return compare(workshop, one, workshop.register("1.1.0", "1.0.0", **second))


# --- what was recorded ---------------------------------------------------------------------


STAMP = {"data": "sha256:" + "1" * 64, "crop": "arcface112", "evaluator": "recognition 2"}


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        (STAMP, {**STAMP, "crop": "dlib150"}, "crop: arcface112 → dlib150"),
        (STAMP, {**STAMP, "data": "sha256:" + "2" * 64}, "data: sha256:111111111111 → sha256:2222"),
        (STAMP, None, "the second has no stamp"),
        (None, None, "the first and the second has no stamp"),
    ],
)
def test_metrics_of_different_stamps_are_not_subtracted_and_the_text_says_why(
    workshop: Workshop, first: dict | None, second: dict | None, reason: str
) -> None:
    found = pair(
        workshop,
        {"metrics": {"accuracy": 0.91, "model_size_mb": 1.0}, "stamp": first},
        {"metrics": {"accuracy": 0.93, "model_size_mb": 1.5}, "stamp": second},
    )
    values = {metric.name: metric for metric in found.metrics}

    assert (values["accuracy"].before, values["accuracy"].after) == (0.91, 0.93)
    assert values["accuracy"].difference is None
    assert values["model_size_mb"].difference == 0.5  # not a figure of the evaluation
    assert reason in difference.text(found)
    assert found.as_json()["stamps"]


def test_metrics_have_both_values_and_their_difference(workshop: Workshop) -> None:
    found = pair(
        workshop,
        {"metrics": {"accuracy": 0.91, "auc": 0.5, "old": 1}, "stamp": STAMP},
        {"metrics": {"accuracy": 0.93, "auc": 0.5, "new": 2}, "stamp": STAMP},
    )
    values = {metric.name: metric for metric in found.metrics}
    assert list(values) == ["accuracy", "auc", "new", "old"]
    assert values["accuracy"].difference == pytest.approx(0.02)
    assert values["auc"].difference == 0
    assert values["old"].difference is values["new"].difference is None
    text = difference.text(found)
    assert "  accuracy    0.91   0.93       +0.02" in text.splitlines()
    assert "  new            -      2" in text.splitlines()


def test_inputs_size_and_package(workshop: Workshop) -> None:
    found = pair(workshop, {}, {})
    assert [str(change) for change in found.parameters or ()] == ["train.steps 100 → 240"]
    assert {change.name: change.after for change in found.data or ()} == {
        "data/prepared/recognition": digest("d2", folder=True),
        "data/raw/faces": digest("r2", folder=True),
    }
    assert found.code.files == ("src/net.py",)
    assert found.same_package is True  # the evidence of both says so
    assert "size          94.1 MB" in difference.text(found).splitlines()


def test_labels(workshop: Workshop) -> None:
    found = pair(workshop, {"tags": ["edge", "old"]}, {"tags": ["edge", "new"]})
    assert found.as_json()["labels"] == {"added": ["new"], "removed": ["old"]}
    assert "labels        +new  -old" in difference.text(found).splitlines()


@pytest.mark.parametrize(
    ("changed", "level", "reason"),
    [
        ({}, "patch", None),
        ({"runtimes": ["onnx", "tensorrt", "torch"]}, "minor", "runs on tensorrt too"),
        ({"embedding_space": "other"}, "major", "embedding space recognition-facenet-0123 → other"),
        ({"runtimes": ["onnx"]}, "major", "no longer runs on torch"),
    ],
)
def test_the_interface_alone_is_ruled_on(
    workshop: Workshop, changed: dict[str, Any], level: str, reason: str | None
) -> None:
    found = pair(workshop, {"interface": INTERFACE}, {"interface": INTERFACE | changed})
    assert found.bump is not None
    assert found.bump.at_least == level
    assert found.bump.reasons == ((reason,) if reason else ())
    assert found.bump.actual == "minor"
    assert found.bump.enough is (level != "major")
    text = difference.text(found)
    assert "difference in accuracy" not in text
    assert ("which is too little" in text) is (level == "major")


def test_the_ruling_goes_from_the_lower_number_to_the_higher(workshop: Workshop) -> None:
    pair(workshop, {"interface": INTERFACE}, {"interface": INTERFACE | {"runtimes": ["torch"]}})
    there = compare(workshop, f"{V}1.0.0", f"{V}1.1.0")
    back = compare(workshop, f"{V}1.1.0", f"{V}1.0.0")
    assert there.bump == back.bump
    assert back.code.relation == "before"


def test_requirements_of_the_registration(workshop: Workshop) -> None:
    found = pair(
        workshop,
        {"framework": "pytorch", "framework_version": "2.13", "requirements": ["a==1", "b==1"]},
        {"framework": "pytorch", "framework_version": "2.14", "requirements": "a==2\nc==1\n"},
    )
    assert found.requirements_from == "registration"
    assert [str(change) for change in found.requirements or ()] == [
        "a 1 → 2", "b (was 1)", "c 1 (new)", "framework_version 2.13 → 2.14",
    ]  # fmt: skip


def test_requirements_of_the_lock(workshop: Workshop) -> None:
    workshop.commit({"requirements.lock": "torch==2.13.0\nonnx==1\n"})
    one = workshop.register("1.0.0")
    workshop.commit({"requirements.lock": "torch==2.14.0\nonnx==1\n"})
    found = compare(workshop, one, workshop.register("1.1.0"))
    assert found.requirements_from == "requirements.lock"
    assert [str(change) for change in found.requirements or ()] == ["torch 2.13.0 → 2.14.0"]


# --- commits -------------------------------------------------------------------------------


def test_commits_on_the_code_are_counted_and_listed(workshop: Workshop) -> None:
    workshop.commit({"src/a.py": "0"}, "Start")
    one = workshop.register("1.0.0")
    for number in range(25):
        workshop.commit({"src/a.py": f"{number} of many"}, f"Work {number}")
    workshop.commit({"README.md": "words"}, "Words")
    found = compare(workshop, one, workshop.register("1.1.0"))
    assert found.code.relation == "after"
    assert found.code.gained.count == 25
    assert len(found.code.gained.listed) == 20
    assert found.code.gained.listed[0].endswith(" Work 24")
    assert found.code.lost.count == 0
    lines = difference.text(found).splitlines()
    assert "  gained 25 commits in src, stages, conf:" in lines
    assert "    … and 5 more" in lines


def test_diverged_commits(workshop: Workshop) -> None:
    workshop.commit({"src/a.py": "0"})
    workshop.git.text("checkout", "--quiet", "-b", "fix")
    workshop.commit({"src/b.py": "1"}, "On the side")
    one = workshop.register("1.0.1")
    workshop.git.text("checkout", "--quiet", "main")
    workshop.commit({"conf/c.yaml": "1"}, "On main")
    code = compare(workshop, one, workshop.register("1.1.0")).code
    assert code.relation == "diverged"
    assert [line.split(" ", 1)[1] for line in code.gained.listed] == ["On main"]
    assert [line.split(" ", 1)[1] for line in code.lost.listed] == ["On the side"]


def test_a_users_git_configuration_changes_nothing(workshop: Workshop) -> None:
    for key, value in (
        ("log.decorate", "full"), ("color.ui", "always"), ("log.showSignature", "true"),
        ("format.pretty", "fuller"), ("core.abbrev", "12"),
    ):  # fmt: skip
        workshop.git.text("config", key, value)
    workshop.commit({"src/a.py": "0"})
    one = workshop.register("1.0.0")
    workshop.commit({"src/a.py": "1"}, "Work")
    code = compare(workshop, one, workshop.register("1.1.0")).code
    assert [line.split(" ", 1)[1] for line in code.gained.listed] == ["Work"]


# --- little or nothing recorded ------------------------------------------------------------


def test_versions_of_gto_have_what_git_has(workshop: Workshop) -> None:
    for version in ("1.0.0", "1.1.0"):
        workshop.commit({"dvc.lock": pipeline(version, steps=len(version) + int(version[2]))})
        workshop.git.text("tag", "-a", f"{MODEL}@v{version}", "-m", "Registering")
    found = compare(workshop, f"{V}1.0.0", f"{V}1.1.0")
    assert found.metrics == ()
    assert found.interface is found.bump is None
    assert [str(change) for change in found.parameters or ()] == ["train.steps 5 → 6"]
    assert found.same_package is False  # by DVC
    text = difference.text(found)
    assert "metrics       not recorded" in text.splitlines()
    assert "interface     not recorded for both" in text.splitlines()


def test_nothing_at_all(workshop: Workshop) -> None:
    for version in ("1.0.0", "1.1.0"):
        workshop.commit({})
        workshop.git.text("tag", "-a", f"{MODEL}@v{version}", "-m", "Registering")
    found = compare(workshop, f"{V}1.0.0", f"{V}1.1.0")
    nothing = (found.parameters, found.data, found.code.files, found.requirements)
    assert nothing == (None, None, None, None)
    assert found.same_package is None
    assert difference.text(found).count("not recorded") >= 8


def test_params_yaml_is_held_against_dvc_lock(workshop: Workshop) -> None:
    workshop.commit({"dvc.lock": pipeline("1.0.0")})
    one = workshop.register("1.0.0")
    (workshop.root / "dvc.lock").unlink()
    workshop.commit({"params.yaml": parameters("1.1.0", steps=7)})
    found = compare(workshop, one, workshop.register("1.1.0"))
    assert [str(change) for change in found.parameters or ()] == ["train.steps 100 → 7"]
    assert found.data is None


def test_a_version_and_itself(workshop: Workshop) -> None:
    model = workshop.build("1.0.0")
    found = compare(workshop, model, model)
    assert found.code.relation == "same"
    assert found.same_package is True
    assert (found.parameters, found.data, found.bump) == ((), (), None)


def test_other_tasks_are_refused_and_other_models_are_not(workshop: Workshop) -> None:
    own = workshop.build("1.0.0")
    commit = workshop.git.commit("HEAD")
    for name in ("recognition-arcface", "detection-yolov8"):
        model = ModelId.parse(f"{name}@v2.0.0")
        workshop.repository.add(
            lambda state, model=model: rules.register(
                state, model, commit, reason="", evidence={}, entry={"interface": INTERFACE}
            )
        )
    found = compare(workshop, own, "rec-arcface-v2.0.0")
    assert found.bump is None
    with pytest.raises(InputError, match=r"of recognition, det-yolov8-v2\.0\.0 of detection"):
        compare(workshop, own, "det-yolov8-v2.0.0")
    with pytest.raises(InputError, match="not registered"):
        compare(workshop, own, f"{V}9.0.0")


def test_a_broken_file_is_named(workshop: Workshop) -> None:
    one = workshop.build("1.0.0")
    workshop.commit({"dvc.lock": "a: [", "requirements.lock": "a==1"})
    with pytest.raises(ParamsError, match=r"dvc\.lock at commit"):
        compare(workshop, one, workshop.register("1.1.0"))


def test_json_is_plain_and_whole(workshop: Workshop) -> None:
    found = pair(workshop, {"interface": INTERFACE}, {"interface": INTERFACE | {"runtimes": []}})
    value = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert value["before"]["model_id"] == f"{V}1.0.0"
    assert value["parameters"] == [
        {"key": "train.steps", "parts": ["train", "steps"], "kind": "changed",
         "before": 100, "after": 240}
    ]  # fmt: skip
    assert value["bump"]["at_least"] == "major"
    assert value["code"]["relation"] == "after"


def test_words_of_others_do_not_steer_the_terminal(workshop: Workshop) -> None:
    workshop.commit({"src/a.py": "0"})
    one = workshop.register("1.0.0", tags=["\x1b[2J"], metrics={"a\x1b": 1})
    workshop.commit({"src/a.py": "1"}, "x\x1b]0;title\x07")
    two = workshop.register("1.1.0", created_at="\x1b[1m", interface={"a\x1b": "\x1b"})
    assert "\x1b" not in difference.text(compare(workshop, one, two))


# --- flat values ---------------------------------------------------------------------------

_LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4) | st.lists(st.integers(), max_size=2)
)  # fmt: skip
_NESTED = st.dictionaries(
    st.text(max_size=3),
    st.recursive(_LEAVES, lambda inner: st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_size=4,
)


def nest(flat: dict[tuple[str, ...], Any]) -> dict[str, Any]:
    """The inverse of `flatten`."""
    values: dict[str, Any] = {}
    for (*above, name), value in flat.items():
        place = values
        for part in above:
            place = place.setdefault(part, {})
        place[name] = value
    return values


@given(_NESTED)
def test_flat_values_are_the_nested_ones(values: dict[str, Any]) -> None:
    assert nest(flatten(values)) == values
    assert plain(values) == values


@given(_NESTED, _NESTED)
def test_changes_lead_from_one_to_the_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    old, new = flatten(before), flatten(after)
    patched = dict(old)
    for change in changes(old, new):
        assert change.kind == "added" or same(patched.pop(change.key), change.before)
        if change.kind != "removed":
            patched[change.key] = change.after
    assert patched == new
    kinds = {"added": "removed", "removed": "added", "changed": "changed"}
    assert [(c.key, kinds[c.kind], c.after, c.before) for c in changes(new, old)] == [
        (c.key, c.kind, c.before, c.after) for c in changes(old, new)
    ]


@given(_NESTED)
def test_nothing_differs_from_itself(values: dict[str, Any]) -> None:
    assert changes(flatten(values), flatten(values)) == ()
    assert recorded(values, values) in {(), None}


@given(st.text() | st.integers() | st.floats() | st.booleans() | st.none())
def test_values_are_shown_in_one_printable_line(value: Any) -> None:
    shown = short(value)
    assert 0 < len(shown) <= 60 or (isinstance(value, str) and not value.strip())
    assert shown.isprintable()
    assert one_line(str(value)).isprintable()


@pytest.mark.parametrize(
    ("a", "b", "equal"),
    [(1, 1.0, True), (1, True, False), (None, False, False), ("1", 1, False), ([1], [1], True)],
)
def test_equal_as_parameters(a: object, b: object, equal: bool) -> None:
    assert same(a, b) is equal


def test_a_key_may_hold_a_dot() -> None:
    found = changes(flatten({"a": {"b.c": 1}}), flatten({"a": {"b": {"c": 1}}}))
    assert [(change.key, change.kind) for change in found] == [
        (("a", "b", "c"), "added"), (("a", "b.c"), "removed"),
    ]  # fmt: skip
    assert summary(found) == "1 new, 1 gone"


def test_a_null_is_not_a_gap() -> None:
    (change,) = changes({("a",): None}, {("a",): 1})
    assert str(change) == "a null → 1"
    (change,) = changes({}, {("a",): None})
    assert str(change) == "a null (new)"


@pytest.mark.parametrize(
    ("size", "text"),
    [(None, ""), (0, "0 B"), (490, "490 B"), (1500, "1.5 kB"), (94_100_000, "94.1 MB"),
     (-2_000_000, "-2.0 MB"), (3_200_000_000, "3.2 GB")],
)  # fmt: skip
def test_sizes(size: int | None, text: str) -> None:
    assert size_text(size) == text


def test_pins() -> None:
    text = "# words\n--index-url x\nA==1.0 ; python<'3.12'\na==2.0  # why\nb>=3\nc==4 --hash=x\n"
    assert pins(text) == {("a",): "1.0 ; python<'3.12', 2.0", ("c",): "4"}


@pytest.mark.parametrize("facts", [None, [], "x", 5, {"a": {"b": 1}}, {"a": None}])
def test_facts_of_any_form_are_compared(facts: Any) -> None:
    assert metrics(facts, facts) is not None
    assert labels(facts, facts) == ()
    assert recorded(facts, None) is None


def test_the_levels_are_those_of_the_ruling() -> None:
    found = bump(f"{V}2.0.0", f"{V}1.0.0", {f"{V}1.0.0": INTERFACE, f"{V}2.0.0": INTERFACE})
    assert found is not None
    assert (found.older, found.newer, found.actual) == (f"{V}1.0.0", f"{V}2.0.0", "major")
    assert found.at_least == semver.rule(INTERFACE, INTERFACE, "no difference shown").level
