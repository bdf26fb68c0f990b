"""Request and response bodies of the API."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gannet.codes import n_bytes

MAX_ID = 2**63 - 1
MAX_RESULTS = 1000
MAX_BITS = 1 << 16

Id = Annotated[int, Field(ge=0, le=MAX_ID, description="Id of an item in the collection.")]
Code = Annotated[str, Field(pattern="^([0-9a-f]{2})+$", description="Packed code in hexadecimal, two digits per byte.")]


class Limits(BaseModel):
    """Limits on the results of a search."""

    model_config = ConfigDict(extra="forbid")

    k: int = Field(50, ge=1, le=MAX_RESULTS, description="Maximum number of results.")
    radius: int | None = Field(None, ge=0, le=MAX_BITS, description="Maximum Hamming distance of the results in bits.")


class Question(Limits):
    """A search by the id of an item, or by a code from an earlier answer."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["id"]}, {"required": ["code"]}]})

    id: Id | None = None
    code: Code | None = None

    @model_validator(mode="after")
    def _one_query(self) -> Self:
        if (self.id is None) == (self.code is None):
            raise ValueError("give either the id of an item or a code (or, in a form, an image)")
        return self


class Item(BaseModel):
    """An item in the collection."""

    id: Id
    path: str
    code: Code


class Result(BaseModel):
    """A neighbor. ``differing_bits`` are bit positions; 0 is the most significant bit of the code."""

    id: Id
    path: str
    distance: int
    differing_bits: list[int]


class Answer(BaseModel):
    """Results by distance, then id. ``code`` is the code of the query; a search by it gives the same results."""

    bits: int
    code: Code
    results: list[Result]


class Member(BaseModel):
    """An item, with its path."""

    id: Id
    path: str


class Sample(BaseModel):
    """A sample of items."""

    items: list[Member]


class Group(BaseModel):
    """A group of near-duplicates: its size and its first items, ordered by id."""

    size: int
    items: list[Member]


class Groups(BaseModel):
    """A page of the ``total`` groups, largest first.

    Two items are linked if their codes differ in at most ``radius`` bits and, in a collection that stores features, if
    the cosine between their features is high enough. A group holds all items that are linked, directly or through
    others.
    """

    radius: int
    total: int
    groups: list[Group]


class Health(BaseModel):
    """The collection that is served."""

    collection: str
    items: int
    bits: int
    changed: str
    editable: bool


class Problem(BaseModel):
    """An error (RFC 9457); ``detail`` describes it in one line."""

    type: str
    title: str
    status: int
    detail: str


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    (kept,) = (kind for kind in schema["anyOf"] if kind["type"] != "null")
    return {**kept, **{name: value for name, value in schema.items() if name not in ("anyOf", "default")}}


def search_body(n_bits: int) -> dict[str, Any]:
    """Return the OpenAPI description of a search's request body: JSON, or a form with an image."""
    question = Question.model_json_schema()
    for code in question["properties"]["code"]["anyOf"]:
        if code["type"] == "string":
            code["minLength"] = code["maxLength"] = 2 * n_bytes(n_bits)
    form = Limits.model_json_schema()
    form["properties"]["radius"] = _without_null(form["properties"]["radius"])  # a form holds no null
    form["properties"] = {"image": {"type": "string", "format": "binary"}, **form["properties"]}
    form["required"] = ["image"]
    form["title"] = "ImageQuestion"
    form["description"] = "A search by an image file."
    content = {
        "application/json": {"schema": question, "example": {"id": 17, "k": 10}},
        "multipart/form-data": {"schema": form},
    }
    return {"required": True, "content": content}
