"""Read the query of a search from the body of a request."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from gannet.server.schemas import Limits, Question

_MAX_FIELD_BYTES = 1 << 10


@dataclass(frozen=True)
class ImageQuestion:
    """A search by the bytes of an image file."""

    image: bytes
    limits: Limits


async def read_question(request: Request) -> Question | ImageQuestion:
    """Read a JSON body, or a form with an image.

    Raises an `HTTPException` if the body is neither, or cannot be parsed, and a `pydantic.ValidationError` if a field
    is unknown, of the wrong type or out of range.
    """
    kind = _content_type(request)
    if kind == "application/json":
        return Question.model_validate_json(await request.body(), strict=True)
    if not is_form(request):
        raise HTTPException(415, "send JSON with an id, text or code, or a form (multipart/form-data) with an image")
    form = await _read_form(request)
    try:
        fields = dict(form)
        if len(fields) < len(form.multi_items()):
            raise HTTPException(422, "the form has the same field twice")
        image = fields.pop("image", None)
        if isinstance(image, UploadFile):
            return ImageQuestion(await image.read(), Limits.model_validate(fields))
        return Question.model_validate(fields)
    finally:
        await form.close()


def is_form(request: Request) -> bool:
    """Return whether the body of a request is a form, which may hold an image."""
    return _content_type(request) == "multipart/form-data"


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _read_form(request: Request) -> FormData:
    try:
        return await request.form(max_files=1, max_fields=5, max_part_size=_MAX_FIELD_BYTES)
    except (HTTPException, ClientDisconnect):
        raise
    except Exception as error:  # the parser raises HTTPExceptions; an unknown charset raises other errors
        raise HTTPException(400, "the form cannot be read") from error
