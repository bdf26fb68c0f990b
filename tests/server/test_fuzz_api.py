"""Schemathesis sends generated requests: no response has a status of 500 or above, and all match the schema."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from served_pictures import make_collection, make_photos

pytest.importorskip("schemathesis")
import schemathesis
from schemathesis.checks import CHECKS

from gannet.retrieval.live import LiveCollection
from gannet.server import create_app

OPERATIONS = [
    ("POST", "/search"),
    ("GET", "/items"),
    ("GET", "/items/{id}"),
    ("GET", "/items/{id}/thumbnail"),
    ("DELETE", "/items/{id}"),
    ("GET", "/duplicates"),
    ("GET", "/health"),
]
# GET /health has no parameter that could be wrong.
CASES = [
    (*operation, mode)
    for operation in OPERATIONS
    for mode in schemathesis.GenerationMode
    if (operation[1], mode) != ("/health", schemathesis.GenerationMode.NEGATIVE)
]


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("fuzz")
    path = make_collection(folder, make_photos(folder))
    with contextlib.closing(LiveCollection(path, editable=True)) as live:
        # The test client names its own host, which the server refuses like any other name.
        yield schemathesis.openapi.from_asgi("/openapi.json", create_app(live, host="testserver"))


def test_every_operation_is_tested(schema: Any) -> None:
    operations = [found.ok() for found in schema.get_all_operations()]
    assert sorted((found.method.upper(), found.path) for found in operations) == sorted(OPERATIONS)


@pytest.mark.parametrize(("method", "path", "mode"), CASES)
def test_no_request_is_answered_with_a_server_error(schema: Any, method: str, path: str, mode: Any) -> None:
    operation = schema[path][method]
    # No schema says which bytes are an image; and in a form a list of one value looks like the value.
    names = ["positive_data_acceptance", "negative_data_rejection"]
    unsaid = CHECKS.get_by_names(names) if path == "/search" else []

    @settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def send(case: Any) -> None:
        case.call_and_validate(excluded_checks=unsaid)

    send()
