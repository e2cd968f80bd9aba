"""Which failures of a store are worth waiting for, and how long it is waited."""

from __future__ import annotations

import errno
from collections.abc import Iterator

import pytest

from facemodels.errors import FacemodelsError, ToolError
from facemodels.storage.stores.errors import AccessError, FullError, TransientError, wrap_error
from facemodels.storage.stores.retries import Patience, Retries
from facemodels.storage.stores.stores import each


def raised(error: Exception) -> ToolError:
    return wrap_error("storage", "s3://models", error)


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


@pytest.mark.parametrize(
    ("answer", "kind", "remedy"),
    [
        ("An error occurred (507) when calling PutObject: Insufficient Storage", FullError, "quota"),
        ("(XMinioStorageFull) Storage backend has reached its minimum", FullError, "quota"),
        ("An error occurred (ExpiredToken) when calling", AccessError, "aws sso login"),
        ("An error occurred (RequestTimeTooSkewed) when calling", AccessError, "clock"),
        ("(AuthorizationHeaderMalformed) expecting 'eu-west-1'", AccessError, "region"),
        ("(NotImplemented) A header you provided implies functionality that is not implemented",
         ToolError, "AWS_REQUEST_CHECKSUM_CALCULATION=when_required"),
    ],
)  # fmt: skip
def test_what_a_store_answers_gets_its_own_remedy(
    answer: str, kind: type[ToolError], remedy: str
) -> None:
    found = raised(OSError(errno.EIO, answer))
    assert type(found) is kind
    assert remedy in found.remedy


def test_a_time_out_without_a_word_says_so() -> None:
    assert "no answer in time" in raised(TimeoutError()).what


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


def test_a_store_is_given_up_when_nothing_succeeded_for_as_long_as_the_patience(
    capsys: pytest.CaptureFixture[str],
) -> None:
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
    assert capsys.readouterr().err == "away Trying again for 4 s.\n" * 2  # once in each time


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
