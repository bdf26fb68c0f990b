"""The application: the API, the web page with its files, and the checks on every request."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response

import gannet
from gannet.pages.rendering import STYLE_SHEET, render
from gannet.retrieval.live import LiveCollection
from gannet.retrieval.live_target import LiveTarget
from gannet.server.api import make_router, max_duplicates_radius
from gannet.server.problems import add_handlers
from gannet.server.schemas import MAX_RESULTS, MAX_TEXT
from gannet.server.security import Guard, checked_hosts

#: Largest request body in bytes, and largest query image in pixels.
MAX_BYTES = 32 << 20
MAX_PIXELS = 100_000_000

_STATIC = Path(__file__).parent / "static"
# All files by name, so that no part of a URL ever becomes part of a path.
_FILES = {file.name: file for file in (STYLE_SHEET, *sorted(_STATIC.iterdir()))}


def create_app(
    collection: LiveCollection | LiveTarget,
    host: str = "127.0.0.1",
    max_bytes: int = MAX_BYTES,
    max_pixels: int = MAX_PIXELS,
    allowed_hosts: Sequence[str] = (),
) -> FastAPI:
    """Return the application that serves an open collection.

    Parameters
    ----------
    collection : LiveCollection or LiveTarget
        The collection, or a target to which one was exported. The caller closes it.
    host : str, default="127.0.0.1"
        Host that the server will be bound to. Requests with another name in their Host header are refused.
    max_bytes : int, default=33554432
        Largest request body in bytes.
    max_pixels : int, default=100000000
        Largest query image in pixels.
    allowed_hosts : sequence of str, default=()
        Further host names by which clients address the server, such as the name of a proxy.

    Returns
    -------
    FastAPI
        The ASGI application.

    Raises
    ------
    GannetError
        If an allowed host is not a host name or IP address.
    """
    app = FastAPI(
        title="Gannet",
        version=gannet.__version__,
        description="Search a collection of images, or of vectors, by the Hamming distance between their codes.",
        docs_url=None,  # FastAPI's documentation page loads scripts from other sites
        redoc_url=None,
    )
    router = make_router(collection, max_pixels)
    app.include_router(router)
    add_handlers(app, router)

    @app.get("/", include_in_schema=False)
    def get_page(_: Request) -> Response:
        info = collection.info()
        radius, cosine = collection.duplicate_limits
        page = render(
            "serve.html",
            "gannet.server",
            name=collection.name,
            items=info["items"],
            n_bits=info["bits"],
            key=f"{info['model_id'][:8]}-{info['created']}",
            editable=collection.editable,
            takes_texts=collection.takes_texts,
            parts=collection.parts,
            max_text=MAX_TEXT,
            max_results=MAX_RESULTS,
            duplicates_radius=radius,
            duplicates_cosine=cosine,
            max_duplicates_radius=max_duplicates_radius(info["bits"]),
            max_bytes=max_bytes,
        )
        return HTMLResponse(page, headers={"Cache-Control": "no-store"})

    @app.get("/static/{name}", include_in_schema=False)
    def get_file(name: str) -> Response:
        if name not in _FILES:
            raise HTTPException(404, "there is no such file")
        return FileResponse(_FILES[name], headers={"Cache-Control": "no-cache"})

    app.add_middleware(Guard, host=host, max_bytes=max_bytes, allowed=checked_hosts(allowed_hosts))
    return app
