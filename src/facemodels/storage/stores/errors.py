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

from facemodels.errors import ToolError

# Names, as each cloud's library has its own classes and none is there before its extra is.
_DENIED = {
    "PermissionError", "NoCredentialsError", "PartialCredentialsError", "TokenRetrievalError",
    "ProfileNotFound", "CredentialRetrievalError", "SSOError", "UnauthorizedSSOTokenError",
    "ClientAuthenticationError", "DefaultCredentialsError", "RefreshError", "Forbidden",
}  # fmt: skip
_DENIED_WORDS = ("InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied", "ExpiredToken")
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FINAL = {
    *_FULL, errno.EINVAL, errno.ENOENT, errno.EROFS, errno.EISDIR, errno.ENOTDIR, errno.ENOSYS,
    errno.ENAMETOOLONG, errno.EMSGSIZE, errno.EEXIST,
}  # fmt: skip
_FINAL_TYPES = (TypeError, ValueError, AttributeError, LookupError, ImportError, AssertionError)
# The library says "invalid" of these, but the next attempt sends other bytes.
_BROKEN_ON_THE_WAY = ("IncompleteBody", "BadDigest", "RequestTimeout", "InvalidDigest")


class AccessError(ToolError):
    """The store refuses the credentials or the act; another attempt does not change that."""


class FullError(ToolError):
    """The store or the disk has no room for the bytes."""


class TransientError(ToolError):
    """The store did not answer as it should; a later attempt may succeed."""


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
