"""Serve the explorer until it is stopped."""

import ctypes
import errno
import logging
import secrets
import socket
from collections.abc import Callable
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING

from fstore import ending
from fstore.errors import DataError
from fstore.explore.app import application
from fstore.explore.guard import LOCAL, Door

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["serve"]

M_ARENA_MAX = -8
"""Of glibc's ``mallopt``."""
FREE = 20
"""Ports that are tried, from the one asked for."""


def serve(
    store: "Store", *, host: str | None, port: int | None, on_ready: Callable[[str], object]
) -> None:
    """Serve a store's pages until Ctrl-C.

    Parameters
    ----------
    store : Store
        It is only read.
    host : str or None
        Address to listen on; None for the loopback. Any other asks everybody for a token.
    port : int or None
        None for 8765, or the next one that is free.
    on_ready : callable
        Told the address to open, when the port is taken.

    Raises
    ------
    DataError
        The port is taken, or the host is no address of this machine.
    """
    import uvicorn

    address = host or "127.0.0.1"
    token = None if address in LOCAL else secrets.token_urlsafe(24)
    _save_memory()
    taken = _socket(address, port)
    app = application(store, door=Door(address, token))
    config = uvicorn.Config(app, log_level="warning", lifespan="off", server_header=False)
    number = taken.getsockname()[1]
    name = f"[{address}]" if ":" in address else address
    server = uvicorn.Server(config)
    # signals end it as any command, also while pages are being worked out: they only read
    server.capture_signals = nullcontext  # type: ignore[method-assign,assignment]
    logging.getLogger("uvicorn.error").addFilter(lambda _record: ending.stopped() is None)
    on_ready(f"http://{name}:{number}/" + (f"?token={token}" if token else ""))
    server.run(sockets=[taken])


def _save_memory() -> None:
    """Have memory that threads free used by others: pools of their own hold hundreds of MB."""
    import pyarrow as pa

    pa.set_memory_pool(pa.system_memory_pool())
    with suppress(AttributeError, OSError):  # glibc has it
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 2)


def _socket(host: str, port: int | None) -> socket.socket:
    """Take a port."""
    try:
        family, *_, place = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise DataError(
            f"--host is '{host}', which is no name or address that this machine knows ({error}); "
            "without --host, only this machine is served"
        ) from error
    wanted = range(8765, 8765 + FREE) if port is None else [port]
    problem: OSError | None = None
    for number in wanted:
        try:
            taken = socket.socket(family, socket.SOCK_STREAM)
            try:
                taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                taken.bind((place[0], number, *place[2:]))
                taken.listen(128)  # who asks before the server runs waits
            except OSError:
                taken.close()
                raise
        except OSError as error:
            problem = error
        else:
            return taken
    if problem is not None and problem.errno == errno.EADDRNOTAVAIL:
        raise DataError(f"--host is '{host}', which is not an address of this machine")
    which = f"port {port}" if port is not None else f"ports 8765 to {8764 + FREE}"
    raise DataError(
        f"cannot listen on {host}, {which}: {problem.strerror if problem else 'taken'}; "
        "choose another with --port"
    )
