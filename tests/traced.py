"""Commands under strace: which machines they speak to, or try to."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from facemodels import SILENT

# An address of a socket in strace's words; sockets of the kernel and of files have no such thing.
_ADDRESS = re.compile(r'sin6?_addr(?:=inet_addr\(|\)?, ?)"([^"]+)"|inet_pton\(AF_INET6, "([^"]+)"')


def traced(command: Sequence[str], trace: Path) -> list[str]:
    """A command that writes to `trace` whom it connects to; a look-up of a name is one too."""
    calls = ["-e", "trace=connect,sendto,sendmsg,sendmmsg"]
    # The kernel stops a process at these calls alone: a tenth of the cost of stopping at each.
    return ["strace", "-f", "--seccomp-bpf", "-qq", "-o", str(trace), *calls, *command]


def outside(trace: Path) -> set[str]:
    """The addresses beyond this machine in a trace."""
    found = [found for line in trace.read_text().splitlines() for found in _ADDRESS.findall(line)]
    return {a or b for a, b in found} - {"127.0.0.1", "::1"}


def plain_environment(home: Path) -> dict[str, str]:
    """The environment of a user who never silenced a library."""
    return {**{k: v for k, v in os.environ.items() if k not in SILENT}, "HOME": str(home)}
