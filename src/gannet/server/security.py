"""Checks on every request, and security headers on every response.

The server is meant for one person's own pictures on their own machine. A page of another site in that person's browser
can still send requests to it, and must neither read responses nor change the collection.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

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
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class Guard:
    """ASGI middleware that refuses requests for other hosts, requests from other sites, and bodies that are too large.

    The Host header must hold a name of this machine. This stops DNS rebinding: a site that lets its name resolve to
    this machine still sends its own name. If other machines can reach the server, any IP address is accepted too,
    because DNS rebinding needs a name.

    ``host`` is the host that the server is bound to, ``max_bytes`` the largest request body in bytes.
    """

    def __init__(self, app: ASGIApp, host: str, max_bytes: int) -> None:
        self._app = app
        self._names = _LOOPBACK | {host.lower()}
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
        except Exception:
            if not started:
                await problem(500, "internal error: see the terminal of the server")(scope, receive, send_guarded)
            raise

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        if not self._is_own_name(headers.getlist("host")):
            return 400, "the Host header names another server: use the address that `gannet serve` printed"
        if scope["method"] not in _SAFE_METHODS and _is_from_another_site(headers):
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

    def _limited(self, receive: Receive) -> Receive:
        """Limit the bytes that are received: a body in chunks does not state its length."""
        total = 0

        async def receive_limited() -> Message:
            nonlocal total
            message = await receive()
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


def _is_from_another_site(headers: Headers) -> bool:
    """Return whether the headers name another origin. Programs other than browsers send no such headers and pass."""
    if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        return True
    origin = headers.get("origin")
    return origin is not None and origin.partition("://")[2].lower() != headers["host"].lower()


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
