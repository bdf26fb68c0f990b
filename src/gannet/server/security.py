"""Checks on every request, and security headers on every response.

The server is meant for one person's own pictures on their own machine. A page of another site in that person's browser
can still send requests to it, and must neither read responses nor change the collection.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import time
from collections.abc import Collection, Mapping, Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gannet.errors import GannetError
from gannet.server.problems import problem

_HEADERS: Mapping[str, str] = {
    # Only the server's own scripts and styles, nothing from other sites, and no embedding in frames.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
#: Seconds in which the body of a request must arrive.
BODY_SECONDS = 60.0
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class Guard:
    """ASGI middleware that refuses requests for other hosts, requests from other sites, and bodies that are too large.

    The Host header must hold a name of this machine. This stops DNS rebinding: a site that lets its name resolve to
    this machine still sends its own name. If other machines can reach the server, any IP address is accepted too,
    because DNS rebinding needs a name.

    ``host`` is the host that the server is bound to, ``max_bytes`` the largest request body in bytes, and ``allowed``
    are further names of this server, in lower case.
    """

    def __init__(self, app: ASGIApp, host: str, max_bytes: int, allowed: Collection[str] = ()) -> None:
        self._app = app
        self._allowed = frozenset(allowed)
        self._names = _LOOPBACK | {host.lower()} | self._allowed
        self._any_address = not is_loopback(host)
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        started = False

        async def send_guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            await problem(*refusal)(scope, receive, send_guarded)
            return
        try:
            await self._app(scope, self._limited(receive), send_guarded)
        except ClientDisconnect:  # nobody is there to take a response
            return
        except asyncio.CancelledError:
            if not started:
                await problem(503, "the server is stopping")(scope, receive, send_guarded)
        except Exception:
            if not started:
                await problem(500, "internal error: see the terminal of the server")(scope, receive, send_guarded)
            raise

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        if not self._is_own_name(headers.getlist("host")):
            return 400, "the Host header names another server: use the address that `gannet serve` printed"
        if scope["method"] not in _SAFE_METHODS and self._is_from_another_site(headers):
            return 403, "pages of other sites may not send this request"
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length[:20]) > self._max_bytes:
            return self._too_large()
        return None

    def _is_own_name(self, hosts: list[str]) -> bool:
        if len(hosts) != 1:
            return False
        name = _name(hosts[0])
        return name in self._names or (self._any_address and _is_address(name))

    def _is_from_another_site(self, headers: Headers) -> bool:
        """Return whether the headers name another origin. Programs other than browsers send no such headers and pass.

        A proxy may replace the Host header, but not the origin, so that an origin may also have an allowed name.
        """
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            return True
        origin = headers.get("origin")
        host = "" if origin is None else origin.partition("://")[2].lower()
        return origin is not None and host != headers["host"].lower() and _name(host) not in self._allowed

    def _limited(self, receive: Receive) -> Receive:
        """Limit the bytes and the seconds of a body: chunks do not state their length, and a client may stop."""
        total, until, is_complete = 0, time.monotonic() + BODY_SECONDS, False

        async def receive_limited() -> Message:
            nonlocal total, is_complete
            try:
                message = await asyncio.wait_for(receive(), None if is_complete else until - time.monotonic())
            except TimeoutError:
                raise HTTPException(408, f"the request did not arrive within {BODY_SECONDS:.0f} seconds") from None
            is_complete = not message.get("more_body", False)
            total += len(message.get("body", b""))
            if total > self._max_bytes:
                raise HTTPException(*self._too_large())
            return message

        return receive_limited

    def _too_large(self) -> tuple[int, str]:
        return 413, f"the request is larger than {self._max_bytes >> 20} MB: send a smaller image"


def is_loopback(host: str) -> bool:
    """Return whether a server bound to ``host`` can be reached only from its own machine."""
    return host.lower() == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def checked_hosts(names: Sequence[str]) -> frozenset[str]:
    """Return host names in lower case, or raise a `GannetError` for a text that is not a name or an address alone."""
    for name in names:
        if not (re.fullmatch(r"[\w-]+(\.[\w-]+)*", name) or _is_address(name)):
            raise GannetError(f"{name!r} is not a host name: give it without http:// and without a port")
    return frozenset(name.lower() for name in names)


def _name(host: str) -> str:
    """Return the host of ``host:port``, in lower case and without brackets around IPv6; "" if it is malformed."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
