"""Which version production goes back to, and the event that records it."""

from __future__ import annotations

import pytest
from tests.unit.deployment.plans import (
    MODEL,
    beside,
    promote,
    roll_out,
    rolled_out,
    staged,
)
from tests.unit.registry.conftest import (
    DETECTOR,
    V1,
    V2,
    V3,
    Ledger,
    commit_of,
    deprecate,
    move,
    register,
)

from facemodels.deployment.rollback import Rollback, find_rollback, return_to
from facemodels.errors import InputError, NameFormatError, RuleError
from facemodels.names import ModelId
from facemodels.registry import audit


def promoted() -> Ledger:
    """V1 was in production, V2 is, V3 is in staging."""
    ledger = beside()
    ledger.add(promote(V2))
    return ledger


def test_a_version_on_its_way_is_taken_back_first() -> None:
    ledger = rolled_out()
    for version in (None, "1.0.0", "v1.0.0"):
        found = find_rollback(ledger.state, "recognition", version)
        assert found == Rollback(MODEL, to=V1, withdrawn=V2, taken_back=V2)
    event = ledger.add(found.proposal("it is slow"))
    assert (event.act, event.reason) == ("withdraw", "it is slow")


def test_without_a_rollout_production_goes_back_to_the_version_before() -> None:
    ledger = promoted()
    found = find_rollback(ledger.state, MODEL, None)
    assert found == Rollback(MODEL, to=V1, withdrawn=None, taken_back=V2)
    assert ledger.add(found.proposal("it is slow")).act == "rollback"
    assert ledger.state.production == {MODEL: V1}


def test_an_older_version_can_be_named_and_ends_a_rollout_with_production() -> None:
    ledger = promoted()
    ledger.add(promote(V3))
    assert find_rollback(ledger.state, "rec", "1.0.0").to == V1
    ledger.add(roll_out(V2))
    found = find_rollback(ledger.state, "rec", "1.0.0")
    assert found == Rollback(MODEL, to=V1, withdrawn=None, taken_back=V3)
    ledger.add(found.proposal("both are bad"))
    assert (ledger.state.production, ledger.state.rollouts) == ({MODEL: V1}, {})


@pytest.mark.parametrize("name", ["recognition", "rec", "facenet", MODEL])
def test_a_model_is_found_by_its_task_its_architecture_and_its_name(name: str) -> None:
    assert find_rollback(promoted().state, name, None).model == MODEL


@pytest.mark.parametrize("name", ["landmark", "landmarks", "lmk", "dlib", "landmark-dlib"])
def test_the_landmarks_go_by_all_their_names(name: str) -> None:
    models = "lmk-dlib-v1.0.0", "lmk-dlib-v1.0.1"
    ledger = staged(*models)
    for model in models:
        ledger.add(promote(model))
    assert find_rollback(ledger.state, name, None).to == models[0]


@pytest.mark.parametrize("name", ["detection", "", "net", "recognition-arcface", "V1"])
def test_a_model_that_is_not_in_production_is_named_with_those_that_are(name: str) -> None:
    with pytest.raises(InputError, match="in production") as refused:
        find_rollback(promoted().state, name, None)
    assert MODEL in refused.value.remedy


def test_of_two_models_of_a_type_one_has_to_be_named() -> None:
    ledger = promoted()
    for model in ("rec-arcface-v1.0.0", "rec-arcface-v1.1.0", DETECTOR):
        ledger.add(register(model, commit_of(model)))
        ledger.add(move(model, "staging"))
        ledger.add(promote(model))
    with pytest.raises(InputError, match="recognition-arcface, recognition-facenet"):
        find_rollback(ledger.state, "recognition", None)
    assert find_rollback(ledger.state, "arcface", None).to == "rec-arcface-v1.0.0"
    assert find_rollback(ledger.state, "facenet", None).to == V1


def test_of_two_variants_of_a_number_the_one_of_production_is_meant() -> None:
    """Both stand under one name; their ids differ."""
    names = ("1.0.0", "1.0.0-gpu", "1.1.0-gpu", "1.1.0")
    ledger = staged(*(f"rec-facenet-v{name}" for name in names))
    for name in names:
        ledger.add(promote(f"rec-facenet-v{name}"))
    assert find_rollback(ledger.state, "rec", "1.0.0").to == "rec-facenet-v1.0.0"
    ledger.add(promote("rec-facenet-v1.1.0-gpu"))
    assert find_rollback(ledger.state, "rec", "1.0.0").to == "rec-facenet-v1.0.0-gpu"


@pytest.mark.parametrize(
    ("version", "error", "words"),
    [
        ("1.1.0", InputError, "in production already"),
        ("9.9.9", InputError, "not registered"),
        ("2.0.0", RuleError, "never in production"),
        ("latest", NameFormatError, "not a version"),
    ],
)
def test_there_is_no_way_back_to_what_was_not_there(
    version: str, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words) as refused:
        find_rollback(promoted().state, "recognition", version)
    assert refused.type is error


def test_the_version_on_its_way_is_no_way_back_itself() -> None:
    with pytest.raises(RuleError, match="never in production"):
        find_rollback(rolled_out().state, "recognition", "1.1.0")


def test_the_first_version_has_nothing_before_it() -> None:
    with pytest.raises(RuleError, match="no version to go back to"):
        find_rollback(beside().state, "recognition", None)


def test_a_deprecated_version_is_no_way_back() -> None:
    ledger = promoted()
    ledger.add(deprecate(V1))
    for version in (None, "1.0.0"):
        with pytest.raises(RuleError, match=r"deprecated|no version to go back to"):
            find_rollback(ledger.state, "recognition", version)


def test_what_the_rules_refuse_is_refused_before_traffic_changes() -> None:
    """Galleries of the one embedding space cannot be used with the other, at night as by day."""
    ledger = Ledger()
    for model, space in ((V1, "a"), (V2, "b")):
        ledger.add(register(model, commit_of(model), interface={"embedding_space": space}))
        ledger.add(move(model, "staging"))
        ledger.add(promote(model, re_enrolment="in March"))
    with pytest.raises(RuleError, match="galleries become useless") as refused:
        find_rollback(ledger.state, "recognition", None)
    assert f"facemodels deploy --model-id {V1} --environment production" in refused.value.remedy


def test_the_event_that_brings_a_version_back_takes_further_keys_and_stays_as_it_is() -> None:
    ledger = promoted()
    record = {"verdict": {"errors": 0.2}, "retire": True}
    event = ledger.add(return_to(ModelId.parse(V1), reason="bad", record=record))
    assert event.record is not None
    assert event.record["verdict"] == {"errors": 0.2}
    assert audit.audit(ledger.events, ledger.head) == []
