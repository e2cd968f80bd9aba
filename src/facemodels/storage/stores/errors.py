"""What went wrong with a store, and whether waiting helps."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from facemodels.errors import ToolError
from facemodels.params import Frozen

Result = TypeVar("Result")

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
    """The store does not let us in; trying again does not change that."""


class FullError(ToolError):
    """There is no room for the bytes."""


class TransientError(ToolError):
    """The store did not answer as it should; it may do so later."""


class Patience(Frozen):
    """How long a store may be away.

    Attributes:
        seconds: from the last answer to the moment when we give up.
        first_wait_s: upper bound of the first pause; it doubles each time, and its length is
            drawn between 0 and the bound (Brooker, "Exponential backoff and jitter", 2015).
        longest_wait_s: upper bound of any pause.
    """

    seconds: float = 120.0
    first_wait_s: float = 0.5
    longest_wait_s: float = 15.0


class Retries:
    """Tries again while a store is away; all threads that use it share one clock.

    What counts is the time since anything succeeded there: a thousand objects do not wait a
    thousand times for a store that is gone.
    """

    def __init__(
        self, patience: Patience | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._patience = patience or Patience()
        self._clock = clock
        self._lock = threading.Lock()
        self._away_since: float | None = None

    def __call__(self, act: Callable[[], Result]) -> Result:
        """The act's result, of the first attempt that gives one.

        Raises:
            TransientError: of the last attempt. Whatever else `act` raises comes at once.
        """
        from tenacity import Retrying, retry_if_exception_type, wait_random_exponential

        attempts = Retrying(
            retry=retry_if_exception_type(TransientError),
            stop=lambda _: self._is_over(),
            wait=wait_random_exponential(
                multiplier=self._patience.first_wait_s, max=self._patience.longest_wait_s
            ),
            reraise=True,
        )
        result: Result = attempts(act)
        with self._lock:
            self._away_since = None
        return result

    def _is_over(self) -> bool:
        with self._lock:
            now = self._clock()
            if self._away_since is None:
                self._away_since = now
            return now - self._away_since >= self._patience.seconds


def explain(name: str, url: str, error: Exception) -> ToolError:
    """An error of any cloud's library as one of ours.

    Args:
        name: of the place.
        url: of the place.
        error: of the library.
    """
    said = f"{type(error).__name__}: {error}".strip().rstrip(".")
    where = f"{name} ({url})"
    chain = list(_causes(error))
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


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and those that it was raised from."""
    found: BaseException | None = error
    seen: set[int] = set()
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        found = found.__cause__ or found.__context__
