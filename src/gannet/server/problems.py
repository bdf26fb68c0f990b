"""JSON responses, and errors as problem details (RFC 9457): a status and one line that says what to do."""

from __future__ import annotations

import http
import json
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

from gannet.errors import GannetError
from gannet.retrieval.live import UnknownItemError


def json_answer(value: Any, status: int = 200, media_type: str = "application/json") -> Response:
    """Return a response of JSON in ASCII, which can represent file names that are not UTF-8."""
    return Response(json.dumps(value, separators=(",", ":")), status, media_type=media_type)


def problem(status: int, detail: str) -> Response:
    """Return an error response with problem details."""
    title = http.HTTPStatus(status).phrase
    body = {"type": "about:blank", "title": title, "status": status, "detail": " ".join(detail.split())}
    return json_answer(body, status, "application/problem+json")


def explain(error: ValidationError | RequestValidationError) -> str:
    """Return the first error of a validation in one line."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"] if part not in ("body", "query", "path"))
    message = str(first["msg"]).removeprefix("Value error, ")
    return f"{place}: {message}" if place else message


def add_handlers(app: FastAPI, router: APIRouter) -> None:
    """Let an application, which includes a router, report every error as problem details."""

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        headers = dict(error.headers or {})
        if error.status_code == 405:  # Starlette names the methods of one route, but several have the same path
            allowed = {
                method
                for route in (*router.routes, *app.routes)
                if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE
                for method in route.methods or ()
            }
            headers["Allow"] = ", ".join(sorted({*allowed, "OPTIONS"}))
        is_question = error.status_code == 405 and request.method == "OPTIONS"
        response = Response(status_code=204) if is_question else problem(error.status_code, error.detail)
        response.headers.update(headers)
        return response

    async def on_invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, ValidationError | RequestValidationError)
        return problem(422, explain(error))

    async def on_gannet(_: Request, error: Exception) -> Response:
        # Invalid requests were refused before; the remaining errors come from the state of the collection's file.
        return problem(404 if isinstance(error, UnknownItemError) else 409, str(error))

    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(ValidationError, on_invalid)
    app.add_exception_handler(GannetError, on_gannet)
