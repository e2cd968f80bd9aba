"""Errors of object stores, and which of them waiting may mend.

ToolError (exit code 1)
├── AccessError       the credentials or the rights are not enough
├── FullError         there is no room left
└── TransientError    the store did not answer as it should; another attempt may succeed

`wrap_error` turns an error of any cloud's library into one of these, or into a plain `ToolError`.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass

from facemodels.errors import ToolError

# Names, as each cloud's library has its own classes and none is there before its extra is.
_DENIED = {
    "PermissionError", "NoCredentialsError", "PartialCredentialsError", "ProfileNotFound",
    "CredentialRetrievalError", "SSOError", "ClientAuthenticationError",
    "DefaultCredentialsError", "Forbidden",
}  # fmt: skip
_DENIED_WORDS = ("InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied")
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FINAL = {
    *_FULL, errno.EINVAL, errno.ENOENT, errno.EROFS, errno.EISDIR, errno.ENOTDIR, errno.ENOSYS,
    errno.ENAMETOOLONG, errno.EMSGSIZE, errno.EEXIST,
}  # fmt: skip
_FINAL_TYPES = (TypeError, ValueError, AttributeError, LookupError, ImportError, AssertionError)
# The library says "invalid" of these, but the next attempt sends other bytes.
_BROKEN_ON_THE_WAY = ("IncompleteBody", "BadDigest", "RequestTimeout", "InvalidDigest")


@dataclass(frozen=True)
class _Cause:
    """What some answers of stores mean.

    Attributes:
        words: of the answers; one of them is in the text or the class of the error.
        error: the class of our error.
        meaning: what is wrong, for the message.
        remedy: what mends it.
    """

    words: tuple[str, ...]
    error: type[ToolError]
    meaning: str
    remedy: str

    def is_meant(self, chain: list[BaseException]) -> bool:
        """Whether one of the errors is such an answer."""
        texts = [f"{type(one).__name__} {one}" for one in chain]
        return any(word in text for word in self.words for text in texts)


class AccessError(ToolError):
    """The store refuses the credentials or the act; another attempt does not change that."""


class FullError(ToolError):
    """The store or the disk has no room for the bytes."""


class TransientError(ToolError):
    """The store did not answer as it should; a later attempt may succeed."""


# S3's codes (docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html) and what stores that are
# compatible with it answer; the first that fits counts.
_CAUSES = (
    _Cause(
        ("QuotaExceeded", "InsufficientStorage", "Insufficient Storage", "StorageFull", "(507)",
         "QuotaError", "storage quota", "AccountQuota"),
        FullError, "has no room left: the quota of the store is used up",
        "Free some there or raise the quota, then run it again: what is there already is kept.",
    ),
    _Cause(
        ("ExpiredToken", "TokenRefreshRequired", "RequestExpired", "token has expired",
         "UnauthorizedSSOTokenError", "TokenRetrievalError", "RefreshError"),
        AccessError, "does not let us in: the credentials have expired",
        "Renew them (`aws sso login`, `gcloud auth application-default login`, `az login`).",
    ),
    _Cause(
        ("RequestTimeTooSkewed",),
        AccessError, "does not let us in: the clock of this machine is wrong",
        "Set the clock (`timedatectl set-ntp true`).",
    ),
    _Cause(
        ("AuthorizationHeaderMalformed", "PermanentRedirect", "IllegalLocationConstraint",
         "the region", "IncorrectEndpoint"),
        AccessError, "is in another region than the one that was asked",
        "Set it: `dvc remote modify --local REMOTE region REGION`, or AWS_DEFAULT_REGION.",
    ),
    _Cause(
        ("x-amz-checksum", "x-amz-sdk-checksum", "aws-chunked", "STREAMING-",
         "MissingContentLength", "XAmzContentSHA256Mismatch",
         "implies functionality that is not implemented"),
        ToolError, "does not know the checksums that botocore sends with each upload",
        "Set AWS_REQUEST_CHECKSUM_CALCULATION=when_required and "
        "AWS_RESPONSE_CHECKSUM_VALIDATION=when_required.",
    ),
)  # fmt: skip


def wrap_error(name: str, url: str, error: Exception) -> ToolError:
    """Turn an error of any cloud's library into one of this library.

    Args:
        name: the name of the store, for the message.
        url: the URL of the store, for the message.
        error: what the library raised.
    """
    said = f"{type(error).__name__}: {error}".strip().rstrip(".")
    where = f"{name} ({url})"
    chain = list(causes(error))
    for cause in _CAUSES:
        if cause.is_meant(chain):
            return cause.error(f"{where} {cause.meaning}: {said}.", cause.remedy)
    numbers = {one.errno for one in chain if isinstance(one, OSError)}
    if numbers & _FULL:
        return FullError(
            f"{where} has no room left: {said}.",
            "Free some (`dvc gc --workspace --all-tags --all-commits` empties the cache of what no "
            "commit needs), then run it again: what is there already is kept.",
        )
    if any(_is_denied(one) for one in chain):
        return AccessError(
            f"{where} does not let us in: {said}.",
            "Check the credentials (AWS_ACCESS_KEY_ID, AWS_PROFILE, `dvc remote modify --local`), "
            "the clock of this machine and the rights on the bucket.",
        )
    if any(word in said for word in _BROKEN_ON_THE_WAY):
        return TransientError(f"{where} was cut off: {said}.", "Run it again: it goes on.")
    if numbers & _FINAL or isinstance(error, _FINAL_TYPES):
        return ToolError(
            f"{where} failed: {said}.",
            "Check the URL and the bucket; `facemodels storage doctor` helps.",
        )
    if type(error).__name__ in ("FSTimeoutError", "TimeoutError"):  # which say nothing themselves
        said = "no answer in time"
    return TransientError(
        f"{where} does not answer as it should: {said}.",
        "Check the network and the store, then run it again: it goes on where it stopped.",
    )


def _is_denied(error: BaseException) -> bool:
    return type(error).__name__ in _DENIED or any(word in str(error) for word in _DENIED_WORDS)


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and the errors that it was raised from."""
    found: BaseException | None = error
    seen: set[int] = set()
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        found = found.__cause__ or found.__context__
