"""What every request must pass, and what every answer carries.

The server is meant for one person's own pictures on their own machine. What can reach it from outside all the same is
a page of another site in that person's browser, which it must neither read through nor act through.
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
    # No script or style but the server's own files, nothing from elsewhere, and in nobody's frame.
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
    """ASGI middleware that refuses requests for other hosts, from other sites and with too large a body.

    The name in Host must be one of this machine's: a site whose name is made to point here (DNS rebinding) sends its
    own. Where the server is bound to more than the machine itself, any address will do too, for those are not names.

    Parameters: ``host`` the server is bound to; ``max_bytes`` of a request's body.
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
                await problem(500, "the server failed; its terminal says where")(scope, receive, send_guarded)
            raise

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        if not self._is_own_name(headers.getlist("host")):
            return 400, "the Host header names another server: open the page under the address that was printed"
        if scope["method"] not in _SAFE_METHODS and _is_from_another_site(headers):
            return 403, "a page of another site may not do this"
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
        """Count what comes: a body may be sent in chunks without its length."""
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
        return 413, f"the request is larger than {self._max_bytes >> 20} MB: send a smaller picture"


def is_loopback(host: str) -> bool:
    """Tell whether a server bound to ``host`` can be reached from its own machine alone."""
    return host.lower() == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_from_another_site(headers: Headers) -> bool:
    """Tell whether a browser says that another origin made the request; programs that say nothing may pass."""
    if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        return True
    origin = headers.get("origin")
    return origin is not None and origin.partition("://")[2].lower() != headers["host"].lower()


def _name(host: str) -> str:
    """Return the host of ``host:port``, in lower case, without an IPv6 address's brackets; "" where malformed."""
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
