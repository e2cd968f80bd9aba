"""Systems are archived and restored like models; the members that they pin stay meanwhile."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from facemodels.errors import RuleError
from facemodels.files import sha256_tree
from facemodels.names import ModelId
from facemodels.package.build_system import SystemContent, build_system
from facemodels.package.load import Package, open_package
from facemodels.registry import rules
from facemodels.registry.evidence import facts_of_a_system, interface
from facemodels.registry.packages import obtain
from facemodels.storage.backup.create import back_up
from facemodels.system.quality import QualityLimits
from tests.functional.storage.stores import S3Site
from tests.functional.storage.test_retention import (
    begin,
    content,
    keeper,
    push,
    restorer,
    there,
    to_production,
)
from tests.small_systems import CALIBRATION, CARD

DETECTOR, RECOGNISER = "det-yolov8-v1.0.0", "rec-facenet-v1.0.0"
SYSTEMS = tuple(f"sys-faces-v1.{minor}.0" for minor in range(4))
SIZE = 20_000


def add_system(site: S3Site, identity: str, members: dict[str, Package]) -> None:
    model = ModelId.parse(identity)
    made = SystemContent(
        model, members, 0.7, 0.01, CALIBRATION, QualityLimits(eyes=12), {},
        CARD.model_copy(update={"changelog": identity}),
    )  # fmt: skip
    package = open_package(build_system(made, site.folder / str(model.folder)))
    site.enter(model, {"interface": interface(package), **facts_of_a_system(package)})
    to_production(site, model)


@pytest.fixture
def site(tmp_path: Path) -> S3Site:
    """Four systems of the same two members were in production, one after the other."""
    made = begin(tmp_path / "site")
    members = {}
    for task, identity in (("detection", DETECTOR), ("recognition", RECOGNISER)):
        model = made.register(identity, size=SIZE)
        to_production(made, model)
        members[task] = open_package(made.folder / str(model.folder))
        metadata: Any = members[task].metadata
        metadata["license"] = CARD.license
    for identity in SYSTEMS:
        add_system(made, identity, members)
    push(made)
    return made


def test_old_systems_are_archived_and_restored_whole_backed_up_and_their_members_stay(
    site: S3Site, tmp_path: Path
) -> None:
    folder = site.folder / str(ModelId.parse(SYSTEMS[0]).folder)
    before = sha256_tree(folder)
    for member in (DETECTOR, RECOGNISER):
        with pytest.raises(RuleError, match=f"{member} is a member of sys-faces-v1"):
            site.repository.add(
                lambda now, one=member: rules.deprecate(
                    now, ModelId.parse(one), reason="old", retire=True
                )
            )
    outcome = keeper(site).survey().plan
    assert outcome.to_archive == SYSTEMS[:2]
    shared = {oid for one in (DETECTOR, RECOGNISER) for oid in site.objects(one).oids}
    own = set(site.objects(SYSTEMS[0]).oids)
    keeper(site).apply()
    remote = site.place()
    assert there(remote, tuple(shared)) == shared  # the members' files are in the systems, too
    assert not there(remote, (next(oid for oid in own if oid.endswith(".dir")),))

    shutil.rmtree(folder)
    restorer(site).restore(ModelId.parse(SYSTEMS[0]), reason="to look at it")
    assert content(site, SYSTEMS[0], tmp_path) == before
    with obtain(site.folder, site.state().entry(SYSTEMS[0])) as package:
        assert {task: str(one.id) for task, one in package.members.items()} == {
            "detection": DETECTOR, "recognition": RECOGNISER,
        }  # fmt: skip
    assert site.findings() == []

    backup = back_up(site.folder)
    assert not backup.damaged
    assert {SYSTEMS[0], *SYSTEMS[2:]} <= set(backup.versions)
    oids = site.objects(SYSTEMS[-1]).oids
    assert there(site.place("backup"), oids) == set(oids)
