"""Who may do what: which scope an address asks for, and whether the bearer's token has it.

Open to everyone are `/`, `/openapi.json` and the health of the server: probes of an orchestrator
carry no token, and the page and the description tell what the public source tells, besides the
name and version of the model. Everything else asks for a token, addresses that do not exist
included, so that nobody learns by trying. `admin` may do everything.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping

from facemodels.serving.http.errors import RequestError
from facemodels.serving.http.tokens import Scope, Tokens

OPEN = ("/", "/openapi.json", "/v2/health/live", "/v2/health/ready")
_PREDICTION = re.compile(r"/api/[a-z]+|/v2/models/[^/]+(?:/versions/[^/]+)?/infer")


def is_prediction(method: str, path: str) -> bool:
    """Whether a request asks the model for something."""
    return method == "POST" and _PREDICTION.fullmatch(path) is not None


def is_loopback(host: str) -> bool:
    """Whether an address to listen on can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def authorise(tokens: Tokens, path: str, headers: Mapping[bytes, bytes], *, predicts: bool) -> None:
    """Raise unless the bearer may do this.

    Raises:
        RequestError: 401 without a token that is known, 403 without the scope.
    """
    if path in OPEN and not predicts:
        return
    kind, _, token = headers.get(b"authorization", b"").partition(b" ")
    bearer = kind.lower() == b"bearer"
    held = tokens.scopes(token.strip()) if bearer else None
    if held is None:
        sent = ', error="invalid_token"' if bearer else ""
        asked = {"www-authenticate": f'Bearer realm="facemodels"{sent}'}
        raise RequestError(401, "unauthenticated", "Send a bearer token that is valid.", asked)
    needed = _needed(path, predicts=predicts)
    if needed not in held and "admin" not in held:
        lacks = f'Bearer realm="facemodels", error="insufficient_scope", scope="{needed}"'
        text = f"The token lacks the scope {needed}."
        raise RequestError(403, "forbidden", text, {"www-authenticate": lacks})


def _needed(path: str, *, predicts: bool) -> Scope:
    if predicts:
        return "predict"
    return "metrics" if path == "/metrics" else "info"
