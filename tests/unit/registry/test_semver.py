from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.bounded import examples

from facemodels.errors import InputError, RuleError
from facemodels.names import Version
from facemodels.registry import semver
from facemodels.registry.semver import LEVELS, Accuracy, Level

small = st.integers(0, 3)
versions = st.builds(Version, small, small, small)
interfaces = st.fixed_dictionaries(
    {
        "architecture": st.sampled_from(["facenet", "arcface"]),
        "input_shape": st.sampled_from([[1, 3, 160, 160], [1, 3, 112, 112]]),
        "output_shape": st.sampled_from([[1, 512], [1, 128]]),
        "embedding_space": st.sampled_from(["a", "b"]),
        "runtimes": st.lists(st.sampled_from(["torch", "onnx"]), unique=True),
    }
)
accuracies = st.sampled_from(["better", "worse", "no difference shown"])


def level_by_the_guide(old: Mapping[str, Any], new: Mapping[str, Any], accuracy: str) -> Level:
    """The rule as the model guide says it, with none of the module's words."""
    for key in ("architecture", "input_shape", "output_shape", "embedding_space"):
        if old[key] != new[key]:
            return "major"
    if any(runtime not in new["runtimes"] for runtime in old["runtimes"]):
        return "major"
    more = any(runtime not in old["runtimes"] for runtime in new["runtimes"])
    return "minor" if more or accuracy == "better" else "patch"


def is_allowed(old: Version, new: Version, least: Level) -> bool:
    """Whether some legal sequence of steps would make a number as high in the right place."""
    one, other = (old.major, old.minor, old.patch), (new.major, new.minor, new.patch)
    if least == "major":
        return other[0] > one[0]
    if least == "minor":
        return other[:2] > one[:2]
    return other > one


@settings(max_examples=examples(500), deadline=None, derandomize=True)
@given(versions, versions, interfaces, interfaces, accuracies, st.sampled_from(["", "slower GPU"]))
def test_a_number_passes_exactly_when_the_guide_allows_it(
    old: Version, new: Version, before: Mapping[str, Any], after: Mapping[str, Any],
    accuracy: Accuracy, accept: str,
) -> None:  # fmt: skip
    ruling = semver.rule(before, after, accuracy)
    least = level_by_the_guide(before, after, accuracy)
    assert ruling.level == least
    assert ruling.reasons
    allowed = is_allowed(old, new, least) and (accuracy != "worse" or bool(accept))
    if allowed:
        semver.check(old, new, ruling, accept_regression=accept)
        return
    with pytest.raises((InputError, RuleError)) as refused:
        semver.check(old, new, ruling, accept_regression=accept)
    assert refused.value.remedy
    assert isinstance(refused.value, InputError) == (new <= old)


@given(versions, st.sampled_from(LEVELS))
def test_a_bump_is_the_smallest_number_of_its_level(old: Version, level: Level) -> None:
    new = semver.bump(old, level)
    assert semver.level_between(old, new) == level
    assert is_allowed(old, new, level)
    numbers = [Version(a, b, c) for a in range(5) for b in range(5) for c in range(5)]
    assert not any(is_allowed(old, other, level) for other in numbers if other < new)


@given(interfaces, accuracies)
def test_the_same_interface_never_asks_for_more_than_minor(
    interface: Mapping[str, Any], accuracy: Accuracy
) -> None:
    assert semver.rule(interface, interface, accuracy).level != "major"


def test_a_refusal_says_what_asks_for_the_bump_and_which_number_would_do() -> None:
    old = {"architecture": "facenet", "embedding_space": "a", "runtimes": ["torch"]}
    new = {"architecture": "facenet", "embedding_space": "b", "runtimes": ["torch"]}
    ruling = semver.rule(old, new, "better")
    with pytest.raises(RuleError, match=r"embedding space a → b.*Use 3\.0\.0 or more"):
        semver.check(Version(2, 1, 3), Version(2, 2, 0), ruling)


def test_a_version_of_gto_without_an_interface_asks_for_major_when_one_is_known() -> None:
    assert semver.rule({}, {"architecture": "facenet"}, "better").level == "major"
    assert semver.rule({}, {}, "no difference shown").level == "patch"
