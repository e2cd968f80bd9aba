"""The audit names what a person should look at, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from facemodels.gallery.audit import audit_gallery
from facemodels.gallery.enrol import EnrolmentRules, enrol
from facemodels.gallery.store import keep_photo, open_gallery, photo_path
from facemodels.system.quality import QualityLimits

from .drawn import NEW, OLD, drawn, system

KEEP = EnrolmentRules(keep_photos=True)


def found(folder: Path, eyes: float = 20) -> set[tuple[str, str | None, str]]:
    gallery = open_gallery(folder, OLD)
    findings = audit_gallery(gallery, threshold=0.7, limits=QualityLimits(eyes=eyes))
    return {(finding.kind, finding.person, finding.source) for finding in findings}


def test_a_sound_gallery_has_no_findings(tmp_path: Path) -> None:
    folder = tmp_path / "staff"
    for person in (1, 2):
        photos = [drawn(person), drawn(person, take=1)]
        enrol(folder, system(), f"Person {person}", photos, KEEP)
    assert found(folder) == set()


def test_each_doubtful_thing_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "staff"
    twins, small, resaved = drawn(1, take=1), drawn(2, eyes=25), drawn(2, eyes=40)
    enrol(folder, system(), "Ada", [drawn(1), drawn(1, take=2)], KEEP)
    enrol(folder, system(), "Grace", [twins], replace(KEEP, also=True))
    enrol(folder, system(), "Linus", [small, resaved], KEEP)
    photo_path(folder, resaved.source).unlink()
    keep_photo(folder, "0" * 64, b"of no row")
    enrol(folder, system(NEW), "Ada", [drawn(1), drawn(1, take=2)], KEEP)
    enrol(folder, system(NEW), "Linus", [small, resaved])
    (late,) = sorted({small.source, resaved.source})[1:]
    assert found(folder, eyes=30) == {
        ("two_names", "Ada", drawn(1).source),
        ("two_names", "Ada", drawn(1, take=2).source),
        ("two_names", "Grace", twins.source),
        ("same_face_twice", "Linus", late),
        ("low_quality", "Linus", small.source),
        ("one_photo", "Grace", ""),
        ("photo_missing", "Linus", resaved.source),
        ("photo_unused", None, "0" * 64),
        ("not_migrated", "Grace", twins.source),
    }
