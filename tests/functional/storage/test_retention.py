"""Retired versions: what goes, what stays, what a kill leaves, and how they come back."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from facemodels.errors import ConflictError, InputError, IntegrityError, RuleError
from facemodels.files import sha256_tree, write_yaml
from facemodels.git import Git
from facemodels.names import ModelId
from facemodels.registry import audit as registry_audit
from facemodels.registry import reading, rules
from facemodels.registry.packages import obtain
from facemodels.registry.registry import Registry
from facemodels.storage.retention.apply import RetentionRun
from facemodels.storage.retention.archive_store import ArchiveStore, recorded_archive
from facemodels.storage.retention.context import RetentionContext
from facemodels.storage.retention.restore import Restorer
from facemodels.storage.retention.settings import ArchiveSettings, RetentionSettings, load
from facemodels.storage.stores.object_store import CACHE, ObjectStore
from facemodels.storage.stores.stores import Stores
from facemodels.storage.sync.audit import Sample, audit
from facemodels.storage.sync.findings import AuditReport
from tests.bounded import STRIDES, points
from tests.functional.deployment.site import git
from tests.functional.dvc_here import dvc
from tests.functional.storage.stores import S3Site, Store, s3_site

V0, V1, V2, V3, V4 = (f"rec-facenet-v1.{minor}.0" for minor in range(5))
OLD = "det-yolov8-v1.0.0"
DAY = 24 * 3600
SETTINGS = RetentionSettings(keep_production=2, least_freed=0, archive=ArchiveSettings(level=3))
GOES = (OLD, V0, V1, V2)  # of the site below
SIZE = 20_000


class Killed(BaseException):
    """The process ended here."""


def begin(folder: Path) -> S3Site:
    """A site without versions. The remote is a folder beside the clone, named so that a copy of
    both is a site of its own.
    """
    root = folder / "clone"
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet", "--bare", "--initial-branch=main", "origin.git")
    git(folder, "clone", "--quiet", "origin.git", "clone")
    git(root, "config", "remote.origin.url", "../origin.git")
    site = S3Site(root)
    places = {name: {"url": f"../../{name}"} for name in ("storage", "backup")}
    site.configure_remotes(places, "storage")
    (root / ".dvc/.gitignore").write_text("/config.local\n/tmp\n/cache\n")
    (root / ".gitignore").write_text("/.facemodels/\n")
    write_yaml(root / "conf/registry.yaml", {"remote": "origin"})
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "-m", "Begin")
    return site


def build(folder: Path) -> S3Site:
    """Five versions that were in production one after the other, and one that is deprecated."""
    site = begin(folder)
    for identity in (V0, V1, V2, V3, V4):
        to_production(site, site.register(identity, size=SIZE))
    old = site.register(OLD, size=SIZE)
    site.repository.add(lambda now: rules.deprecate(now, old, reason="superseded"))
    push(site)
    return site


def push(site: S3Site) -> None:
    """Commits to the Git remote, packages to the default remote and to the backup."""
    git(site.folder, "push", "--quiet", "origin", "main")
    site.push_plainly()
    site.push_plainly("backup")


def to_production(site: S3Site, model: ModelId, reason: str = "test") -> None:
    state = site.state()
    if state.entry(model).status == "development":
        site.repository.add(lambda now: rules.move(now, model, "staging", reason=reason))
    site.repository.add(lambda now: rules.move(now, model, "production", reason=reason))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("retention") / "site"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_NO_ANALYTICS", "true")
        for who in ("AUTHOR", "COMMITTER"):
            patch.setenv(f"GIT_{who}_NAME", "Test")
            patch.setenv(f"GIT_{who}_EMAIL", "test@example.invalid")
        build(folder)
    return folder


@pytest.fixture
def copies(template: Path, tmp_path: Path) -> Callable[[], S3Site]:
    """Another copy of the site, in the place of the one before."""

    def another() -> S3Site:
        target = tmp_path / "site"
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(template, target, symlinks=True)
        return S3Site(target / "clone")

    return another


@pytest.fixture
def site(copies: Callable[[], S3Site]) -> S3Site:
    return copies()


def keeper(site: S3Site, settings: RetentionSettings = SETTINGS, **more: Any) -> RetentionRun:
    """A hundred days later, unless it says otherwise."""
    more.setdefault("clock", lambda: time.time() + 100 * DAY)
    return RetentionRun(context(site, settings, more.pop("before", skip)), **more)


def context(
    site: S3Site, settings: RetentionSettings, before: Callable[[str], None]
) -> RetentionContext:
    stores = site.cache, site.place()
    return RetentionContext(
        Registry(site.repository), settings, *stores, before, site.place("backup")
    )


def skip(step: str) -> None:
    """Stop nowhere."""


def restorer(site: S3Site, before: Callable[[str], None] = skip) -> Restorer:
    return Restorer(context(site, SETTINGS, before), site.place("backup"))


def there(place: ObjectStore, oids: tuple[str, ...]) -> set[str]:
    return {oid for oid in oids if place.is_whole(oid)}


def is_archived(site: S3Site, identity: str, scratch: Path) -> bool:
    """Whether an archive gives the version back, byte for byte; found out by reading it."""
    folder = scratch / identity
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    state = site.state()
    try:
        ArchiveStore(site.place(), SETTINGS.archive).fetch(
            state.entry(identity), folder, recorded_archive(state, identity)
        )
    except IntegrityError:
        return False
    return True


def content(site: S3Site, identity: str, target: Path) -> str:
    """Digest of what DVC gives for a version, with neither workspace nor cache of ours."""
    fresh = target / f"fresh-{identity}"
    shutil.rmtree(fresh, ignore_errors=True)
    git(site.folder.parent, "clone", "--quiet", "origin.git", str(fresh))
    git(fresh, "checkout", "--quiet", site.state().entry(identity).event.commit)
    config = (site.folder / ".dvc/config").read_text()
    remote = site.folder.parent / "storage"
    (fresh / ".dvc/config").write_text(config.replace("../../storage", str(remote)))
    path = str(ModelId.parse(identity).folder)
    dvc(fresh, "pull", f"{path}.dvc")
    return sha256_tree(fresh / path)


def originals(template: Path, *identities: str) -> dict[str, str]:
    """Digests of packages as they were made."""
    root = template / "clone"
    return {one: sha256_tree(root / ModelId.parse(one).folder) for one in identities}


# --- what goes and what stays -------------------------------------------------------------------


def test_dry_run_says_what_goes_and_why_and_changes_nothing(site: S3Site) -> None:
    before = (site.place().sizes(), site.cache.sizes(), len(site.state().events))
    seen = keeper(site).survey()
    reasons = {one.id: (one.action, one.reason) for one in seen.plan.decisions}
    assert seen.plan.to_archive == GOES
    assert reasons[OLD][1] == "deprecated 100 days ago"
    assert reasons[V0][1] == "4 newer versions were in production"
    assert reasons[V4] == ("keep", "in production")
    assert reasons[V3] == ("keep", "what a rollback would go to")
    assert all(one.bytes > SIZE for one in seen.plan.decisions)
    assert 4 * SIZE < seen.plan.bytes < sum(one.bytes for one in seen.plan.decisions)
    assert set(seen.pointers) == {f"{ModelId.parse(one).folder}.dvc" for one in GOES}
    assert (site.place().sizes(), site.cache.sizes(), len(site.state().events)) == before


def test_retired_versions_are_archived_then_deleted_and_kept_ones_still_pull(
    site: S3Site, template: Path, tmp_path: Path
) -> None:
    objects = {one: site.objects(one) for one in site.state().entries}
    outcome = keeper(site).apply()
    assert tuple(outcome.archived) == GOES
    assert outcome.failed == {}
    assert outcome.deleted == {
        "storage": len(outcome.plan.objects), CACHE: len(outcome.plan.objects),
    }  # fmt: skip
    kept = {oid for one in (V3, V4) for oid in objects[one].oids}
    for one in GOES:
        for place in (site.place(), site.cache):
            assert there(place, objects[one].oids) == set(objects[one].oids) & kept
        assert is_archived(site, one, tmp_path)
        shutil.rmtree(site.folder / str(ModelId.parse(one).folder))
    assert set(site.state().archived) == set(GOES)
    assert site.findings() == []
    expected = originals(template, V3, V4)
    for one in (V3, V4):
        assert content(site, one, tmp_path) == expected[one]
        with obtain(site.folder, site.state().entry(one)):
            pass


def test_a_second_run_has_nothing_left_to_do(site: S3Site) -> None:
    keeper(site).apply()
    after = (site.place().sizes(), site.cache.sizes(), len(site.state().events))
    again = keeper(site).apply()
    assert (again.archived, again.plan.objects) == ([], ())
    assert (site.place().sizes(), site.cache.sizes(), len(site.state().events)) == after


def test_nothing_goes_before_its_time(site: S3Site) -> None:
    assert keeper(site, clock=time.time).survey().plan.to_archive == ()
    assert keeper(site, clock=lambda: time.time() + 29 * DAY).survey().plan.objects == ()


def test_an_archived_version_serves_again_only_after_its_restoration(site: S3Site) -> None:
    keeper(site).apply()
    v2 = ModelId.parse(V2)
    with pytest.raises(RuleError, match=f"facemodels storage restore {V2}"):
        to_production(site, v2, "v1.4.0 is slow")
    restorer(site).restore(v2)
    to_production(site, v2, "v1.4.0 is slow")
    assert site.state().production[str(v2.name)] == V2
    assert site.findings() == []


def test_a_file_that_a_dataset_of_another_branch_has_too_stays(site: S3Site) -> None:
    shared = next(one.oid for one in site.objects(V0).children if one.path == "model.pt")
    git(site.folder, "switch", "--quiet", "-c", "experiment")
    data = site.folder / "data" / "seeds"
    data.mkdir(parents=True)
    shutil.copy(site.folder / str(ModelId.parse(V0).folder) / "model.pt", data / "one.bin")
    dvc(site.folder, "add", "data/seeds")
    git(site.folder, "add", "--all")
    git(site.folder, "commit", "--quiet", "-m", "Seeds")
    dvc(site.folder, "push")
    git(site.folder, "switch", "--quiet", "main")
    outcome = keeper(site).apply()
    assert V0 in outcome.archived
    assert site.place().is_whole(shared)
    assert site.cache.is_whole(shared)
    git(site.folder, "branch", "-D", "experiment")
    keeper(site).apply()
    assert not site.place().is_whole(shared)


def test_a_copy_of_a_package_under_another_path_stays(site: S3Site) -> None:
    """Somebody keeps an old version as a baseline: the same folder, hence the same list."""
    source = site.folder / str(ModelId.parse(V0).folder)
    (site.folder / "baselines").mkdir()
    shutil.copytree(source, site.folder / "baselines" / source.name)
    dvc(site.folder, "add", f"baselines/{source.name}")  # not even committed
    keeper(site).apply()
    oids = site.objects(V0).oids
    assert there(site.place(), oids) == set(oids)
    assert is_archived(site, V0, site.folder.parent / "scratch")


def test_a_version_that_a_flag_asks_for_stays(site: S3Site) -> None:
    flag = {"name": "beta", "model_id": "recognition-facenet-v1.0.0", "value": "1", "header": "X"}
    (site.folder / "conf/deploy").mkdir()
    write_yaml(site.folder / "conf/deploy/production.yaml", {"flags": [flag]})
    assert V0 not in keeper(site).survey().plan.to_archive


def test_a_damaged_version_stays_and_is_named_and_the_others_go(site: S3Site) -> None:
    weights = next(one.oid for one in site.objects(V1).children if one.path == "model.pt")
    for place in (site.place(), site.cache):
        path = Path(place.path(weights))
        path.chmod(0o644)
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    outcome = keeper(site).apply()
    assert list(outcome.failed) == [V1]
    assert set(outcome.archived) == set(GOES) - {V1}
    assert V1 not in site.state().archived
    assert weights in site.place().sizes()
    assert site.place().is_whole(site.objects(V1).folder)


def test_objects_stay_where_the_archive_was_lost_before_they_were_deleted(site: S3Site) -> None:
    def stop(step: str) -> None:
        if step.startswith("delete"):
            raise Killed

    others = site.objects(V1).oids
    with pytest.raises(Killed):
        keeper(site, before=stop).apply()
    archive = site.folder.parent / "storage/archive" / f"{V0}.tar.zst"
    archive.write_bytes(archive.read_bytes()[:-7])
    outcome = keeper(site).apply()
    assert list(outcome.failed) == [V0]
    oids = site.objects(V0).oids
    assert there(site.place(), oids) == set(oids)
    assert len(there(site.place(), others)) < len(others)


# --- others at the same time --------------------------------------------------------------------


def test_a_version_that_is_promoted_meanwhile_stays(site: S3Site) -> None:
    def promote(step: str) -> None:
        if step == f"record {V2}":
            to_production(site, ModelId.parse(V2), "we need it")

    with pytest.raises(ConflictError):
        keeper(site, before=promote).apply()
    oids = site.objects(V2).oids
    assert there(site.place(), oids) == set(oids)
    assert V2 not in site.state().archived
    assert V2 not in keeper(site).apply().archived
    assert there(site.place(), oids) == set(oids)
    assert site.findings() == []


def test_what_a_version_needs_that_was_registered_meanwhile_comes_back(site: S3Site) -> None:
    """`dvc push` skipped its weights, as they were still there."""
    done: list[ModelId] = []

    def register(step: str) -> None:
        if step.startswith("delete") and not done:
            done.append(site.register("rec-facenet-v2.0.0"))  # other files than any before
            source = site.folder / str(ModelId.parse(V0).folder) / "model.pt"
            done.append(twin(site, "rec-facenet-v2.1.0", source))
            site.push_plainly()

    outcome = keeper(site, before=register).apply()
    shared = next(one.oid for one in site.objects(V0_TWIN).children if one.path == "model.pt")
    assert outcome.returned == [shared]
    oids = site.objects(V0_TWIN).oids
    assert there(site.place(), oids) == set(oids)
    assert there(site.cache, oids) == set(oids)


V0_TWIN = "rec-facenet-v2.1.0"


def twin(site: S3Site, identity: str, weights: Path) -> ModelId:
    """A version with the weights of another: packaged anew, not trained."""
    from facemodels.package import verify

    write = verify.write_checksums

    def with_weights(folder: Path) -> None:
        shutil.copy(weights, folder / "model.pt")
        write(folder)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.functional.storage.stores.write_checksums", with_weights)
        return site.register(identity, size=1)


def test_two_retentions_at_once_lose_nothing(site: S3Site, tmp_path: Path) -> None:
    other = keeper(site)

    def overtake(step: str) -> None:
        if step == f"send {V0}":
            other.apply()

    with pytest.raises(ConflictError):
        keeper(site, before=overtake).apply()
    keeper(site).apply()
    assert set(site.state().archived) == set(GOES)
    assert all(is_archived(site, one, tmp_path) for one in GOES)
    assert site.findings() == []


# --- the second copy ------------------------------------------------------------------------------


def alone(site: S3Site, why: str = "") -> RetentionRun:
    """A run of a repository that has no backup."""
    found = replace(context(site, SETTINGS, skip), backup=None, without_backup=why)
    return RetentionRun(found, clock=lambda: time.time() + 100 * DAY)


def test_without_a_second_place_nothing_is_archived_or_deleted(site: S3Site) -> None:
    before = (site.place().sizes(), site.cache.sizes(), len(site.state().events))
    with pytest.raises(InputError, match="--without-backup"):
        alone(site).apply()
    assert (site.place().sizes(), site.cache.sizes(), len(site.state().events)) == before
    assert set(alone(site, "rebuilt at will").apply().archived) == set(GOES)
    record = recorded_archive(site.state(), V1)
    assert record is not None
    assert record["without_backup"] == "rebuilt at will"


@pytest.mark.parametrize("place", ["storage", "backup"])
@pytest.mark.parametrize("damage", [None, b"rotten"])
def test_an_audit_finds_a_damaged_archive_and_takes_the_other_copy(
    site: S3Site, place: str, damage: bytes | None
) -> None:
    keeper(site, RetentionSettings(keep_production=4, archive=SETTINGS.archive)).apply()
    record = recorded_archive(site.state(), V0)
    assert record is not None
    spoiled = site.folder.parent / place / record["path"]
    whole = spoiled.read_bytes()
    spoiled.unlink()
    if damage:
        spoiled.write_bytes(damage)
    for sample in (Sample(), Sample(1e-9)):  # a size that differs is seen without reading
        (finding,) = audited(site, sample=sample).open
        assert (finding.item, finding.store, finding.versions) == (record["path"], place, (V0,))
    assert spoiled.exists() == bool(damage)
    assert audited(site, repair=True).open == ()
    assert spoiled.read_bytes() == whole


def test_an_archive_that_is_whole_nowhere_is_packed_anew_from_the_objects_of_the_backup(
    site: S3Site,
) -> None:
    settings = RetentionSettings(keep_production=4)
    keeper(site, settings).apply()
    record = recorded_archive(site.state(), V0)
    assert record is not None
    copies_ = [site.folder.parent / place / record["path"] for place in ("storage", "backup")]
    whole = copies_[0].read_bytes()
    for copy in copies_:
        copy.unlink()
    report = audited(site, repair=True)
    assert report.open == ()
    # `dvc push` could not bring what the pointers of archived versions name.
    kinds = {(f.kind, f.versions) for f in report.findings if f.item.startswith("models/")}
    assert kinds == {("archived", (one,)) for one in site.state().archived}
    assert [copy.read_bytes() for copy in copies_] == [whole, whole]


def audited(site: S3Site, **options: Any) -> AuditReport:
    found = audit(Stores(site.folder), site.state(), Git(site.folder), **options)
    # The backup here was copied, not made by `facemodels storage backup`: it has no documents.
    return replace(found, findings=tuple(f for f in found.findings if not f.is_document))


# --- kills ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("stride", STRIDES)
def test_killed_before_any_step_nothing_is_lost_and_the_next_run_finishes(
    copies: Callable[[], S3Site], tmp_path: Path, stride: int
) -> None:
    settings = RetentionSettings(keep_production=2, keep=(V0, V1), archive=ArchiveSettings(level=1))
    goes = (OLD, V2)
    first = copies()
    steps: list[str] = []
    keeper(first, settings, before=steps.append).apply()
    final = first.place().sizes().keys(), first.cache.sizes().keys()
    objects = {one: copies().objects(one).oids for one in (*goes, V0, V1, V3, V4)}
    assert len(steps) > 20
    for index in points(len(steps), stride):
        site = copies()
        seen: list[str] = []

        def stop(step: str, seen: list[str] = seen, last: int = index) -> None:
            if len(seen) == last:
                raise Killed
            seen.append(step)

        with pytest.raises(Killed):
            keeper(site, settings, before=stop).apply()
        for one, oids in objects.items():
            whole = there(site.place(), oids) == set(oids)
            assert whole or (one in goes and is_archived(site, one, tmp_path)), (index, one)
            assert whole or one in site.state().archived
        keeper(site, settings).apply()
        assert (site.place().sizes().keys(), site.cache.sizes().keys()) == final
        assert set(site.state().archived) == set(goes)
        assert site.findings() == []


@pytest.mark.parametrize("stride", STRIDES)
def test_killed_before_any_step_of_a_restoration_the_next_one_finishes(
    copies: Callable[[], S3Site], template: Path, tmp_path: Path, stride: int
) -> None:
    settled = copies()
    keeper(settled).apply()
    store = tmp_path / "settled"
    shutil.copytree(settled.folder.parent, store, symlinks=True)
    steps: list[str] = []
    restorer(settled, before=steps.append).restore(ModelId.parse(V1))
    oids = settled.objects(V1).oids
    assert len(steps) >= 8
    for index in points(len(steps), stride):
        shutil.rmtree(settled.folder.parent)
        shutil.copytree(store, settled.folder.parent, symlinks=True)
        site = S3Site(settled.folder)
        seen: list[str] = []

        def stop(step: str, seen: list[str] = seen, last: int = index) -> None:
            if len(seen) == last:
                raise Killed
            seen.append(step)

        with pytest.raises(Killed):
            restorer(site, before=stop).restore(ModelId.parse(V1))
        assert is_archived(site, V1, tmp_path / "scratch")
        restorer(site).restore(ModelId.parse(V1))
        assert there(site.place(), oids) == there(site.cache, oids) == set(oids)
        assert V1 not in site.state().archived
        assert site.findings() == []


# --- restoration ----------------------------------------------------------------------------------


@pytest.mark.parametrize("origin", ["archive", "backup"])
def test_restored_byte_for_byte_into_remote_and_cache_with_an_event(
    site: S3Site, template: Path, tmp_path: Path, origin: Any
) -> None:
    keeper(site).apply()
    path = site.folder / str(ModelId.parse(V1).folder)
    shutil.rmtree(path)
    done = restorer(site).restore(ModelId.parse(V1), origin, reason="to compare with")
    expected = originals(template, V1)[V1]
    assert content(site, V1, tmp_path) == expected
    dvc(site.folder, "checkout", f"{path}.dvc")
    assert sha256_tree(path) == expected
    with obtain(site.folder, site.state().entry(V1)) as package:
        assert str(package.id) == V1
    last = site.state().events[-1]
    assert (last.act, last.tag, last.reason) == ("restore", done.tag, "to compare with")
    assert (last.record or {})["restored_from"] == origin
    assert site.findings() == []
    # It is as young as a new one now.
    assert V1 not in keeper(site, clock=time.time).survey().plan.to_archive
    again = restorer(site).restore(ModelId.parse(V1), origin)
    assert (again.tag, set(again.copied.values())) == ("", {0})


def test_an_archive_of_another_version_is_not_believed(site: S3Site) -> None:
    keeper(site).apply()
    folder = site.folder.parent / "storage/archive"
    shutil.copy(folder / f"{V1}.tar.zst", folder / f"{V0}.tar.zst")
    shutil.copy(folder / f"{V1}.tar.zst.sha256", folder / f"{V0}.tar.zst.sha256")
    before = site.place().sizes()
    with pytest.raises(IntegrityError, match="another version"):
        restorer(site).restore(ModelId.parse(V0))
    assert V0 in site.state().archived
    assert site.place().sizes() == before


def test_a_backup_of_archives_alone_restores_too(site: S3Site) -> None:
    keeper(site).apply()
    folder = site.folder.parent
    shutil.rmtree(folder / "backup")
    shutil.copytree(folder / "storage/archive", folder / "backup/archive")
    shutil.rmtree(folder / "storage/archive")
    (kept,) = site.state().production.values()
    with pytest.raises(IntegrityError, match="never archived") as lost:
        restorer(site).restore(ModelId.parse(kept), "backup")
    assert f"facemodels storage pull --model-id {kept}" in lost.value.remedy
    with pytest.raises(IntegrityError, match="backup"):
        restorer(site).restore(ModelId.parse(V0))
    restorer(site).restore(ModelId.parse(V0), "backup")
    oids = site.objects(V0).oids
    assert there(site.place(), oids) == set(oids)


# --- what `dvc gc` does ---------------------------------------------------------------------------


def test_dvc_gc_with_two_revisions_loses_the_first_and_ours_none(
    copies: Callable[[], S3Site],
) -> None:
    theirs = copies()
    objects = {one: theirs.objects(one).oids for one in (V3, V4)}
    two_branches(theirs)
    dvc(theirs.folder, "gc", "--force", "--cloud", "--rev", "three", "--rev", "four")
    assert there(theirs.place(), objects[V4]) == set(objects[V4])
    assert there(theirs.place(), objects[V3]) < set(objects[V3])  # what a rollback would go to
    ours = copies()
    two_branches(ours)
    keeper(ours).apply()
    for one in (V3, V4):
        assert there(ours.place(), objects[one]) == set(objects[one])


def two_branches(site: S3Site) -> None:
    """`three` tracks one version alone, `four`, which is checked out, another."""
    for name, identity in (("three", V3), ("four", V4)):
        git(site.folder, "switch", "--quiet", "-c", name, "main")
        track_alone(site, identity)


def track_alone(site: S3Site, identity: str) -> None:
    """Commit that the branch has one version, as after a bump."""
    for path in sorted((site.folder / "models").rglob("*.dvc")):
        if path.name != f"{ModelId.parse(identity).folder.name}.dvc":
            path.unlink()
    git(site.folder, "add", "--all")
    git(site.folder, "commit", "--quiet", "-m", f"Track {identity} alone")


def test_dvc_gc_of_the_workspace_loses_production_and_ours_does_not(
    copies: Callable[[], S3Site],
) -> None:
    theirs = copies()
    objects = {one: theirs.objects(one).oids for one in (V3, V4)}
    go_on(theirs)
    dvc(theirs.folder, "gc", "--force", "--cloud", "--workspace")
    assert there(theirs.place(), objects[V4]) < set(objects[V4])  # and that one is in production
    ours = copies()
    go_on(ours)
    keeper(ours).apply()
    for one in (V3, V4):
        assert there(ours.place(), objects[one]) == set(objects[one])


def go_on(site: S3Site) -> None:
    """The branch goes on to the next version, which is not in production yet."""
    site.register("rec-facenet-v1.5.0", size=SIZE)
    track_alone(site, "rec-facenet-v1.5.0")
    site.push_plainly()


def test_archives_survive_dvc_gc(site: S3Site, tmp_path: Path) -> None:
    keeper(site).apply()
    dvc(site.folder, "gc", "--force", "--cloud", "--workspace")
    assert all(is_archived(site, one, tmp_path) for one in GOES)


# --- S3 and the command line ------------------------------------------------------------------------


def test_on_s3_archives_have_their_storage_class_and_come_back(moto: Store, tmp_path: Path) -> None:
    site = s3_site(tmp_path, moto, versions=(V0, V1), backup=moto, size=SIZE, push=True)
    site.push_plainly("backup")
    old = ModelId.parse(V0)
    site.repository.add(lambda now: rules.deprecate(now, old, reason="superseded"))
    settings = RetentionSettings(archive=ArchiveSettings(level=3, storage_class="GLACIER_IR"))
    oids, kept = site.objects(V0).oids, set(site.objects(V1).oids)
    assert keeper(site, settings).apply().archived == [V0]
    assert there(site.place(), oids) == set(oids) & kept
    bucket = site.place().odb.path.split("/")[0]
    listed = moto.client().list_objects_v2(Bucket=bucket, Prefix="prefix/models/archive/")
    assert {one["Key"].rsplit("/", 1)[1]: one["StorageClass"] for one in listed["Contents"]} == {
        f"{V0}.tar.zst": "GLACIER_IR", f"{V0}.tar.zst.sha256": "STANDARD",
    }  # fmt: skip
    Restorer(context(site, settings, skip)).restore(old)
    assert there(site.place(), oids) == there(site.cache, oids) == set(oids)
    assert site.findings() == []


def test_commands_plan_apply_and_restore(site: S3Site) -> None:
    values = {"keep_production": 2, "keep_days": 0, "grace_days": 0}
    write_yaml(site.folder / "conf/retention.yaml", values)
    plan = json.loads(site.run("storage", "retention", "--dry-run", "--json").stdout)
    assert [v["model_id"] for v in plan["versions"] if v["action"] == "archive"] == list(GOES)
    shown = site.run("storage", "retention", "--dry-run")
    assert f"{V0}\tarchive\t" in shown.stdout
    assert "4 versions would go to the archive" in shown.stdout
    assert "dvc remove" in shown.stderr
    done = json.loads(site.run("storage", "retention", "--json").stdout)
    assert done["archived"] == list(GOES)
    assert done["bytes"] == plan["bytes"]
    said = site.run("storage", "restore", V0, "--reason", "an audit asks for it").stdout
    assert said.startswith(f"Restored {V0} from the archive (recognition-facenet#archived!#")
    refused = site.run("deploy", "--model-id", V1, "--environment", "production",
                       "--strategy", "direct", code=None)  # fmt: skip
    assert refused.returncode != 0
    assert registry_audit.audit(*_read(site)) == []


def _read(site: S3Site) -> tuple[Any, Any]:
    plain = site.repository.git
    return reading.read_events(plain), reading.read_head(plain)


def test_the_committed_settings_are_those_that_the_guide_asks_for() -> None:
    settings = load(Path(__file__).resolve().parents[3])
    assert settings.keep_production == 3
