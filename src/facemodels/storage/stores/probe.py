"""Whether a place can be reached, and if not, why: the bucket, the credentials, the clock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Literal

from facemodels.storage.stores.object_store import Place

Kind = Literal["ok", "absent", "denied", "skewed", "unreachable"]
# Rather a quick answer than the minute that DVC waits for a host that is not there.
PATIENCE = {"connect_timeout": 5, "read_timeout": 20}  # seconds
_ABSENT = {"NoSuchBucket", "ContainerNotFound", "ResourceNotFoundError"}
_SKEWED = {"RequestTimeTooSkewed", "RequestExpired"}
_DENIED = {
    "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken",
    "TokenRefreshRequired", "AllAccessDisabled", "AuthFailure", "403", "401",
    "NoCredentialsError", "PartialCredentialsError", "PermissionError", "AuthError",
    "ClientAuthenticationError", "AuthenticationFailed", "AuthorizationFailure",
    "CredentialRetrievalError", "TokenRetrievalError", "RefreshError", "ForbiddenError",
    "DefaultCredentialsError", "ProfileNotFound", "AzureAuthError",
}  # fmt: skip


@dataclass(frozen=True)
class Reach:
    """What came of trying to list a place.

    Attributes:
        kind: `ok`; `absent` (no such bucket), `denied` (credentials missing, wrong or without
            rights), `skewed` (the clocks differ too much), `unreachable` (anything else).
        text: what the place said, for people.
        clock: its time as it answered; None if it told none.
    """

    kind: Kind
    text: str = ""
    clock: datetime | None = None


def reach(place: Place) -> Reach:
    """Try to list a place, with no more rights than a reader has."""
    try:
        return Reach("ok", clock=_look(place))
    except Exception as error:  # noqa: BLE001  (each cloud's library has errors of its own)
        return explain(error)


def _look(place: Place) -> datetime | None:
    filesystem, path = place.odb.fs.fs, str(place.odb.path)
    bucket, _, prefix = path.partition("/")
    if place.odb.fs.protocol == "s3":
        answer = filesystem.call_s3(
            "list_objects_v2", Bucket=bucket, Prefix=f"{prefix}/", MaxKeys=1
        )
        told = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
        return parsedate_to_datetime(told).astimezone(UTC) if told else None
    if place.odb.fs.protocol == "local":
        _look_at_folder(Path(path).parent.parent)
        return None
    filesystem.invalidate_cache()
    filesystem.ls(bucket)
    return None


def _look_at_folder(folder: Path) -> None:
    """DVC makes the remote's own folder; the one it is in (a mount, often) must be there."""
    if folder.is_dir():
        next(folder.iterdir(), None)
    elif not folder.parent.is_dir():
        raise FileNotFoundError(f"{folder.parent} does not exist")


def causes(error: BaseException) -> Iterator[BaseException]:
    """An error and those it came from."""
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__ or current.__context__


def code_of(error: BaseException) -> str:
    """S3's word for what is wrong, for example `AccessDenied`; "" if it gave none."""
    for cause in causes(error):
        response: Any = getattr(cause, "response", None)
        if isinstance(response, dict) and "Error" in response:
            return str(response["Error"].get("Code", ""))
    return ""


def explain(error: BaseException) -> Reach:
    """What an error of any cloud's library means."""
    names = {code_of(error), *(type(cause).__name__ for cause in causes(error))}
    names |= {str(getattr(cause, "error_code", "")) for cause in causes(error)}
    text = str(error).strip().split("\n", 1)[0] or type(error).__name__
    if names & _SKEWED:
        return Reach("skewed", text)
    if names & _ABSENT:
        return Reach("absent", text)
    if names & _DENIED:
        return Reach("denied", text)
    if isinstance(error, FileNotFoundError):
        return Reach("absent", text)
    return Reach("unreachable", f"{type(error).__name__}: {text}")


@contextmanager
def answers(found: dict[str, str], question: str) -> Iterator[None]:
    """Note the code of an error that a question to S3 brings, under the question's name."""
    try:
        yield
    except Exception as error:  # noqa: BLE001  (s3fs lets all of them through, turned or not)
        found[question] = code_of(error) or type(error).__name__
