"""Bind the address and run the server until it is interrupted."""

from __future__ import annotations

import contextlib
import errno
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence

import uvicorn

from gannet.errors import GannetError
from gannet.retrieval.live import LiveCollection
from gannet.retrieval.live_target import LiveTarget
from gannet.server.app import create_app
from gannet.server.connections import server_config
from gannet.server.security import is_loopback


def serve(
    live: LiveCollection | LiveTarget,
    host: str,
    port: int,
    say: Callable[[str], None],
    allowed_hosts: Sequence[str] = (),
) -> None:
    """Serve an open collection or target until the process is interrupted, and close it.

    Port 0 takes any free port. ``say`` is called with each line to print: the address, and a warning if other machines
    can reach it. ``allowed_hosts`` are further host names by which clients address the server, such as the name of a
    proxy. Raises a `GannetError` if the address cannot be bound, or an allowed host is not a name.
    """
    with contextlib.closing(live) as collection, _bind(host, port) as bound:
        collection.warm_up()
        config = server_config(create_app(collection, host, allowed_hosts=allowed_hosts))
        say(f"serving {collection.name}, {len(collection):,} items, at {_url(bound)} (Ctrl+C to stop)")
        if not is_loopback(host):
            may = "see and remove" if collection.editable else "see"
            say(f"anyone who can reach this machine can {may} its items: there is no password")
        with contextlib.suppress(KeyboardInterrupt), _terminated_as_interrupted():
            uvicorn.Server(config).run(sockets=[bound])


@contextlib.contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Treat SIGTERM like Ctrl+C, so that the collection is closed; uvicorn raises the signal again after it stops."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread can handle signals
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _bind(host: str, port: int) -> socket.socket:
    if not 0 <= port < 1 << 16:
        raise GannetError(f"a port is a number from 0 to 65535, not {port}")
    if not host:
        raise GannetError("--host is empty: give the address to bind, such as 127.0.0.1")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise GannetError(f"port {port} of {host} is in use: choose another with --port, or 0 for any") from error
        if error.errno == errno.EACCES:
            raise GannetError(f"no permission to use port {port}: choose one above 1023 with --port") from error
        why = str(error.strerror or error).partition(" (while ")[0]  # Python appends the address to the message
        raise GannetError(f"cannot serve at {host}: {why}; see --host") from error
    except UnicodeError as error:
        raise GannetError(f"{host!r} is not an address; see --host") from error


def _url(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"
