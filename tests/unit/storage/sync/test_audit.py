"""The sample of an audit, and what its result says."""

from __future__ import annotations

import pytest

from facemodels.errors import InputError
from facemodels.storage.sync.audit import Sample, parse_share
from facemodels.storage.sync.findings import AuditReport, ObjectFinding, explain


def test_a_share_is_a_percentage_or_a_part_of_one() -> None:
    assert parse_share("5%") == parse_share("0.05") == 0.05
    assert parse_share("100%") == 1


@pytest.mark.parametrize("text", ["0", "0%", "101%", "-1", "nan", "inf", "", "%", "five"])
def test_other_shares_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="Write 5%"):
        parse_share(text)


def test_a_sample_has_about_its_share_and_depends_on_the_seed_alone() -> None:
    oids = [f"{number:032x}" for number in range(10_000)]
    one, two = Sample(0.05, "monday"), Sample(0.05, "tuesday")
    first, second = ({oid for oid in oids if s.takes(oid)} for s in (one, two))
    assert 400 < len(first) < 600  # 5 standard deviations: 109
    assert first != second
    assert first == {oid for oid in reversed(oids) if Sample(0.05, "monday").takes(oid)}
    assert all(Sample().takes(oid) for oid in oids)


def test_a_larger_sample_holds_the_smaller_one_of_its_seed() -> None:
    oids = [f"{number:032x}" for number in range(1000)]
    small, large = Sample(0.1, "x"), Sample(0.5, "x")
    assert all(large.takes(oid) for oid in oids if small.takes(oid))


def test_what_is_extra_is_no_fault_and_what_was_repaired_is_none_any_more() -> None:
    findings = (
        ObjectFinding("storage", "missing", "a", ("v1",), repair="backup"),
        ObjectFinding("storage", "corrupt", "b", ("v2",)),
        ObjectFinding("storage", "extra", "c"),
        ObjectFinding("cache", "foreign", "d"),
    )
    assert [f.item for f in AuditReport({}, findings, repaired=False).open] == ["a", "b"]
    done = AuditReport({}, findings, repaired=True)
    assert [f.item for f in done.open] == ["b"]
    error = explain(done)
    assert error.exit_code == 3
    assert "1 corrupt in storage" in str(error)
    assert "v2" in str(error)
    assert "v1" not in str(error)


def test_before_the_first_backup_the_advice_is_to_make_one() -> None:
    findings = (ObjectFinding("backup", "missing", "a", ("v1",)),)
    for there, word in ((0, "storage backup"), (7, "audit --repair")):
        report = AuditReport({"backup": {"objects": there}}, findings, repaired=False)
        assert word in str(explain(report))
