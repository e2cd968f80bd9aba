"""Whether a store can be reached, and why not: the bucket, the credentials or the clock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Literal

from facemodels.storage.stores.errors import causes
from facemodels.storage.stores.object_store import ObjectStore
from facemodels.storage.stores.s3_listing import list_one

AccessKind = Literal["ok", "absent", "denied", "skewed", "unreachable"]
# DVC waits a minute for a host that is not there; a probe should answer sooner.
TIMEOUTS = {"connect_timeout": 5, "read_timeout": 20}  # seconds
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
class AccessCheck:
    """The result of trying to list a store.

    Attributes:
        kind: `ok`; `absent` (no such bucket); `denied` (credentials missing, wrong or without
            rights); `skewed` (the clocks differ too much); `unreachable` (anything else).
        text: what the store said, for people.
        clock: the store's time when it answered; None if it told none.
    """

    kind: AccessKind
    text: str = ""
    clock: datetime | None = None


def check_access(store: ObjectStore) -> AccessCheck:
    """Try to list a store, with no more rights than a reader has."""
    try:
        return AccessCheck("ok", clock=_list_one(store))
    except Exception as error:  # noqa: BLE001  (each cloud's library has errors of its own)
        return explain(error)


def _list_one(store: ObjectStore) -> datetime | None:
    """List at most one object; return the store's time if it tells one."""
    filesystem, path = store.odb.fs.fs, str(store.odb.path)
    if store.odb.fs.protocol == "s3":
        answer = list_one(filesystem, path)
        told = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
        return parsedate_to_datetime(told).astimezone(UTC) if told else None
    if store.odb.fs.protocol == "local":
        _require_folder(Path(path).parent.parent)
        return None
    filesystem.invalidate_cache()
    filesystem.ls(path.partition("/")[0])
    return None


def _require_folder(folder: Path) -> None:
    """Stop unless the folder is there or could be made.

    DVC makes the remote's own folder; the one that it is in (often a mount) must exist.
    """
    if folder.is_dir():
        next(folder.iterdir(), None)
    elif not folder.parent.is_dir():
        raise FileNotFoundError(f"{folder.parent} does not exist")


def code_of(error: BaseException) -> str:
    """S3's code for what is wrong, for example `AccessDenied`; "" if it gave none."""
    for cause in causes(error):
        response: Any = getattr(cause, "response", None)
        if isinstance(response, dict) and "Error" in response:
            return str(response["Error"].get("Code", ""))
    return ""


def explain(error: BaseException) -> AccessCheck:
    """Say what an error of any cloud's library means."""
    names = {code_of(error), *(type(cause).__name__ for cause in causes(error))}
    names |= {str(getattr(cause, "error_code", "")) for cause in causes(error)}
    text = str(error).strip().split("\n", 1)[0] or type(error).__name__
    if names & _SKEWED:
        return AccessCheck("skewed", text)
    if names & _ABSENT:
        return AccessCheck("absent", text)
    if names & _DENIED:
        return AccessCheck("denied", text)
    if isinstance(error, FileNotFoundError):
        return AccessCheck("absent", text)
    return AccessCheck("unreachable", f"{type(error).__name__}: {text}")


@contextmanager
def note_code(found: dict[str, str], question: str) -> Iterator[None]:
    """Note the code of the error that a question to S3 raises, under the name of the question."""
    try:
        yield
    except Exception as error:  # noqa: BLE001  (s3fs passes on its own and botocore's errors)
        found[question] = code_of(error) or type(error).__name__
