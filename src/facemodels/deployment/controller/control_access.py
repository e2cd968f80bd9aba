"""Who may speak to the controller's own address: whoever can read the token in its state folder.

A program on the same machine, or a web page in a browser there, could otherwise forge an alert that
rolls production back. Prometheus and Alertmanager read the token from its file.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from facemodels.errors import ToolError
from facemodels.files import atomic_path

TOKEN_FILE = "control.token"  # noqa: S105  (the name of a file in the state folder)
_BYTES = 32


def control_token(folder: Path) -> str:
    """Read the token of an environment's controller; it is made if there is none.

    Args:
        folder: the state folder. The file in it may be read by its owner alone.

    Raises:
        ToolError: the file can neither be read nor written.
    """
    path = folder / TOKEN_FILE
    try:
        found = path.read_text(encoding="ascii").strip() if path.exists() else ""
        if not found:
            found = secrets.token_urlsafe(_BYTES)
            folder.mkdir(parents=True, exist_ok=True)
            with atomic_path(path, mode=0o600) as new:
                new.write_text(f"{found}\n", encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise ToolError(
            f"{path} cannot be used: {error}.", "See that you may write there, or delete the file."
        ) from error
    return found


@dataclass(frozen=True)
class ControlAccess:
    """Decides whether a request to the controller's address is answered.

    Attributes:
        token: the token that a request must carry.
        port: the port that it must be addressed to.
    """

    token: str
    port: int

    def refusal(self, headers: Mapping[str, str]) -> tuple[int, str] | None:
        """The status and the reason with which a request is refused; None if it is answered.

        A `Host` that is no name of this machine comes from a page whose name was bound to
        127.0.0.1 (DNS rebinding), and an `Origin` from a page at all: neither has business here.
        """
        sent = {name.lower(): value for name, value in headers.items()}
        if not self._is_here(sent.get("host", "")):
            return 421, "Host is not this address"
        if "origin" in sent:
            return 403, "web pages are not answered"
        scheme, _, given = sent.get("authorization", "").partition(" ")
        known = hmac.compare_digest(given.strip().encode(), self.token.encode())
        if scheme.lower() != "bearer" or not known:
            return 401, f"send the token in {TOKEN_FILE} as a bearer token"
        return None

    def _is_here(self, host: str) -> bool:
        try:
            parts = urlsplit(f"//{host}")
            if (parts.port or 80) != self.port or parts.username is not None:
                return False
            return parts.hostname == "localhost" or (
                ipaddress.ip_address(parts.hostname or "").is_loopback
            )
        except ValueError:
            return False
