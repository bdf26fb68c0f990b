"""The routes of the HTTP API. They read requests, call `gannet.retrieval` and return JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from anyio import to_thread
from fastapi import APIRouter, Path, Query
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from gannet.codes import Codes, check_codes, unpack
from gannet.data import check_image
from gannet.errors import GannetError
from gannet.retrieval.found import EncodedQuery, Matches
from gannet.retrieval.live import LiveCollection
from gannet.retrieval.live_target import LiveTarget
from gannet.server.problems import json_answer
from gannet.server.questions import ImageQuestion, is_form, read_question
from gannet.server.schemas import (
    MAX_ID,
    MAX_RESULTS,
    Answer,
    Groups,
    Health,
    Item,
    Limits,
    Problem,
    Question,
    Sample,
    search_body,
)
from gannet.server.thumbnails import NoPictureError, item_thumbnail
from gannet.server.workers import Workers
from gannet.support.threads import cores

#: Number of uploaded images that are read at the same time.
MAX_UPLOADS = 4
#: Seconds after which an upload or a text is given up: waiting for its turn, and then being encoded.
UPLOAD_SECONDS = 20.0

_MAX_GROUPS = 500
_MAX_MEMBERS = 100

PathId = Annotated[int, Path(ge=0, le=MAX_ID, description="Id of an item in the collection.")]


def max_duplicates_radius(n_bits: int) -> int:
    """Return the largest radius of a request for duplicates: larger ones take long and link unrelated items."""
    return min(max(n_bits // 8, 1), 16)


def make_router(collection: LiveCollection | LiveTarget, max_pixels: int) -> APIRouter:
    """Return the routes of the API; query images of more than ``max_pixels`` pixels are refused."""
    router = APIRouter()
    # Decoding keeps a core busy, and large images take much memory: one thumbnail per core and one query image at a
    # time. Only a few uploads are in memory; others wait until their bodies are read.
    pictures, encoding, grouping = Workers(cores()), Workers(1), Workers(1)
    uploads = asyncio.Semaphore(MAX_UPLOADS)
    max_radius = max_duplicates_radius(collection.n_bits)
    default_radius, _ = collection.duplicate_limits

    @router.post(
        "/search",
        summary="Find the items nearest to an image, a text, an item or a code",
        response_model=Answer,
        responses=_problems(400, 404, 408, 409, 413, 415, 422, 503),
        openapi_extra={"requestBody": search_body(collection.n_bits)},
    )
    async def search(request: Request) -> Response:
        try:
            if not is_form(request):
                question = await read_question(request)
                if isinstance(question, Question) and question.text is None:
                    return await to_thread.run_sync(_answer, collection, question, max_pixels)
                return await encoding.run(lambda: _answer(collection, question, max_pixels), UPLOAD_SECONDS)
            await asyncio.wait_for(uploads.acquire(), UPLOAD_SECONDS)
            try:
                question = await read_question(request)
                return await encoding.run(lambda: _answer(collection, question, max_pixels), UPLOAD_SECONDS)
            finally:
                uploads.release()
        except TimeoutError:
            detail = (
                "the server is busy with other queries, or this one takes too long: try again, or send a smaller image"
            )
            raise HTTPException(503, detail, {"Retry-After": "10"}) from None

    @router.get(
        "/items",
        summary="List a sample of items, evenly spaced in the collection",
        response_model=Sample,
        responses=_problems(409, 422),
    )
    def get_items(
        limit: Annotated[int, Query(ge=1, le=MAX_RESULTS, description="Maximum number of items.")] = 24,
    ) -> Response:
        return json_answer({"items": [{"id": id_, "path": path} for id_, path in collection.sample(limit)]})

    @router.get("/items/{id}", summary="Get an item", response_model=Item, responses=_problems(404, 409, 422))
    def get_item(id: PathId) -> Response:
        item = collection.item(id)
        return json_answer({"id": item.id, "path": item.path, "code": item.code.tobytes().hex()})

    @router.get(
        "/items/{id}/thumbnail",
        summary="Get a thumbnail of an item",
        response_class=Response,
        responses={200: {"content": {"image/jpeg": {}}}, **_problems(404, 409, 422)},
    )
    async def get_thumbnail(id: PathId) -> Response:
        try:
            jpeg = await pictures.run(lambda: item_thumbnail(collection, id))
        except NoPictureError as error:
            raise HTTPException(404, str(error)) from error
        # The picture of an id never changes, and the page adds a key of the collection to the URL.
        return Response(jpeg, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})

    @router.delete(
        "/items/{id}",
        summary="Remove an item from the collection; its file is not deleted",
        status_code=204,
        response_class=Response,
        responses=_problems(403, 404, 409, 422),
    )
    def delete_item(id: PathId) -> Response:
        if not collection.editable:
            raise HTTPException(403, "this server does not allow changes: start it with --edit")
        collection.remove(id)
        return Response(status_code=204)

    @router.get(
        "/duplicates",
        summary="List groups of near-duplicates",
        response_model=Groups,
        responses=_problems(409, 422),
    )
    async def get_duplicates(
        radius: int = Query(
            default_radius, ge=0, le=max_radius, description="Largest number of bits in which linked items differ."
        ),
        offset: Annotated[int, Query(ge=0, le=MAX_ID, description="Number of groups to skip.")] = 0,
        limit: Annotated[int, Query(ge=1, le=_MAX_GROUPS, description="Maximum number of groups.")] = 100,
    ) -> Response:
        total, groups = await grouping.run(lambda: collection.duplicates(radius, offset, limit, _MAX_MEMBERS))
        shown = [
            {"size": group.size, "items": [{"id": id_, "path": path} for id_, path in group.items]} for group in groups
        ]
        return json_answer({"radius": radius, "total": total, "groups": shown})

    @router.get("/health", summary="Describe the served collection", response_model=Health, responses=_problems(409))
    def get_health() -> Response:
        info = collection.info()
        return json_answer(
            {
                "collection": collection.name,
                "items": info["items"],
                "bits": info["bits"],
                "changed": info["changed"],
                "editable": collection.editable,
                "takes_texts": collection.takes_texts,
                "parts": collection.parts,
            }
        )

    return router


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    schema = {"schema": Problem.model_json_schema()}
    return {status: {"description": "Error", "content": {"application/problem+json": schema}} for status in statuses}


def _answer(collection: LiveCollection | LiveTarget, question: Question | ImageQuestion, max_pixels: int) -> Response:
    weights: Sequence[float] | None
    limits = question.limits if isinstance(question, ImageQuestion) else question
    if limits.part is not None and limits.part not in collection.parts:
        raise HTTPException(422, "the codes that are served have no parts: leave the part out")
    if isinstance(question, ImageQuestion) or question.text is not None:
        asked = _encoded(collection, question, max_pixels)
        code, weights = asked.code, asked.weights.tolist()
    elif question.id is not None:
        code, weights = collection.item(question.id).code, None
    else:
        code, weights = _given_code(question.code or "", collection.n_bits), question.weights
    used = _used_weights(limits, weights, collection.n_bits)
    found = collection.search(code, limits.k, limits.radius, used, limits.part)
    answer: dict[str, Any] = {"bits": collection.n_bits, "compared": found.compared, "code": code.tobytes().hex()}
    if weights is not None:
        answer["weights"] = weights
    return json_answer({**answer, "results": _results(found, code, collection.n_bits)})


def _used_weights(limits: Limits, weights: Sequence[float] | None, n_bits: int) -> Sequence[float] | None:
    """Return the weights by which the results are ordered, or None if they are ordered by distance."""
    if weights is None and limits.asymmetric:
        raise HTTPException(422, "an id and a code without weights have no values to score with: give an image or text")
    if weights is not None and len(weights) != n_bits:
        raise HTTPException(422, f"there must be {n_bits} weights, one per bit, not {len(weights)}")
    by_score = limits.radius is None if limits.asymmetric is None else limits.asymmetric
    return weights if by_score else None


def _encoded(
    collection: LiveCollection | LiveTarget, question: Question | ImageQuestion, max_pixels: int
) -> EncodedQuery:
    try:
        if not isinstance(question, ImageQuestion):
            return collection.encode_text(question.text or "")
        check_image(question.image, max_pixels)
        return collection.encode(question.image)
    except GannetError as error:
        raise HTTPException(422, str(error)) from error


def _given_code(text: str, n_bits: int) -> npt.NDArray[np.uint8]:
    packed = np.frombuffer(bytes.fromhex(text), np.uint8)[None]
    try:
        code: npt.NDArray[np.uint8] = check_codes(packed, n_bits, "the code")[0]
        return code
    except GannetError as error:
        raise HTTPException(422, str(error)) from error


def _results(found: Matches, code: npt.NDArray[np.uint8], n_bits: int) -> list[dict[str, Any]]:
    different: Codes = unpack(found.codes ^ code, n_bits)
    first, end = found.compared
    different[:, :first] = different[:, end:] = 0
    results = [
        {"id": id_, "path": path, "distance": distance, "differing_bits": np.flatnonzero(bits).tolist()}
        for id_, path, distance, bits in zip(
            found.ids.tolist(), found.paths, found.distances.tolist(), different, strict=True
        )
    ]
    if found.scores is not None:
        for result, score in zip(results, found.scores.tolist(), strict=True):
            result["score"] = round(score, 6)
    return results
