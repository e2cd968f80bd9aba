"""Killed before any git command, or in the middle of a push: done or not done, and no more."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from facemodels.errors import FacemodelsError, InputError, RuleError, ToolError
from facemodels.registry.proposals import Proposal
from tests.bounded import STRIDES, bounded, points

from .site import (
    Clone,
    Killed,
    RegistrySite,
    assert_clean,
    by_the_book,
    move,
    register,
    retire,
    version,
)

ONE, TWO = version("rec", 1), version("rec", 2)
OTHER = version("det", 1)
Copies = Callable[[RegistrySite], RegistrySite]

ACTS: dict[str, Callable[[Clone], Proposal]] = {
    "register": lambda c: register(version("rec", 3), c.commit(3)),
    "promote to staging": lambda c: move(version("rec", 0), "staging"),
    "promote to production": lambda c: move(version("rec", 4), "production"),
    "rollback": lambda c: move(ONE, "production"),
    "deprecate": lambda c: move(ONE, "deprecated"),
    "retire": lambda c: retire(TWO),
}


def _kill() -> None:
    raise Killed


def _history(clone: Clone) -> None:
    """1.0.2 is in production, 1.0.1 was; 1.0.0 is new and 1.0.4 is in staging."""
    for number in (1, 2, 0, 4):
        clone.add(register(version("rec", number), clone.commit(number)))
    for model in (ONE, TWO, version("rec", 4)):
        clone.add(move(model, "staging"))
    clone.add(move(ONE, "production"))
    clone.add(move(TWO, "production"))


@pytest.fixture(params=["origin", ""], ids=["remote", "no remote"])
def history(request: pytest.FixtureRequest, site: RegistrySite) -> tuple[RegistrySite, str]:
    _history(Clone(site.clone("one").folder, remote=request.param))
    return site, request.param


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("name", bounded(ACTS, ("register", "promote to production")))
def test_killed_before_any_git_command_is_done_or_not_and_a_retry_works(
    history: tuple[RegistrySite, str], sites: Copies, name: str, stride: int
) -> None:
    original, remote = history
    trial = Clone(sites(original).clone("one").folder, remote=remote)
    done = trial.add(ACTS[name](trial))
    outcomes = []
    for number, index in enumerate(points(len(trial.commands), stride)):
        here = sites(original)
        one = Clone(here.clone("one").folder, remote=remote)
        deciding = here.refs if remote else one.refs
        before = deciding()
        plan = ACTS[name](one)
        one.reset({index: _kill})
        with pytest.raises(Killed):
            one.add(plan)
        after = deciding()
        new = set(after) - set(before)
        assert new in (set(), {f"refs/tags/{done.tag}"})
        assert one.findings() == []
        outcomes.append(bool(new))
        # Somebody else, or the same person again: the act is possible exactly if it is not done.
        again = here.clone("two") if remote and number % 2 else one
        again.reset()
        if new:
            with pytest.raises((InputError, RuleError)):
                again.add(plan)
        else:
            assert again.add(plan).tag == done.tag
        assert by_the_book(again.state())[done.record["model_id"]] == done.record["status"]  # type: ignore[index]
        one.add(register(OTHER, one.commit(1)))
        if remote:
            here.assert_agree(one, here.clone("two"))
        assert one.findings() == []
        assert_clean(one.folder)
    # Not done up to some command, done after it.
    assert outcomes == sorted(outcomes)
    assert outcomes[0] is False
    assert outcomes[-1] is True


def test_killed_at_any_git_command_of_a_sync_leaves_a_clone_that_syncs(
    site: RegistrySite, sites: Copies
) -> None:
    _history(site.clone("one"))
    trial = sites(site).clone("two")
    trial.sync()
    assert len(trial.commands) >= 6
    for index in range(len(trial.commands)):
        here = sites(site)
        two = here.clone("two")
        two.reset({index: _kill})
        with pytest.raises(Killed):
            two.sync()
        assert two.findings() == []
        two.reset()
        if index % 2:
            two.sync()
        else:
            two.add(register(OTHER, two.commit(1)))
        here.assert_agree(two, here.clone("one"))


@pytest.mark.parametrize("stride", STRIDES)
def test_killed_at_any_git_command_of_publishing_leaves_a_clone_that_publishes(
    site: RegistrySite, sites: Copies, stride: int
) -> None:
    _history(site.alone("one"))
    trial = sites(site).clone("one")
    trial.sync(publish=True)
    for index in points(len(trial.commands), stride):
        here = sites(site)
        one = here.clone("one")
        one.reset({index: _kill})
        with pytest.raises(Killed):
            one.sync(publish=True)
        one.reset()
        one.sync(publish=True)
        one.add(register(OTHER, one.commit(1)))
        here.assert_agree(one, here.clone("two"))


def test_killed_between_push_and_own_ref_is_seen_after_a_plain_fetch(site: RegistrySite) -> None:
    one, two = site.clone("one"), site.clone("two")
    one.add(register(ONE, one.commit(1)))
    two.sync()
    one.reset()
    trial = Clone(one.folder)
    trial.add(move(ONE, "staging"))
    last = len(trial.commands)
    one.reset({last - 2: _kill})
    with pytest.raises(Killed):
        one.add(register(TWO, one.commit(2)))
    assert one.commands[-2][0] == "push"
    assert str(TWO) not in one.statuses()
    one.git("fetch", "--quiet", "--tags")
    assert one.statuses()[str(TWO)] == "development"
    assert one.findings() == []
    site.assert_sound(one, two)


# --- the server is killed -------------------------------------------------------------------

# git calls `reference-transaction` with the refs locked ("prepared") and after it has written
# them ("committed"). Its parent is the receive-pack of the push.
_DIE = 'cat > /dev/null; test "$1" != {when} || kill -9 $PPID'


def test_server_killed_after_it_took_the_push_is_an_event_that_is_done(site: RegistrySite) -> None:
    one, two = site.clone("one"), site.clone("two")
    one.add(register(ONE, one.commit(1)))
    site.hook("reference-transaction", _DIE.format(when="committed"))
    event = one.add(move(ONE, "staging"))
    assert f"refs/tags/{event.tag}" in site.refs()
    (site.origin / "hooks" / "reference-transaction").unlink()
    site.assert_sound(one, two)
    assert two.statuses() == {str(ONE): "staging"}


def test_server_killed_with_its_refs_locked_is_an_error_that_names_the_lock(
    site: RegistrySite,
) -> None:
    one, two = site.clone("one"), site.clone("two")
    one.add(register(ONE, one.commit(1)))
    before, own = site.refs(), one.refs()
    site.hook("reference-transaction", _DIE.format(when="prepared"))
    with pytest.raises(ToolError, match="origin did not take the tag recognition-facenet#staging"):
        one.add(move(ONE, "staging"))
    (site.origin / "hooks" / "reference-transaction").unlink()
    assert site.refs() == before
    assert one.refs() == own
    left = sorted(site.origin.rglob("*.lock"))
    assert left
    with pytest.raises(ToolError, match=r"(?s)\.lock.*remove the lock file"):
        two.add(move(ONE, "staging"))
    for path in left:
        path.unlink()
    one.add(move(ONE, "staging"))
    site.assert_sound(one, two)


def test_client_killed_while_the_server_works_is_done_and_its_clone_recovers(
    site: RegistrySite,
) -> None:
    """The client's `git push` is killed by the server's hook: done, and nobody told us."""
    one, two = site.clone("one"), site.clone("two")
    one.add(register(ONE, one.commit(1)))
    # receive-pack's parent is `git push`, or the shell that it started it with.
    site.hook("post-receive", "kill -9 $(awk '{print $4}' /proc/$PPID/stat); cat > /dev/null")
    one.reset()
    try:
        one.add(move(ONE, "staging"))
    except FacemodelsError as error:
        pytest.fail(f"the push was done: {error}")
    (site.origin / "hooks" / "post-receive").unlink()
    site.assert_sound(one, two)
    assert one.statuses() == {str(ONE): "staging"}
