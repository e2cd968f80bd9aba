"""Tells the probes of the controller from the requests of clients.

The golden set is replayed through the address of the clients. Its requests are no traffic: they
say nothing of how clients fare, and must neither promote nor condemn a version. The controller
gives its servers a secret, and its probes carry it; nobody else can hide a request by the header.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Mapping

HEADER = "X-Facemodels-Probe"
VARIABLE = "FACEMODELS_PROBE_MARK"  # environment variable of a server, with the secret
_FIELD = HEADER.lower().encode()


class ProbeMark:
    """Whether a request carries the secret of the probes.

    Args:
        secret: the secret; None reads it from the environment, "" marks no request.
    """

    def __init__(self, secret: str | None = None) -> None:
        self._secret = (os.environ.get(VARIABLE, "") if secret is None else secret).encode()

    def on(self, headers: Mapping[bytes, bytes]) -> bool:
        """Whether the headers of a request, with names in small letters, carry it."""
        given = headers.get(_FIELD)
        return bool(given and self._secret) and hmac.compare_digest(given or b"", self._secret)
