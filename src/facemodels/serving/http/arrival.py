"""What a request is before anything is done for it: its method, path and trace.

`HEAD` is answered as `GET` is; the connection sends no body. Behind a prefix the path is read
without it, whether the proxy before the server takes it off or not.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, MutableMapping
from typing import Any

from facemodels.serving.http.errors import RequestError

_TRACE = re.compile(
    rb"(?!ff)[0-9a-f]{2}-((?!0{32})[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}.*"
)


def normalised(scope: MutableMapping[str, Any], prefix: str) -> MutableMapping[str, Any]:
    """The ASGI scope of a request as the application is to see it.

    Args:
        scope: of the request; the method of the connection's own scope stays as it is.
        prefix: of all addresses, such as `/faces`; empty for none.
    """
    method, path = scope["method"], scope["path"]
    if prefix and (path == prefix or path.startswith(f"{prefix}/")):
        path = path[len(prefix) :] or "/"
    if method == "HEAD":
        method = "GET"
    if (method, path) == (scope["method"], scope["path"]):
        return scope
    return {**scope, "method": method, "path": path}


def require_host(scope: Mapping[str, Any]) -> None:
    """Refuse a request that does not say once whom it is for (RFC 9112, 3.2).

    Raises:
        RequestError: 400.
    """
    hosts = sum(name == b"host" for name, _ in scope["headers"])
    if hosts > 1 or (hosts == 0 and scope.get("http_version") == "1.1"):
        raise RequestError(400, "host", "Send one Host header.")


def traced(headers: Mapping[bytes, bytes]) -> dict[str, str]:
    """The id of the trace that the client names by `traceparent` (W3C Trace Context), for the log.

    A header of another form is ignored, as the standard asks.
    """
    found = _TRACE.fullmatch(headers.get(b"traceparent", b""))
    return {"trace_id": found[1].decode()} if found else {}


def client_address(scope: Mapping[str, Any]) -> str | None:
    """The address of the client; None where the transport or a proxy gives none."""
    try:
        return str(ipaddress.ip_address(scope["client"][0]))
    except (KeyError, TypeError, ValueError):
        return None
