"""Records: their form in JSON, reading older ones, and refusing what is not a record."""

import json
from dataclasses import replace

import pytest

from gannet.errors import GannetError
from gannet.evaluation.benchmark import Cell
from gannet.evaluation.record import Record, Retrieval, TrainingPoint
from made_records import make_record

FULL = make_record(
    "uhga",
    map_asymmetric=0.6,
    bits_on=(0.25, 0.75),
    training=[TrainingPoint(1, 0.5, 0.1, 0.0, 0.3), TrainingPoint(2, 0.25, 0.0, 0.0)],
    examples=[Retrieval(3, [(7, 0, 1), (2, 5, 0)])],
    settings={"n_steps": 5, "loss": "squared", "gradient_attention": None},
)


@pytest.mark.parametrize("record", [FULL, make_record(), make_record(map_at=50)])
def test_records_survive_json(record):
    assert Record.from_json(json.loads(json.dumps(record.to_json()))) == record
    assert json.loads(json.dumps(record.to_json())) == record.to_json()


def test_the_json_has_the_form_of_the_first_version():
    values = FULL.to_json()
    assert list(values) == [
        "method", "bits", "seed", "map", "map_at", "fit_seconds", "encode_seconds", "map_best", "map_worst",
        "map_min_denominator", "precision_at", "recall_at", "precision_radius_2", "radius_precision", "radius_recall",
        "n_queries", "n_database", "n_without_relevant", "map_asymmetric", "bit_entropy", "distinct_codes",
        "bits_on", "n_train", "training", "examples", "settings", "protocol", "split", "backbone", "float_map",
    ]  # fmt: skip
    assert values["map_at"] is None
    assert values["precision_at"] == {"1": 1.0}
    assert values["bits_on"] == [0.25, 0.75]
    assert values["training"] == [
        {"step": 1, "loss": 0.5, "flipped": 0.1, "undone": 0.0, "map": 0.3},
        {"step": 2, "loss": 0.25, "flipped": 0.0, "undone": 0.0},
    ]
    assert values["examples"] == [{"query": 3, "found": [[7, 0, 1], [2, 5, 0]]}]


ADDED = ("bits_on", "training", "examples", "map_asymmetric")


def test_records_of_older_versions_are_read():
    older = {key: value for key, value in FULL.to_json().items() if key not in ADDED}
    older["settings"] = {"n_neighbours": 9, "n_coordinates": 3, "n_steps": 5}
    record = Record.from_json(older)
    settings = {"n_neighbors": 9, "n_components": 3, "n_steps": 5}
    assert record == replace(FULL, **dict.fromkeys(ADDED), settings=settings)
    assert Cell("uhga", 16, 0, settings).matches(record)
    assert not set(ADDED) & record.to_json().keys()


def test_unknown_fields_are_ignored():
    assert Record.from_json({**FULL.to_json(), "of_a_later_version": 1}) == FULL


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bits": "16"}, "bits must be a whole number, not '16'"),
        ({"bits": True}, "bits must be a whole number, not True"),
        ({"seed": 0.5}, "seed must be a whole number"),
        ({"map": None}, "map must be a number, not None"),
        ({"map_at": "ALL"}, "map_at must be a whole number"),
        ({"method": 3}, "method must be a text"),
        ({"settings": []}, "settings must be an object"),
        ({"settings": {"n_steps": [5]}}, "the setting n_steps must be a text, a number"),
        ({"settings": {"n_steps": 10**400}}, "n_steps is out of range"),
        ({"map": 10**400}, "map is out of range"),
        ({"seed": -(10**30)}, "seed is out of range"),
        ({"map": float("nan")}, "map is out of range"),
        ({"fit_seconds": float("inf")}, "fit_seconds is out of range"),
        ({"settings": {"margin": float("inf")}}, "margin is out of range"),
        ({"n_database": 0}, "n_database is out of range"),
        ({"radius_recall": [0.5, 1.0]}, "radius_recall must be a list of 17 values, one per radius"),
        ({"radius_recall": 0.5}, "radius_recall must be a list"),
        ({"radius_recall": [0.5, "x"]}, "radius_recall must be a number"),
        ({"precision_at": {"ten": 0.5}}, "precision_at must have whole numbers as keys, not 'ten'"),
        ({"bits_on": [0.5]}, "bits_on must be a list of 2 values, not of 1"),
        ({"training": [{"step": 1, "loss": 0.5}]}, "training lacks flipped, undone"),
        ({"training": [{"step": "1", "loss": 0.5, "flipped": 0, "undone": 0}]}, "step must be a whole number"),
        ({"examples": [{"query": 0, "found": [[1, 2]]}]}, "found must be a list of 3 values, not of 2"),
        ({"examples": ["x" * 500]}, "examples must be an object, not 'x"),
    ],
)
def test_a_wrong_field_is_named(change, message):
    with pytest.raises(GannetError, match=message) as error:
        Record.from_json({**FULL.to_json(), **change})
    assert "\n" not in str(error.value) and len(str(error.value)) < 120


def test_missing_fields_are_named():
    values = FULL.to_json()
    del values["map"], values["split"]
    with pytest.raises(GannetError, match="lacks map, split"):
        Record.from_json(values)
    with pytest.raises(GannetError, match="a record must be an object, not 3"):
        Record.from_json(3)
