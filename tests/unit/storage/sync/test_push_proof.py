"""What proves an object, how long a proof holds, and which failures are worth waiting for."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.storage.stores.test_object_store import folder_place, oid_of, store

from facemodels.errors import FacemodelsError, ToolError
from facemodels.storage.stores.errors import (
    AccessError,
    FullError,
    Patience,
    Retries,
    TransientError,
    explain,
)
from facemodels.storage.stores.object_store import Stamp
from facemodels.storage.stores.proof import Ledger, is_etag_of, judge, parts_etag
from facemodels.storage.stores.stores import each

MIB = 1 << 20
STAMP = Stamp(3, "mark", "2026")


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "deep" / "proofs.sqlite")


def test_a_proof_holds_until_size_mark_or_date_change(ledger: Ledger) -> None:
    assert not ledger.knows("s3://a", "x", STAMP)
    ledger.note("s3://a", "x", STAMP)
    assert ledger.knows("s3://a", "x", STAMP)
    for other in (replace(STAMP, size=4), replace(STAMP, etag="b"), replace(STAMP, modified="c")):
        assert not ledger.knows("s3://a", "x", other)
    assert not ledger.knows("s3://b", "x", STAMP)
    assert not ledger.knows("s3://a", "y", STAMP)


def test_a_ledger_is_there_for_the_next_run_and_a_broken_one_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "proofs.sqlite"
    Ledger(path).note("s3://a", "x", STAMP)
    assert Ledger(path).knows("s3://a", "x", STAMP)
    path.write_bytes(b"this is no database" * 100)
    assert not Ledger(path).knows("s3://a", "x", STAMP)


def test_a_forged_mark_of_the_store_is_no_proof_of_other_bytes(
    tmp_path: Path, ledger: Ledger
) -> None:
    place = folder_place(tmp_path / "store")
    oid = store(place, b"bad", oid_of(b"good"))
    assert judge(place, oid, place.stamp(oid), ledger=ledger) == "wrong"
    assert judge(place, oid, None, ledger=ledger) == "missing"
    Path(place.path(oid)).write_bytes(b"good")
    stamp = place.stamp(oid)
    assert stamp is not None
    assert judge(place, oid, stamp, ledger=ledger) == "whole"
    assert ledger.knows(place.url, oid, stamp)


def test_an_object_that_goes_while_it_is_looked_at_is_missing(
    tmp_path: Path, ledger: Ledger
) -> None:
    place = folder_place(tmp_path / "store")
    assert judge(place, oid_of(b"a"), STAMP, ledger=ledger) == "missing"


@pytest.mark.parametrize("size", [5 * MIB + 1, 10 * MIB, 16 * MIB, 16 * MIB + 3])
def test_the_etag_of_parts_is_the_md5_of_their_md5(tmp_path: Path, size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    path = tmp_path / "file"
    path.write_bytes(data[:size])
    for part in (5 * MIB, 8 * MIB):
        parts = [data[start : min(start + part, size)] for start in range(0, size, part)]
        wanted = hashlib.md5(b"".join(hashlib.md5(one).digest() for one in parts)).hexdigest()  # noqa: S324
        etag = f"{wanted}-{len(parts)}"
        assert parts_etag(path, part) == etag
        assert is_etag_of(path, Stamp(size, etag, ""), oid_of(data[:size]))
        assert not is_etag_of(path, Stamp(size, etag, ""), oid_of(b"else"))
        assert not is_etag_of(path, Stamp(size + 1, etag, ""), oid_of(data[:size]))
    assert not is_etag_of(tmp_path / "none", Stamp(size, etag, ""), oid_of(data[:size]))


def raised(error: Exception) -> ToolError:
    return explain("storage", "s3://models", error)


class NoCredentialsError(Exception):
    """Named as botocore's is, which derives from nothing useful."""


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (PermissionError("Access Denied."), AccessError),
        (NoCredentialsError("Unable to locate credentials"), AccessError),
        (OSError("An error occurred (SignatureDoesNotMatch) when calling"), AccessError),
        (OSError(errno.ENOSPC, "No space left on device"), FullError),
        (OSError(errno.EBUSY, "Please reduce your request rate"), TransientError),
        (OSError(errno.EREMOTEIO, "We encountered an internal error"), TransientError),
        (OSError(errno.EINVAL, "IncompleteBody"), TransientError),
        (ConnectionResetError("peer"), TransientError),
        (TimeoutError(), TransientError),
    ],
)
def test_failures_are_sorted_by_whether_waiting_helps(
    error: Exception, kind: type[ToolError]
) -> None:
    found = raised(error)
    assert type(found) is kind
    assert found.remedy
    assert "s3://models" in found.what


@pytest.mark.parametrize("error", [OSError(errno.EINVAL, "InvalidBucketName"), TypeError("x")])
def test_what_stays_wrong_is_not_tried_again(error: Exception) -> None:
    assert type(raised(error)) is ToolError


def test_the_reason_may_lie_under_what_was_raised() -> None:
    outer = RuntimeError("transfer failed")
    outer.__cause__ = PermissionError("403")
    assert type(raised(outer)) is AccessError


QUICK = Patience(seconds=10, first_wait_s=0.001, longest_wait_s=0.001)


def test_a_store_that_comes_back_within_the_patience_is_waited_for() -> None:
    answers = iter([TransientError("away"), TransientError("away"), "here"])

    def act() -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    assert Retries(QUICK)(act) == "here"


def test_a_store_is_given_up_when_nothing_succeeded_for_as_long_as_the_patience() -> None:
    times: Iterator[float] = iter([0.0, 6.0, 100.0, 106.0, 110.0, 200.0])
    retries = Retries(QUICK, clock=lambda: next(times))
    calls = []

    def away() -> None:
        calls.append(1)
        if len(calls) != 3:
            raise TransientError("away")

    retries(away)  # at 0 and 6; a success in between begins the count anew
    assert len(calls) == 3
    with pytest.raises(TransientError):
        retries(away)  # at 100, 106 and 110
    assert len(calls) == 6
    with pytest.raises(TransientError):
        retries(away)  # still away: one attempt is enough
    assert len(calls) == 7


def test_other_errors_come_at_once() -> None:
    calls = []

    def act() -> None:
        calls.append(1)
        raise AccessError("no")

    with pytest.raises(AccessError):
        Retries(QUICK)(act)
    assert len(calls) == 1


def test_the_first_error_ends_the_work() -> None:
    done = []

    def act(number: int) -> int:
        if number == 3:
            raise FacemodelsError("three")
        done.append(number)
        return number

    with pytest.raises(FacemodelsError, match="three"):
        list(each(act, range(1000), 1))
    assert len(done) < 1000
    assert dict(each(abs, [-1, -2], 2)) == {-1: 1, -2: 2}
