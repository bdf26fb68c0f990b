"""The application: the page, its files, the API, and the guard around them."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response

import gannet
from gannet import pages
from gannet.pages.page import render
from gannet.search.live import LiveCollection
from gannet.server.api import make_router, max_duplicates_radius
from gannet.server.problems import add_handlers
from gannet.server.schemas import MAX_RESULTS
from gannet.server.security import Guard

#: Largest body of a request in bytes, and largest picture in pixels, that is taken as a query.
MAX_BYTES = 32 << 20
MAX_PIXELS = 100_000_000

_TEMPLATES = Path(pages.__file__).parent / "templates"
_STATIC = Path(__file__).parent / "static"
# Named one by one: no part of an address ever becomes part of a path.
_FILES = {file.name: file for file in (_TEMPLATES / "style.css", *sorted(_STATIC.iterdir()))}


def create_app(
    collection: LiveCollection, host: str = "127.0.0.1", max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS
) -> FastAPI:
    """Return the application over an open collection.

    Parameters: ``host`` it will be bound to, which decides what requests may call it; ``max_bytes`` of a request's
        body; ``max_pixels`` of an image to search for.
    """
    app = FastAPI(
        title="Gannet",
        version=gannet.__version__,
        description="Search a collection of images by the Hamming distance of their codes.",
        docs_url=None,  # the usual page of documentation loads its parts from elsewhere
        redoc_url=None,
    )
    add_handlers(app)
    app.include_router(make_router(collection, max_pixels))

    @app.get("/", include_in_schema=False)
    def get_page(_: Request) -> Response:
        info = collection.info()
        radius, cosine = collection.duplicate_limits
        page = render(
            "serve.html",
            name=collection.path.name,
            items=info["items"],
            n_bits=info["bits"],
            key=f"{info['model_id'][:8]}-{info['created']}",
            editable=collection.editable,
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

    app.add_middleware(Guard, host=host, max_bytes=max_bytes)
    return app
