"""The access check: whether a request has a token with the scope that its address needs.

`facemodels.routes` says which scope an address needs. A token with the scope `admin` may
do everything.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

from facemodels.routes import Scope
from facemodels.serving.http.errors import RequestError
from facemodels.serving.http.tokens import Tokens


def is_loopback(host: str) -> bool:
    """Whether a server that listens on this host can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def authorise(tokens: Tokens, headers: Mapping[bytes, bytes], needed: Scope | None) -> str | None:
    """Raise unless the request may be answered; returns who asks, where a token was needed.

    Args:
        tokens: the tokens that the server accepts.
        headers: the headers of the request, with names in lower case.
        needed: the scope that the address needs; None if it is open to everyone.

    Raises:
        RequestError: 401 if there is no known token, 403 if the token lacks the scope.
    """
    if needed is None:
        return None
    kind, _, token = headers.get(b"authorization", b"").partition(b" ")
    bearer = kind.lower() == b"bearer"
    held = tokens.holder(token.strip()) if bearer else None
    if held is None:
        sent = ', error="invalid_token"' if bearer else ""
        challenge = {"www-authenticate": f'Bearer realm="facemodels"{sent}'}
        raise RequestError(401, "unauthenticated", "Send a bearer token that is valid.", challenge)
    if needed not in held.scopes and "admin" not in held.scopes:
        lacks = f'Bearer realm="facemodels", error="insufficient_scope", scope="{needed}"'
        text = f"The token lacks the scope {needed}."
        raise RequestError(403, "forbidden", text, {"www-authenticate": lacks})
    return held.name
