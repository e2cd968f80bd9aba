"""Which requests may choose their version by `X-Facemodels-Version` or a version's address. Pure.

Whoever may choose can send all of his requests to a canary, and by that condemn or promote it. So
nobody may unless the settings name his address or token. The controller's probes carry a secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from facemodels.serving.http.probe_mark import HEADER as PROBE_HEADER

# RFC 6750, 2.1: the characters of a bearer token. Traefik's rules stand between backticks.
_TOKEN = re.compile(r"[A-Za-z0-9._~+/:-]+=*")


@dataclass(frozen=True)
class VersionChoosers:
    """Who may choose a version.

    Attributes:
        networks: addresses and networks of clients, for example `10.0.0.0/8`.
        tokens: bearer tokens.
        probe_secret: the secret that the controller's probes carry; "" lets no probe choose.
    """

    networks: tuple[str, ...] = ()
    tokens: tuple[str, ...] = ()
    probe_secret: str = ""

    @property
    def rule(self) -> str:
        """The rule of Traefik that matches their requests; "" if nobody may choose."""
        found = [f"ClientIP(`{network}`)" for network in self.networks]
        found += [f"Header(`Authorization`, `Bearer {token}`)" for token in self.tokens]
        if self.probe_secret:
            found.append(f"Header(`{PROBE_HEADER}`, `{self.probe_secret}`)")
        return " || ".join(found)


NOBODY = VersionChoosers()


def read_tokens(lines: Iterable[str]) -> tuple[str, ...]:
    """Read bearer tokens, one a line; empty lines, comments and what is no token are left out."""
    words = (line.strip() for line in lines)
    return tuple(word for word in words if not word.startswith("#") and _TOKEN.fullmatch(word))
