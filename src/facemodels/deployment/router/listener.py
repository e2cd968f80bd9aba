"""The listening socket of a router, which several routers of one address have each for itself.

The kernel shares new connections out among the sockets of one address (SO_REUSEPORT). So a second
router serves on at once where the first one dies, and nobody connects to a closed port.

A router listens before it has read its routes, and answers 404 for as long as that takes. Its
socket is therefore made by us, with a filter that drops what arrives: a client's first packet is
sent again a second later, and meets the other router or a filter that is open. Some kernels let no
ordinary user set one; there a new router answers 404 for the moment.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
import sys
from contextlib import suppress

from facemodels.errors import InputError

# asm-generic/socket.h; Python names neither of them.
_ATTACH, _DETACH = 26, 27
_DROP = struct.pack("HBBI", 0x06, 0, 0, 0)  # linux/filter.h: BPF_RET | BPF_K, 0 bytes are kept
_WAITING = 4096  # connections that are not accepted yet; the kernel has a limit of its own


def listen(host: str, port: int) -> socket.socket:
    """Listen on an address that other routers of this user may share; what arrives is dropped.

    Args:
        host: the name or address of the host.
        port: the port; 0 takes a free one.

    Raises:
        InputError: another program has the port, or it is for the administrator.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    one = socket.socket(family, socket.SOCK_STREAM)
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        one.bind((host, port))
        _keep_out(one)
        one.listen(_WAITING)
    except PermissionError as error:
        one.close()
        raise InputError(
            f"Port {port} of {host} is for the administrator.", "Choose one above 1023."
        ) from error
    except OSError as error:
        one.close()
        if error.errno != errno.EADDRINUSE:
            raise InputError(
                f"{host} is no address of this machine: {error.strerror}.",
                "Name another under `address` in conf/deploy/<environment>.yaml.",
            ) from error
        raise InputError(
            f"Port {port} of {host} is taken by another program.",
            "End that program (`ss -ltnp` names it), or choose another port under `address` in "
            "conf/deploy/<environment>.yaml.",
        ) from error
    return one


def _keep_out(one: socket.socket) -> None:
    """Drop what arrives, where the kernel lets this user do so."""
    if sys.platform == "linux":
        code = ctypes.create_string_buffer(_DROP)
        program = struct.pack("HL", 1, ctypes.addressof(code))
        with suppress(PermissionError):
            one.setsockopt(socket.SOL_SOCKET, _ATTACH, program)


def let_in(listener: socket.socket) -> None:
    """Take connections from now on."""
    if sys.platform == "linux":
        with suppress(FileNotFoundError):  # there is no filter
            listener.setsockopt(socket.SOL_SOCKET, _DETACH, struct.pack("i", 0))
