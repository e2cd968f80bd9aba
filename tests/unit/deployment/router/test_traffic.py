"""Who gets the requests, whatever is ready and whatever was before."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.bounded import examples

from facemodels.deployment.desired import STRATEGIES, Desired, Rollout
from facemodels.deployment.router.traffic import SETTLE_S, Traffic, share_out

MODEL = "recognition-facenet"
IDS = tuple(f"rec-facenet-v{number}.0.0" for number in range(1, 6))
V1, V2, V3, V4, _ = IDS


def rollout(identity: str, strategy: str = "canary", percent: int = 10) -> Rollout:
    return Rollout(identity, strategy, percent, "tag", 0, "Test <t@x>", "a try")  # type: ignore[arg-type]


def wants(stable: str, beside: Rollout | None = None, warm: tuple[str, ...] = ()) -> Desired:
    return Desired(MODEL, stable, beside, warm, "tag", 0, "Test <t@x>", "as planned")


def test_all_go_to_the_one_version_that_there_is() -> None:
    assert share_out(wants(V1), {V1}, None) == Traffic(MODEL, V1, {V1: 100})


@pytest.mark.parametrize("strategy", ["canary", "progressive", "ab"])
@pytest.mark.parametrize("percent", [1, 10, 100])
def test_a_rollout_that_is_ready_gets_its_part(strategy: str, percent: int) -> None:
    found = share_out(wants(V1, rollout(V2, strategy, percent)), {V1, V2}, None)
    assert found == Traffic(MODEL, V1, {V1: 100 - percent, V2: percent}, strategy=strategy)


def test_a_shadow_gets_copies_and_no_answer_of_it_reaches_a_client() -> None:
    found = share_out(wants(V1, rollout(V2, "shadow", 30)), {V1, V2}, None)
    assert found == Traffic(MODEL, V1, {V1: 100}, shadow=V2, copies=30, strategy="shadow")


def test_blue_green_gets_nothing_before_it_gets_all() -> None:
    found = share_out(wants(V1, rollout(V2, "blue-green", 0)), {V1, V2}, None)
    assert (found.shares, found.shadow, found.strategy) == ({V1: 100}, "", "blue-green")


@pytest.mark.parametrize("strategy", STRATEGIES[1:])
def test_a_rollout_that_is_not_ready_gets_nothing(strategy: str) -> None:
    found = share_out(wants(V1, rollout(V2, strategy, 50)), {V1}, None)
    assert found == Traffic(MODEL, V1, {V1: 100})


def test_the_version_before_goes_on_until_the_new_one_is_ready() -> None:
    before = share_out(wants(V1), {V1}, None)
    desired = wants(V2, warm=(V1,))
    waiting = share_out(desired, {V1}, before)
    assert waiting.shares == {V1: 100}
    assert share_out(desired, {V1}, waiting).shares == {V1: 100}
    assert share_out(desired, {V1, V2}, waiting).shares == {V2: 100}


def test_who_served_goes_on_even_if_the_tags_name_him_no_more() -> None:
    before = Traffic(MODEL, V4, {V4: 100})
    assert share_out(wants(V2, warm=(V1,)), {V1, V4}, before).stable == V4


def test_after_a_restart_that_remembers_nothing_the_warm_version_stands_in() -> None:
    assert share_out(wants(V2, rollout(V3), (V1,)), {V1, V3}, None).shares == {V1: 100}


def test_a_rollout_waits_while_somebody_stands_in_for_production() -> None:
    """Compared with a third version it would be judged by the wrong one."""
    found = share_out(wants(V2, rollout(V3, "canary", 50), (V1,)), {V1, V3}, None)
    assert (found.shares, found.strategy) == ({V1: 100}, "")


def test_rather_the_version_on_its_way_than_nobody() -> None:
    assert share_out(wants(V1, rollout(V2)), {V2}, None).shares == {V2: 100}


def test_nobody_stands_in_whose_embeddings_match_no_gallery() -> None:
    """A request that fails is better than a person who is not recognised, or as another."""
    desired, spaces = wants(V2, warm=(V1,)), {V1: "a", V2: "b"}
    assert share_out(desired, {V1}, None, spaces).shares == {V2: 100}
    assert share_out(desired, {V1}, None, {V1: "b", V2: "b"}).shares == {V1: 100}


def test_who_served_goes_on_until_the_version_of_another_space_is_ready() -> None:
    """The galleries are still of his space: people are enrolled anew by the new version."""
    desired, spaces = wants(V2, warm=(V1,)), {V1: "a", V2: "b"}
    before = Traffic(MODEL, V1, {V1: 100})
    assert share_out(desired, {V1}, before, spaces).shares == {V1: 100}
    assert share_out(desired, {V1, V2}, before, spaces).shares == {V2: 100}


def test_where_nothing_is_ready_the_requests_go_to_whom_the_tags_name() -> None:
    found = share_out(wants(V1, rollout(V2)), set(), Traffic(MODEL, V3, {V3: 100}))
    assert found == Traffic(MODEL, V1, {V1: 100})


def test_a_version_that_dies_loses_its_share_to_the_one_beside_it() -> None:
    desired = wants(V1, rollout(V2, "canary", 40))
    both = share_out(desired, {V1, V2}, None)
    assert share_out(desired, {V1}, both).shares == {V1: 100}
    assert share_out(desired, {V2}, both).shares == {V2: 100}
    assert share_out(desired, {V1, V2}, share_out(desired, {V2}, both)) == both


def test_the_version_taken_back_stands_in_until_the_next_way_back_is_warm() -> None:
    desired, before = wants(V2, warm=(V1,)), Traffic(MODEL, V3, {V3: 100})
    decided = share_out(wants(V2, warm=(V3,)), {V2, V3}, before)  # its event is not there yet
    late = share_out(wants(V2, warm=(V3,)), {V2, V3}, decided, now=SETTLE_S)
    waiting = share_out(desired, {V2, V3}, late, now=SETTLE_S)
    assert (waiting.shares, waiting.stand_ins) == ({V2: 100}, (V3,))
    assert share_out(desired, {V3}, waiting, now=SETTLE_S).shares == {V3: 100}
    assert share_out(desired, {V1, V2, V3}, waiting, now=SETTLE_S).stand_ins == ()


def test_who_was_taken_over_from_stands_in_until_the_other_has_served_for_a_while() -> None:
    ready = {V1, V2, V3}
    before = Traffic(MODEL, V3, {V3: 100}, since=10.0)
    back = wants(V2, warm=(V1,))
    moved = share_out(back, ready, before, now=100.0)
    assert (moved.shares, moved.stand_ins, moved.since) == ({V2: 100}, (V3,), 100.0)
    later = share_out(back, ready, moved, now=99.0 + SETTLE_S)
    assert later == moved
    assert share_out(back, ready, later, now=100.0 + SETTLE_S).stand_ins == ()
    assert share_out(back, ready, later, now=1.0).stand_ins == ()  # after a boot


def test_who_was_taken_over_from_takes_over_where_the_other_dies() -> None:
    moved = share_out(wants(V2, warm=(V1,)), {V2, V3}, Traffic(MODEL, V3, {V3: 100}), now=1.0)
    assert share_out(wants(V2, warm=(V1,)), {V3}, moved, now=2.0).shares == {V3: 100}


@pytest.mark.parametrize(("strategy", "percent"), [("shadow", 50), ("blue-green", 0), ("ab", 0)])
def test_who_may_not_serve_answers_nobody_whatever_dies(strategy: str, percent: int) -> None:
    desired = wants(V1, rollout(V2, strategy, percent))
    both = share_out(desired, {V1, V2}, None)
    assert V2 not in share_out(desired, {V2}, both).shares
    assert share_out(wants(V1), {V1, V2}, both).stand_ins == ()  # taken back: it never served


def test_a_candidate_taken_back_ends_where_the_warm_version_can_stand_in() -> None:
    before = Traffic(MODEL, V2, {V2: 90, V3: 10})
    after = share_out(wants(V2, None, (V1,)), {V1, V2, V3}, before)
    assert after.stand_ins == (V3,)
    assert share_out(wants(V2, None, (V1,)), {V1, V2, V3}, after, now=SETTLE_S).stand_ins == ()


def test_where_nothing_else_is_to_start_nobody_stands_in() -> None:
    assert share_out(wants(V1), {V1, V2}, None).stand_ins == ()


def test_only_a_version_of_the_same_model_and_space_stands_in() -> None:
    desired, other = wants(V2, warm=(V1,)), "rec-arcface-v1.0.0"
    spaces = {V1: "a", V2: "a", V3: "b", V4: "a", other: "a"}
    before = Traffic(MODEL, V2, {V2: 60, V3: 10, V4: 30})
    assert share_out(desired, {V2, V3, V4, other}, before, spaces).stand_ins == (V4,)


some = st.sampled_from(IDS)


@st.composite
def desires(draw: st.DrawFn) -> Desired:
    stable = draw(some)
    others = st.sampled_from([identity for identity in IDS if identity != stable])
    beside = draw(
        st.none() | st.builds(rollout, others, st.sampled_from(STRATEGIES[1:]), st.integers(0, 100))
    )
    return wants(stable, beside, tuple(draw(st.lists(others, unique=True, max_size=3))))


befores = st.none() | st.builds(lambda identity: Traffic(MODEL, identity, {identity: 100}), some)
readies = st.sets(some)


@settings(max_examples=examples(500), deadline=None, derandomize=True)
@given(desires(), readies, befores)
def test_shares_sum_to_100_and_never_reach_whom_is_not_ready(
    desired: Desired, ready: set[str], before: Traffic | None
) -> None:
    found = share_out(desired, ready, before)
    assert sum(found.shares.values()) == 100
    assert all(0 <= share <= 100 for share in found.shares.values())
    assert found.stable in found.shares
    known = {*desired.ids, *((before.stable,) if before else ())}
    assert set(found.shares) <= known
    known -= set(desired.ids) - set(desired.may_serve)
    if ready & known:
        assert set(found.shares) <= ready
    else:
        assert found.shares == {desired.stable: 100}
    assert found.shadow == "" or found.shadow in ready
    assert (found.copies > 0) <= (found.shadow != "")
    assert found.shadow not in found.shares


@settings(max_examples=examples(500), deadline=None, derandomize=True)
@given(desires(), readies, befores)
def test_production_has_its_part_as_soon_as_it_is_ready_and_not_sooner(
    desired: Desired, ready: set[str], before: Traffic | None
) -> None:
    found = share_out(desired, ready, before)
    if desired.stable in ready:
        assert found.stable == desired.stable
        beside = desired.rollout
        part = beside.share if beside is not None and beside.id in ready else 0
        assert found.shares[found.stable] == 100 - part
    elif before is not None and before.stable in ready:
        assert found.shares == {before.stable: 100}


@settings(max_examples=examples(300), deadline=None, derandomize=True)
@given(desires(), readies, befores)
def test_looking_twice_changes_nothing(
    desired: Desired, ready: set[str], before: Traffic | None
) -> None:
    found = share_out(desired, ready, before)
    assert share_out(desired, ready, found) == found


@settings(max_examples=examples(300), deadline=None, derandomize=True)
@given(desires(), st.lists(readies, min_size=1, max_size=8), befores)
def test_while_anybody_can_answer_nobody_else_is_asked(
    desired: Desired, moments: list[set[str]], before: Traffic | None
) -> None:
    """Servers come and go; whoever shall serve is asked whenever one of them can answer."""
    assume(any(moments))
    now = before
    for ready in moments:
        now = share_out(desired, ready, now)
        if ready & set(desired.may_serve):
            assert set(now.shares) <= ready
