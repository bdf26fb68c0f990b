"""HTTP connections with limits: on the size of headers, on the time of a silent connection, and on their number."""

from __future__ import annotations

import asyncio
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

#: At this number of connections, the longest silent one is closed for a new one, so that files can still be opened:
#: many systems allow 1,024 of both together.
MAX_CONNECTIONS = 400
#: Requests beyond this number at a time get status 503.
MAX_REQUESTS = 500
#: Largest size of the headers of a request in bytes.
MAX_HEADER_BYTES = 32 << 10
#: Seconds in which the headers of a request must arrive.
HEADER_SECONDS = 10.0
#: Seconds after which a request may be cut off for a new connection, if its client does not take the response.
REQUEST_SECONDS = 60.0
#: Seconds that requests get to end when the server stops.
STOP_SECONDS = 3


class Connection(H11Protocol):
    """Is closed if no complete headers arrive in time, or if it is silent and others need its place."""

    def connection_made(self, transport: Any) -> None:
        """Make room for a new connection."""
        super().connection_made(transport)
        self._timer: asyncio.TimerHandle | None = None
        self._since = self.loop.time()
        self._expect_headers()
        if len(self.connections) > MAX_CONNECTIONS:
            others = (other for other in self.connections if isinstance(other, Connection) and other is not self)
            oldest = min(filter(Connection._may_be_closed, others), key=lambda other: other._since, default=None)
            if oldest is not None:
                oldest.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take bytes, and await the rest of the headers for a limited time."""
        super().data_received(data)
        if self._is_silent():
            self._expect_headers()
        else:
            self._stop_timer()
            self._since = self.loop.time()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_timer()
        super().connection_lost(exc)

    def _is_silent(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _may_be_closed(self) -> bool:
        return self._is_silent() or self.loop.time() - self._since > REQUEST_SECONDS

    def _expect_headers(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(HEADER_SECONDS, self._close_if_silent)

    def _close_if_silent(self) -> None:
        self._timer = None
        if self._is_silent():
            self.transport.abort()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def server_config(app: Any) -> uvicorn.Config:
    """Return how to run the application: with limits, and without an access log, which would record what users see."""
    return uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=MAX_REQUESTS,
        h11_max_incomplete_event_size=MAX_HEADER_BYTES,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
