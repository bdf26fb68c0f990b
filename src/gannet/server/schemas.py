"""Request and response bodies of the API."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gannet.codes import n_bytes

MAX_ID = 2**63 - 1
MAX_RESULTS = 1000
MAX_BITS = 1 << 16
MAX_TEXT = 1000
MAX_WEIGHT = 3e38  # of 32-bit floats

Id = Annotated[int, Field(ge=0, le=MAX_ID, description="Id of an item in the collection.")]
Code = Annotated[str, Field(pattern="^([0-9a-f]{2})+$", description="Packed code in hexadecimal, two digits per byte.")]
Weights = Annotated[
    list[Annotated[float, Field(ge=-MAX_WEIGHT, le=MAX_WEIGHT)]],
    Field(max_length=MAX_BITS, description="Weights of the bits of a code, from the answer to an image or a text."),
]


class Limits(BaseModel):
    """Limits on the results of a search."""

    model_config = ConfigDict(extra="forbid")

    k: int = Field(50, ge=1, le=MAX_RESULTS, description="Maximum number of results.")
    radius: int | None = Field(None, ge=0, le=MAX_BITS, description="Maximum Hamming distance of the results in bits.")
    asymmetric: bool | None = Field(
        None,
        description="Whether the nearest items are ordered by score, which weighs each bit by the real values of the "
        "query. By default, an image, a text and a code with weights are searched in this way unless a radius is "
        "given. An id and a code without weights have no values.",
    )
    part: Literal["kind", "nearest"] | None = Field(
        None, description="Of hybrid codes: compare the bits of one part alone, and count only those in distances."
    )


class Question(Limits):
    """A search by the id of an item, by a text, or by a code from an earlier answer, with its weights if it has any."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": [name]} for name in ("id", "text", "code")]})

    id: Id | None = None
    text: str | None = Field(None, min_length=1, max_length=MAX_TEXT, description="A text such as 'a red car'.")
    code: Code | None = None
    weights: Weights | None = None

    @model_validator(mode="after")
    def _one_query(self) -> Self:
        if [self.id, self.text, self.code].count(None) != 2:
            raise ValueError("give either the id of an item, a text or a code (or, in a form, an image)")
        if self.weights is not None and self.code is None:
            raise ValueError("weights belong to a code: give the code of the same answer")
        return self


class Item(BaseModel):
    """An item in the collection."""

    id: Id
    path: str
    code: Code


class Result(BaseModel):
    """A neighbor. ``differing_bits`` are positions of compared bits; 0 is the most significant bit of the code.

    ``score``, -1 to 1, is present if the results are ordered by it.
    """

    id: Id
    path: str
    distance: int
    score: float | None = None
    differing_bits: list[int]


class Answer(BaseModel):
    """Results by score, if they have scores, then by distance, then by id.

    ``code`` is the code of the query. If the query was an image or a text, ``weights`` are the weights of its bits. A
    search by both gives the same results. ``compared`` are the first bit that distances and scores count, and the one
    after the last.
    """

    bits: int
    compared: tuple[int, int]
    code: Code
    weights: Weights | None = None
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
    """The collection that is served: also, whether texts can be searched for, and the parts of its codes."""

    collection: str
    items: int
    bits: int
    changed: str
    editable: bool
    takes_texts: bool
    parts: list[str]


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
    for weights in question["properties"]["weights"]["anyOf"]:
        if weights["type"] == "array":
            weights["minItems"] = weights["maxItems"] = n_bits
    form = Limits.model_json_schema()
    for name in ("radius", "asymmetric", "part"):
        form["properties"][name] = _without_null(form["properties"][name])  # a form holds no null
    form["properties"] = {"image": {"type": "string", "format": "binary"}, **form["properties"]}
    form["required"] = ["image"]
    form["title"] = "ImageQuestion"
    form["description"] = "A search by an image file."
    content = {
        "application/json": {"schema": question, "example": {"id": 17, "k": 10}},
        "multipart/form-data": {"schema": form},
    }
    return {"required": True, "content": content}
