"""What goes into the API and comes out of it."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gannet.codes import n_bytes

MAX_ID = 2**63 - 1
MAX_RESULTS = 1000
MAX_BITS = 1 << 16

Id = Annotated[int, Field(ge=0, le=MAX_ID, description="Id of an item of the collection.")]
Code = Annotated[str, Field(pattern="^([0-9a-f]{2})+$", description="A packed code in hexadecimal, two digits a byte.")]


class Limits(BaseModel):
    """How many results a search has."""

    model_config = ConfigDict(extra="forbid")

    k: int = Field(50, ge=1, le=MAX_RESULTS, description="At most this many results.")
    radius: int | None = Field(None, ge=0, le=MAX_BITS, description="None that differs in more than this many bits.")


class Question(Limits):
    """A search from an item, by its id, or from a code that an answer gave."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["id"]}, {"required": ["code"]}]})

    id: Id | None = None
    code: Code | None = None

    @model_validator(mode="after")
    def _one_query(self) -> Self:
        if (self.id is None) == (self.code is None):
            raise ValueError("give either the id of an item or a code (or, in a form, an image)")
        return self


class Item(BaseModel):
    """An item of the collection."""

    id: Id
    path: str
    code: Code


class Result(BaseModel):
    """A neighbour; ``differing_bits`` counts from 0, the code's most significant bit."""

    id: Id
    path: str
    distance: int
    differing_bits: list[int]


class Answer(BaseModel):
    """Results by distance, then id. ``code`` is the query's, and finds the same again."""

    bits: int
    code: Code
    results: list[Result]


class Member(BaseModel):
    """An item of a group of duplicates."""

    id: Id
    path: str


class Sample(BaseModel):
    """Some items."""

    items: list[Member]


class Group(BaseModel):
    """Items that are (nearly) the same: the first of them, by id, and how many they are."""

    size: int
    items: list[Member]


class Groups(BaseModel):
    """Some of the ``total`` groups; within one, steps of at most ``radius`` bits lead from item to item.

    Where the collection keeps features, those of items a step apart are alike.
    """

    radius: int
    total: int
    groups: list[Group]


class Health(BaseModel):
    """What is served."""

    collection: str
    items: int
    bits: int
    changed: str
    editable: bool


class Problem(BaseModel):
    """What went wrong, in one line (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str


def search_body(n_bits: int) -> dict[str, Any]:
    """Return the OpenAPI description of the body of a search: JSON, or a form with an image."""
    question = Question.model_json_schema()
    for code in question["properties"]["code"]["anyOf"]:
        if code["type"] == "string":
            code["minLength"] = code["maxLength"] = 2 * n_bytes(n_bits)
    form = Limits.model_json_schema()
    form["properties"] = {"image": {"type": "string", "format": "binary"}, **form["properties"]}
    form["required"] = ["image"]
    form["title"] = "ImageQuestion"
    form["description"] = "A search from an image file."
    content = {
        "application/json": {"schema": question, "example": {"id": 17, "k": 10}},
        "multipart/form-data": {"schema": form},
    }
    return {"required": True, "content": content}
