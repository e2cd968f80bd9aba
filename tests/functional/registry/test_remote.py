"""A remote that fails, refuses, lies or was tampered with: a clear error, and nothing changed."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from facemodels.cli.main import main
from facemodels.errors import InputError, IntegrityError, ToolError
from facemodels.git import Git, GitError
from facemodels.registry.policy import RegistryPolicy
from facemodels.registry.reading import HEAD
from facemodels.registry.remote import read_clock
from facemodels.registry.tag_store import TagStore

from .site import CLOCK, Clone, RegistrySite, git, move, refs, register, retire, version

ONE, TWO, THREE = (version("rec", number) for number in (1, 2, 3))


@pytest.fixture
def one(site: RegistrySite) -> Clone:
    """Has registered a version and put it into staging."""
    clone = site.clone("one")
    clone.add(register(ONE, clone.commit(1)))
    clone.add(move(ONE, "staging"))
    return clone


def _refused(site: RegistrySite, clone: Clone, match: str) -> None:
    """A promotion ends with this error; then, with the hooks gone, it works."""
    before, own = site.refs(), clone.refs()
    with pytest.raises(ToolError, match=match) as caught:
        clone.add(move(ONE, "production"))
    assert caught.value.remedy
    assert site.refs() == before
    assert clone.refs() == own


def test_remote_out_of_reach_is_a_clear_error_and_changes_nothing(
    site: RegistrySite, one: Clone
) -> None:
    own = one.refs()
    away = site.origin.rename(site.folder / "away.git")
    for act in (one.sync, lambda: one.add(move(ONE, "production"))):
        with pytest.raises(ToolError, match=r"origin\.git' does not appear to be a git repository"):
            act()
    assert one.refs() == own
    assert one.statuses() == {str(ONE): "staging"}  # reading needs no remote
    away.rename(site.origin)
    one.add(move(ONE, "production"))
    site.assert_sound(one)


def test_remote_lost_before_the_push_is_an_error_that_says_what_is_not_known(
    site: RegistrySite, one: Clone
) -> None:
    trial = Clone(site.copy(site.folder / "trial").clone("one").folder)
    trial.add(move(ONE, "production"))
    push = next(index for index, words in enumerate(trial.commands) if words[0] == "push")
    own = one.refs()
    away = site.folder / "away.git"
    one.reset({push: lambda: site.origin.rename(away) and None})
    with pytest.raises(ToolError, match=r"(?s)may be done or not.*registry sync"):
        one.add(move(ONE, "production"))
    assert one.refs() == own
    away.rename(site.origin)
    shutil.rmtree(site.folder / "trial")
    one.add(move(ONE, "production"))
    site.assert_sound(one)


def test_hook_that_rejects_the_push_is_quoted(site: RegistrySite, one: Clone) -> None:
    site.hook("pre-receive", "echo 'releases are frozen' >&2; exit 1")
    _refused(site, one, r"(?s)did not take the tag recognition-facenet#production#2.*are frozen")
    (site.origin / "hooks" / "pre-receive").unlink()
    one.add(move(ONE, "production"))
    site.assert_sound(one)


@pytest.mark.parametrize("ref", ["refs/tags/*", "refs/facemodels/*"])
def test_hook_that_rejects_one_of_the_two_refs_leaves_neither(
    site: RegistrySite, one: Clone, ref: str
) -> None:
    site.hook("update", f'case "$1" in {ref}) echo "no $1" >&2; exit 1;; esac')
    _refused(site, one, f"(?s)did not take the tag.*no {ref[:-1]}")
    (site.origin / "hooks" / "update").unlink()
    one.add(move(ONE, "production"))
    site.assert_sound(one)


def test_remote_without_atomic_pushes_is_refused(site: RegistrySite, one: Clone) -> None:
    git(site.origin, "config", "receive.advertiseAtomic", "false")
    _refused(site, one, "does not support --atomic push")


def test_a_head_that_the_host_hides_is_no_deletion(site: RegistrySite, one: Clone) -> None:
    git(site.origin, "config", "transfer.hideRefs", "refs/facemodels")
    with pytest.raises(IntegrityError, match=r"shows no refs/facemodels/head.*hideRefs"):
        one.add(move(ONE, "production"))


def test_a_push_url_that_leads_elsewhere_is_named(site: RegistrySite, one: Clone) -> None:
    git(site.folder, "init", "--quiet", "--bare", "elsewhere.git")
    one.git("config", "remote.origin.pushurl", "../elsewhere.git")
    with pytest.raises(IntegrityError, match=r"pushes to \.\./elsewhere\.git.*set-url --push"):
        one.add(move(ONE, "production"))


class _Deaf(Git):
    """Every push is done, and reported as failed."""

    def _run(self, arguments: Sequence[str], *rest: object) -> object:  # type: ignore[override]
        done = super()._run(arguments, *rest)  # type: ignore[arg-type]
        if arguments[0] == "push":
            self.after()
            raise GitError(arguments, "fatal: the remote end hung up unexpectedly")
        return done

    after: Callable[[], None] = staticmethod(lambda: None)


def _deaf(clone: Clone) -> tuple[TagStore, _Deaf]:
    told = _Deaf(clone.folder)
    return TagStore(told, RegistryPolicy(), clock=lambda: CLOCK), told


def test_push_that_is_done_though_git_says_failed_is_done(site: RegistrySite, one: Clone) -> None:
    registry, _ = _deaf(one)
    event = registry.add(move(ONE, "production"))
    assert site.refs()[f"refs/tags/{event.tag}"] == event.object
    site.assert_sound(one)


def test_push_that_is_done_though_git_says_failed_is_done_even_if_others_went_on(
    site: RegistrySite, one: Clone
) -> None:
    two = site.clone("two")
    registry, told = _deaf(one)

    def others() -> None:
        two.add(register(TWO, two.commit(2)))

    told.after = others
    event = registry.add(move(ONE, "production"))
    assert event.tag == "recognition-facenet#production#2"
    site.assert_sound(one, two)


def test_hook_that_fails_after_the_push_changes_nothing_of_its_success(
    site: RegistrySite, one: Clone
) -> None:
    site.hook("post-receive", "exit 1")
    one.add(move(ONE, "production"))
    site.assert_sound(one)


@pytest.mark.parametrize("ref", [HEAD, "refs/tags/recognition-facenet#production#2"])
def test_stale_lock_in_the_clone_is_named_and_the_done_event_is_not_lost(
    site: RegistrySite, one: Clone, ref: str
) -> None:
    lock = one.folder / ".git" / f"{ref}.lock"
    lock.touch()
    with pytest.raises(ToolError, match=r"(?s)production#2 is done on origin.*\.lock.*sync") as e:
        one.add(move(ONE, "production"))
    assert "remove the lock file" in e.value.remedy
    assert "refs/tags/recognition-facenet#production#2" in site.refs()
    lock.unlink()
    site.assert_sound(one)
    assert one.statuses() == {str(ONE): "production"}


@pytest.mark.parametrize("ref", [HEAD, "refs/tags/recognition-facenet@v1.0.1"])
def test_stale_lock_in_a_clone_without_remote_is_named_and_nothing_is_done(
    site: RegistrySite, ref: str
) -> None:
    one = site.alone("one")
    lock = one.folder / ".git" / f"{ref}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.touch()
    with pytest.raises(ToolError, match=r"(?s)\.lock.*remove the lock file"):
        one.add(register(ONE, one.commit(1)))
    assert one.refs() == {}
    lock.unlink()
    one.add(register(ONE, one.commit(1)))
    assert one.findings() == []


def test_users_own_push_configuration_sends_nothing_else(
    site: RegistrySite, one: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_COMMITTER_DATE", f"@{int(CLOCK)} +0000")
    for key, value in (
        ("push.followTags", "true"), ("push.pushOption", "ci.skip"),
        ("push.recurseSubmodules", "only"), ("remote.origin.mirror", "true"),
    ):  # fmt: skip
        one.git("config", key, value)  # each would refuse the event, or keep it here in silence
    one.git("tag", "--annotate", "--message", "mine", "my-own", one.commit(0))
    one.git("tag", "--annotate", "--message", "mine", "recognition-facenet@v9.0.0", one.commit(0))
    before = set(site.refs())
    event = one.add(move(ONE, "production"))
    assert set(site.refs()) - before == {f"refs/tags/{event.tag}"}


# --- a remote added later -------------------------------------------------------------------


@pytest.mark.parametrize("recorded", [True, False], ids=["an event", "a tag of GTO's shape"])
def test_a_tag_dated_far_ahead_stops_nobody(
    site: RegistrySite, one: Clone, recorded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = CLOCK + 3 * 24 * 3600
    if recorded:
        wrong = TagStore(Git(one.folder), RegistryPolicy(), clock=lambda: ahead)
        wrong.add(move(ONE, "production"))
    else:
        monkeypatch.setenv("GIT_COMMITTER_DATE", f"@{int(ahead)} +0000")
        one.git("tag", "--annotate", "-m", "x", "recognition-facenet#other#1", one.commit(0))
        monkeypatch.delenv("GIT_COMMITTER_DATE")
    two = site.clone("two")
    event = two.add(register(TWO, two.commit(2)))
    back = one.add(move(ONE, "deprecated") if not recorded else retire(ONE))
    assert event.time > CLOCK + (3 * 24 * 3600 if recorded else 0)
    assert back.time > ahead
    assert two.sync() == 1
    assert two.findings() == []


@pytest.mark.parametrize("days", [2, -400])
def test_a_clock_far_from_the_remotes_makes_no_event_but_an_emergency(
    site: RegistrySite, one: Clone, days: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facemodels.registry.dates.read_clock", read_clock)

    def store(off_s: float) -> TagStore:
        now = time.time() + off_s
        return TagStore(Git(one.folder), RegistryPolicy(), clock=lambda: now)

    wrong, before = store(days * 24 * 3600.0), site.refs()
    for act in (wrong.rehearse, lambda: wrong.add(move(ONE, "production"))):
        with pytest.raises(ToolError, match=r"clock is wrong: it says .* and the one of origin"):
            act()
    assert site.refs() == before
    store(3600.0).add(move(ONE, "production"))
    assert abs(wrong.add(retire(ONE)).time - time.time()) < 2 * 3600  # the remote's date
    assert one.findings() == []


# --- which remote, and by which URL ----------------------------------------------------------


def test_an_event_goes_to_the_one_remote_whatever_its_name(site: RegistrySite, one: Clone) -> None:
    one.git("remote", "rename", "origin", "upstream")
    event = one.add(move(ONE, "production"))
    assert f"refs/tags/{event.tag}" in site.refs()
    one.git("remote", "add", "fork", "../fork.git")
    with pytest.raises(InputError, match="this clone has fork, upstream"):
        one.add(move(ONE, "deprecated"))
    Clone(one.folder, remote="upstream").add(retire(ONE))


def test_a_clone_that_lost_its_remote_says_so_and_local_is_asked_for(
    site: RegistrySite, one: Clone
) -> None:
    one.git("remote", "remove", "origin")
    own = one.refs()
    with pytest.raises(ToolError, match=r"no Git remote.*--local"):
        one.add(move(ONE, "production"))
    assert one.refs() == own
    local = TagStore(Git(one.folder), RegistryPolicy(), clock=lambda: CLOCK, local=True)
    local.add(move(ONE, "production"))
    one.git("remote", "add", "origin", "../origin.git")
    with pytest.raises(IntegrityError, match="sync --publish"):
        one.sync()
    one.sync(publish=True)
    assert one.refs() == site.refs()


def test_every_push_url_gets_the_event_or_the_one_that_did_not_is_named(
    site: RegistrySite, one: Clone
) -> None:
    copy = site.folder / "copy.git"
    git(site.folder, "clone", "--quiet", "--mirror", "origin.git", "copy.git")
    for url in ("../origin.git", "../copy.git"):
        one.git("config", "--add", "remote.origin.pushurl", url)
    one.add(move(ONE, "production"))
    assert refs(copy) == site.refs()
    away = copy.rename(site.folder / "away.git")
    with pytest.raises(ToolError, match=r"the other push URL of origin, \.\./copy\.git, has not"):
        one.add(register(TWO, one.commit(2)))
    away.rename(copy)
    one.sync(publish=True)
    assert refs(copy) == site.refs()


def test_a_stale_mirror_to_fetch_from_is_no_accusation(site: RegistrySite, one: Clone) -> None:
    git(site.folder, "clone", "--quiet", "--mirror", "origin.git", "mirror.git")
    one.git("config", "remote.origin.url", "../mirror.git")
    one.git("config", "remote.origin.pushurl", "../origin.git")
    one.add(move(ONE, "production"))
    assert one.sync() == 0
    away = site.origin.rename(site.folder / "away.git")  # a reader who may not push
    assert one.sync() == 0
    with pytest.raises(ToolError):
        one.add(retire(ONE))
    away.rename(site.origin)


# --- hooks, and what they hand on ---------------------------------------------------------------


def test_hooks_of_the_user_neither_run_nor_mislead(
    site: RegistrySite, one: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = one.folder / ".git/hooks/pre-push"
    hook.write_text("#!/bin/sh\necho no >&2; exit 1\n")
    hook.chmod(0o755)
    other = site.folder / "other"
    git(site.folder, "init", "--quiet", "other")
    for name, value in (("DIR", ".git"), ("OBJECT_DIRECTORY", ".git/objects"),
                        ("INDEX_FILE", ".git/index"), ("WORK_TREE", ".")):  # fmt: skip
        monkeypatch.setenv(f"GIT_{name}", str(other / value))
    one.add(move(ONE, "production"))
    assert one.statuses() == {str(ONE): "production"}


# --- who makes it -------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["gitdir", "onbranch", "worktree"])
def test_the_tagger_is_who_git_says_in_this_clone(
    site: RegistrySite, one: Clone, where: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("NAME", "EMAIL"):
        monkeypatch.delenv(f"GIT_COMMITTER_{name}")
    one.git("config", "--global", "user.name", "Somebody")
    one.git("config", "--global", "user.email", "private@example.invalid")
    work = tmp_path / "work.cfg"
    work.write_text("[user]\n\temail = work@example.invalid\n")
    if where == "worktree":
        one.git("config", "extensions.worktreeConfig", "true")
        one.git("config", "--worktree", "user.email", "work@example.invalid")
    else:
        condition = f"gitdir:{one.folder}/" if where == "gitdir" else "onbranch:main"
        one.git("config", "--global", f"includeIf.{condition}.path", str(work))
    event = one.add(move(ONE, "production"))
    assert event.tagger == "Somebody <work@example.invalid>"
    assert one.findings() == []


def test_a_name_that_git_does_not_know_or_that_is_no_utf8_is_told(
    site: RegistrySite, one: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NAME", "EMAIL"):
        monkeypatch.delenv(f"GIT_COMMITTER_{name}")
    one.git("config", "user.useConfigOnly", "true")
    with pytest.raises(InputError, match=r"does not know who you are.*user\.email"):
        one.registry.rehearse()
    one.git("config", "user.email", "me@example.invalid")
    with (one.folder / ".git/config").open("ab") as file:
        file.write("[user]\n\tname = J\u00fcrgen\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"no UTF-8.*user\.name"):
        one.add(move(ONE, "production"))


def test_events_made_before_there_was_a_remote_are_told_and_published(site: RegistrySite) -> None:
    alone = site.alone("one")
    tags = [alone.add(register(model, alone.commit(n))).tag for n, model in ((1, ONE), (2, TWO))]
    one, two = Clone(alone.folder), site.clone("two")
    for act in (one.sync, lambda: one.add(move(ONE, "staging"))):
        with pytest.raises(IntegrityError, match=r"sync --publish") as caught:
            act()
        assert caught.value.missing == tuple(tags)
    assert site.refs() == {}
    one.sync(publish=True)
    one.add(move(ONE, "staging"))
    site.assert_sound(one, two)


def test_two_clones_with_events_of_their_own_cannot_both_publish(site: RegistrySite) -> None:
    first, second = site.alone("one"), site.alone("two")
    first.add(register(ONE, first.commit(1)))
    second.add(register(TWO, second.commit(2)))
    Clone(first.folder).sync(publish=True)
    before = site.refs()
    with pytest.raises(IntegrityError, match="does not continue") as caught:
        Clone(second.folder).sync(publish=True)
    assert caught.value.missing == ("recognition-facenet@v1.0.2",)
    assert caught.value.extra == ("recognition-facenet@v1.0.1",)
    assert site.refs() == before


# --- partial views, and what a checkout or a fetch breaks ------------------------------------------


def _registry(folder: Path, *words: str) -> Result:
    with contextlib.chdir(folder):
        return CliRunner().invoke(main, ["registry", *words])


@pytest.mark.parametrize(
    "options", [("--depth=1",), ("--no-tags",), ("--depth=1", "--no-tags"), ("--single-branch",)]
)
def test_a_partial_clone_says_what_is_missing_and_a_sync_brings_it(
    site: RegistrySite, one: Clone, options: tuple[str, ...]
) -> None:
    url = f"file://{site.origin}"
    git(site.folder, "clone", "--quiet", "--branch=main", *options, url, "partial")
    partial = Clone(site.folder / "partial")
    listed = _registry(partial.folder, "list")
    assert listed.exit_code == 1
    assert "of the 2 events on origin are not in this clone" in str(listed.output)
    audited = _registry(partial.folder, "audit", "--offline")
    assert audited.exit_code == 3
    assert "incomplete" in audited.output
    assert _registry(partial.folder, "sync").exit_code == 0
    assert _registry(partial.folder, "list").exit_code == 0
    whole = _registry(partial.folder, "audit")
    assert "2 events, each where it was signed off" in whole.output


def test_a_whole_clone_asks_no_remote_to_be_listed(site: RegistrySite, one: Clone) -> None:
    site.origin.rename(site.folder / "away.git")
    listed = _registry(one.folder, "list")
    assert (listed.exit_code, listed.output.count("Warning")) == (0, 0)
    told = _registry(one.folder, "check-ref", f"refs/tags/{STAGED}")
    assert told.output == f"promote {ONE} staging\n"
    assert _registry(one.folder, "check-ref", "refs/heads/main").exit_code == 2
    assert f"Did you mean {ONE}?" in str(
        _registry(one.folder, "info", "--model-id", "rec-facenet-v1.0.9").output
    )
    assert "Did you mean history?" in _registry(one.folder, "histroy").output


def test_tags_that_a_checkout_made_lightweight_are_named_and_repaired(
    site: RegistrySite, one: Clone
) -> None:
    two = site.clone("two")
    for clone in (one, two):  # one that had seen the event, and one that never did
        clone.git("fetch", "--quiet", "--tags")
        clone.git("tag", "--force", REGISTERED, f"{REGISTERED}^{{commit}}")
        with pytest.raises(IntegrityError, match=r"lightweight ones here.*registry repair"):
            clone.sync()
        listed = _registry(clone.folder, "list", "--name", "recognition-facenet")
        assert (listed.exit_code, "registry repair" in listed.output) == (1, True)
        told = _registry(clone.folder, "repair", "--dry-run")
        assert REGISTERED in told.output
        assert clone.refs() != site.refs()
        assert _registry(clone.folder, "repair").exit_code == 0
    site.assert_sound(one, two)


def test_a_tag_that_was_moved_in_this_clone_accuses_nobody_and_comes_back(
    site: RegistrySite, one: Clone
) -> None:
    one.add(move(ONE, "production"))
    one.git("tag", "--force", "--annotate", "--message", "mine", REGISTERED, "HEAD")
    with pytest.raises(IntegrityError, match=r"of this clone were moved.*registry repair"):
        one.sync()
    assert "was moved here" in _registry(one.folder, "repair").output
    site.assert_sound(one)


def test_unpublished_tags_that_a_fetch_pruned_come_back(site: RegistrySite, one: Clone) -> None:
    local = TagStore(Git(one.folder), RegistryPolicy(), clock=lambda: CLOCK, local=True)
    local.add(move(ONE, "production"))
    one.git("fetch", "--quiet", "--prune", "--prune-tags", "origin")
    with pytest.raises(IntegrityError, match=r"pruneTags.*registry repair"):
        local.add(retire(ONE))
    assert "was deleted here" in _registry(one.folder, "repair").output
    one.sync(publish=True)
    site.assert_sound(one)


def test_an_event_that_names_another_maker_is_vouched_for(site: RegistrySite, one: Clone) -> None:
    class Old(Git):
        """Resolves the tagger once more where the tag is made, as versions before this did."""

        def text(self, *words: str, **options: Any) -> str:
            if words[0] == "tag":
                options["environment"] = {**options["environment"], "GIT_COMMITTER_NAME": "Else"}
            return super().text(*words, **options)

    TagStore(Old(one.folder), RegistryPolicy(), clock=lambda: CLOCK).add(move(ONE, "production"))
    one.add(register(TWO, one.commit(2)))
    [finding] = one.findings()
    assert (finding.kind, finding.tag) == ("forged", "recognition-facenet#production#2")
    assert _registry(one.folder, "repair", "--vouch", "-m", "It was me.").exit_code == 0
    assert one.findings() == []
    one.git(
        "tag", "--force", "--annotate", "-m", "x", "recognition-facenet#production#2", one.commit(3)
    )
    assert {finding.kind for finding in one.findings()} >= {"inserted"}


def test_a_registration_is_annotated_and_withdrawn_by_events(
    site: RegistrySite, one: Clone
) -> None:
    identity = str(TWO)
    one.add(register(TWO, one.commit(2)))
    for words, code in (
        (("annotate", "--model-id", identity, "--tag", "edge", "--description", "small"), 0),
        (("withdraw", "--model-id", str(ONE), "-m", "mistake"), 5),
        (("withdraw", "--model-id", identity, "-m", "mistake"), 0),
    ):
        listed = _registry(one.folder, "list", "--tag", "edge").output
        assert (identity in listed) == (words[0] == "withdraw")
        done = _registry(one.folder, *words)
        assert done.exit_code == code, words
        told = "is labelled edge and has another description" in done.output
        assert told == (words[0] == "annotate")
    assert list(one.statuses()) == [str(ONE)]
    assert "@v1.0.2!" in " ".join(one.refs())
    site.assert_sound(one)
    assert "1.0.2" not in one.gto("show")


# --- tampering ------------------------------------------------------------------------------


def _both(site: RegistrySite, one: Clone) -> tuple[Clone, Clone]:
    two = site.clone("two")
    two.sync()
    return one, two


REGISTERED = "recognition-facenet@v1.0.1"
STAGED = "recognition-facenet#staging#1"


@pytest.mark.parametrize("tag", [REGISTERED, STAGED])
def test_tag_deleted_on_the_remote_is_named_and_publishing_heals(
    site: RegistrySite, one: Clone, tag: str
) -> None:
    one, two = _both(site, one)
    git(site.origin, "tag", "--delete", tag)
    for clone in (one, two):
        with pytest.raises(IntegrityError, match=f"missing: {tag}"):
            clone.sync()
    with pytest.raises(IntegrityError, match=tag):
        two.add(move(ONE, "production"))
    two.sync(publish=True)
    one.add(move(ONE, "production"))
    site.assert_sound(one, two)


def test_head_deleted_or_moved_back_on_the_remote_is_told_and_publishing_heals(
    site: RegistrySite, one: Clone
) -> None:
    one, two = _both(site, one)
    first = one.refs()[f"refs/tags/{REGISTERED}"]
    for command in (("--delete-ref", HEAD), (HEAD, first)):
        words = ("-d", HEAD) if command[0] == "--delete-ref" else command
        git(site.origin, "update-ref", *words)
        with pytest.raises(IntegrityError, match=r"head of their chain|its head is behind them"):
            one.sync()
        one.sync(publish=True)
        site.assert_agree(one, two)


def test_whole_history_deleted_on_the_remote_is_named_and_publishing_heals(
    site: RegistrySite, one: Clone
) -> None:
    one, two = _both(site, one)
    for ref in site.refs():
        git(site.origin, "update-ref", "-d", ref)
    with pytest.raises(IntegrityError) as caught:
        one.sync()
    assert caught.value.missing == (REGISTERED, STAGED)
    two.sync(publish=True)
    site.assert_sound(one, two)


def test_tag_moved_on_the_remote_is_named_and_not_healed_by_publishing(
    site: RegistrySite, one: Clone
) -> None:
    one, two = _both(site, one)
    git(site.origin, "tag", "--force", "--annotate", "--message", "x", REGISTERED, "all")
    own = one.refs()
    for publish in (False, True):
        with pytest.raises(IntegrityError, match=f"changed: {REGISTERED}"):
            one.sync(publish=publish)
    assert one.refs() == own
    # What the message says to do:
    one.git("push", "--quiet", "--force", "origin", f"refs/tags/{REGISTERED}")
    site.assert_sound(one, two)


def test_history_rewritten_after_an_event_is_named_by_clones_that_saw_the_old_one(
    site: RegistrySite, one: Clone
) -> None:
    """Somebody takes the last event back and puts another one in its place, head and all."""
    one, two = _both(site, one)
    evil = site.clone("three")
    git(site.origin, "update-ref", HEAD, one.refs()[f"refs/tags/{REGISTERED}"])
    git(site.origin, "tag", "--delete", STAGED)
    evil.add(move(ONE, "deprecated"))
    for clone in (one, two):
        with pytest.raises(IntegrityError, match="does not continue") as caught:
            clone.sync()
        assert caught.value.missing == (STAGED,)
        assert caught.value.extra == ("recognition-facenet#deprecated#1",)
        with pytest.raises(IntegrityError):
            clone.add(move(ONE, "production"))
        assert clone.findings() != []


def test_history_rewritten_under_the_same_names_is_named(site: RegistrySite, one: Clone) -> None:
    one, two = _both(site, one)
    evil = site.clone("three")
    for ref in site.refs():
        git(site.origin, "update-ref", "-d", ref)
    evil.add(register(ONE, evil.commit(1)))
    evil.add(move(ONE, "staging"))
    with pytest.raises(IntegrityError) as caught:
        two.sync()
    assert caught.value.changed == (STAGED, REGISTERED)


def test_last_event_deleted_in_a_clone_without_remote_is_named_and_not_forgotten(
    site: RegistrySite,
) -> None:
    alone = site.alone("one")
    alone.add(register(ONE, alone.commit(1)))
    alone.add(move(ONE, "staging"))
    alone.git("tag", "--delete", STAGED)
    before = alone.refs()
    for act in (alone.sync, lambda: alone.add(move(ONE, "staging"))):
        with pytest.raises(IntegrityError, match=f"missing: {STAGED}"):
            act()
    assert alone.refs() == before
    assert [(f.kind, f.tag) for f in alone.findings()] != []


def test_tag_deleted_in_a_clone_comes_back_from_the_remote(site: RegistrySite, one: Clone) -> None:
    one.git("tag", "--delete", STAGED)
    assert one.sync() == 1
    site.assert_sound(one)


def test_push_seen_half_by_a_reader_is_no_alarm(site: RegistrySite, one: Clone) -> None:
    """A server shows the refs of a push one after the other."""
    two = site.clone("two")
    two.sync()
    for seen in (HEAD, "tag"):
        event = one.add(register(version("rec", 5 if seen == HEAD else 6), one.commit(5)
                                 if seen == HEAD else one.commit(6)))  # fmt: skip
        ref = HEAD if seen == "tag" else f"refs/tags/{event.tag}"
        now = site.refs()
        old = two.refs().get(ref)
        # `ls-remote` sees the old value of one of the two, and the command after it the new one.
        git(site.origin, "update-ref", *((ref, old) if old else ("-d", ref)))

        class Reader(Git):
            def _run(self, arguments: Sequence[str], *rest: object, ref: str = ref,
                     oid: str = now[ref]) -> object:  # type: ignore[override]  # fmt: skip
                done = super()._run(arguments, *rest)  # type: ignore[arg-type]
                if arguments[0] == "ls-remote":
                    git(site.origin, "update-ref", ref, oid)
                return done

        TagStore(Reader(two.folder), RegistryPolicy()).sync()
        assert two.refs() == site.refs()
        assert two.findings() == []
