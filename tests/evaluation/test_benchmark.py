"""The benchmark on small planted features: cells, records, resuming, tables."""

import json
from dataclasses import replace

import numpy as np
import pytest

from gannet.codes import unpack
from gannet.data.base import ArraySource
from gannet.errors import GannetError
from gannet.evaluation import evaluate, float_map
from gannet.evaluation.benchmark import Cell, Run, learn, make_cells, run_cell, run_cells
from gannet.evaluation.items import Items, SplitFeatures, find_protocol, split_features
from gannet.evaluation.protocols import Protocol
from gannet.evaluation.results import ResultsFolder, report, text_table
from gannet.evaluation.summary import variant
from gannet.image_hasher import Features
from gannet.methods.itq import ITQ

PROTOCOL = Protocol("small", "own", "a citation", "A reading.", "random", n_queries=30, n_train=100, map_at=50)


def planted(n=240, classes=6, dimensions=70, multi_label=False, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    features = (rng.standard_normal((classes, dimensions))[labels] + rng.standard_normal((n, dimensions))).astype("f4")
    return features, np.eye(classes, dtype=bool)[labels] if multi_label else labels


def make_run(protocol=PROTOCOL, **planting):
    values, labels = planted(**planting)
    split = protocol.split(labels)
    parts = (values[rows] for rows in (split.query, split.database, split.train))
    source = ArraySource("planted", np.zeros((len(labels), 2, 2), np.uint8), {"all": len(labels)}, labels, ())
    return Run(protocol, SplitFeatures(*parts, labels[split.query], labels[split.database], split, source), "none")


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("bits", [1, 7, 24, 63, 65])
def test_a_cell_is_fit_transform_evaluate(bits, multi_label):
    run = make_run(multi_label=multi_label)
    record = run_cell(make_cells(["itq"], [bits], 1)[0], run)
    hasher = ITQ(bits, random_state=0).fit(run.features.train)
    codes = [hasher.transform(part) for part in (run.features.query, run.features.database)]
    expected = evaluate(*codes, run.features.query_labels, run.features.database_labels, bits, top=50)
    assert record["map"] == expected.map
    assert record["map_at"] == 50
    assert record["map_worst"] <= record["map"] <= record["map_best"]
    assert record["precision_at"]["10"] == expected.precision_at[10]
    assert record["fit_seconds"] >= 0
    assert record["n_train"] == 100
    assert record["protocol"] == "small"
    assert record["split"] == run.features.split.digest
    assert 0 <= record["bit_entropy"] <= 1
    assert record["distinct_codes"] == len({bytes(code) for code in codes[1]})
    assert json.loads(json.dumps(record)) == record


@pytest.mark.parametrize("multi_label", [False, True])
def test_examples_are_the_nearest_of_a_few_queries(multi_label):
    run = make_run(multi_label=multi_label)
    features = run.features
    record = run_cell(make_cells(["itq"], [24], 1)[0], run)
    hasher = ITQ(24, random_state=0).fit(features.train)
    query, database = (unpack(hasher.transform(part), 24) for part in (features.query, features.database))
    assert [example["query"] for example in record["examples"]] == [0, 7, 15, 22]
    for example in record["examples"]:
        q, found = example["query"], example["found"]
        distances = (query[q] != database).sum(axis=1)
        assert [row for row, _, _ in found] == np.argsort(distances, kind="stable")[:8].tolist()
        assert [distance for _, distance, _ in found] == np.sort(distances)[:8].tolist()
        same = np.atleast_2d((features.query_labels[q] == features.database_labels).T).T.all(axis=1)
        assert [bool(relevant) for _, _, relevant in found] == same[[row for row, _, _ in found]].tolist()


def test_a_watched_cell_has_the_same_codes_and_map_at_its_last_step():
    pytest.importorskip("torch")
    run = make_run()
    cell = make_cells(["uhga-plain"], [8], 1, {"n_steps": "120", "batch_size": "8"})[0]
    alone, watched = run_cell(cell, run), run_cell(cell, replace(run, curves=True))
    assert watched["map"] == alone["map"]
    assert "training" not in alone
    judged = [step for step in watched["training"] if "map" in step]
    assert [step["step"] for step in judged] == [1, 2, 3, 5, 10, 20, 30, 50, 75, 100]
    assert json.loads(json.dumps(watched)) == watched
    last = run_cell(make_cells(["uhga-plain"], [8], 1, {"n_steps": "100", "batch_size": "8"})[0], run)
    assert judged[-1]["map"] == last["map"]


def test_fit_is_given_training_features_and_nothing_else(monkeypatch):
    seen = []
    original = ITQ.fit
    monkeypatch.setattr(ITQ, "fit", lambda self, *given, **more: seen.append((given, more)) or original(self, *given))
    run = make_run()
    run_cell(make_cells(["itq"], [8], 1)[0], run)
    [((features,), more)] = seen
    assert features is run.features.train
    assert more == {}
    assert learn.__code__.co_argcount == 2


def test_cells_are_every_combination_once():
    cells = make_cells(["itq", "lsh", "itq"], [16, 32, 16], 2, {"n_iterations": "3"})
    assert [(cell.method, cell.bits, cell.seed) for cell in cells] == [
        (method, bits, seed) for method in ("itq", "lsh") for bits in (16, 32) for seed in (0, 1)
    ]
    assert {cell.method: dict(cell.settings) for cell in cells} == {"itq": {"n_iterations": 3}, "lsh": {}}
    assert cells[0].hasher().n_iterations == 3
    assert {"itq", "lsh", "uhga"} <= {cell.method for cell in make_cells(["all"], [16], 1)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["itqq"], [16], 1), "unknown method 'itqq'; did you mean 'itq'"),
        ((["itq"], [0], 1), "at least 1 bit"),
        ((["itq"], [16], 0), "seeds must be at least 1"),
        (([], [16], 1), "at least one method"),
        ((["itq"], [], 1), "one number of bits"),
        ((["itq", "lsh"], [16], 1, {"n_iteration": "3"}), "did you mean 'n_iterations'"),
        ((["itq"], [16], 1, {"n_iteration": "3"}), "did you mean 'n_iterations'"),
        ((["itq"], [16], 1, {"gradient_attention": "true"}), "does not learn from pairs"),
        ((["itq", "lsh"], [16], 1, {"n_iterations": "x"}), "must be a whole number"),
    ],
)
def test_bad_cells_are_refused_before_any_work(arguments, message):
    with pytest.raises(GannetError, match=message):
        make_cells(*arguments)


def test_a_run_continues_where_it_was(monkeypatch):
    run, cells = make_run(), make_cells(["itq", "lsh"], [8, 16], 2)
    done = [record for _, record in run_cells(cells[:5], run)]
    expected = float_map(
        run.features.query, run.features.database, run.features.query_labels, run.features.database_labels, top=50
    )
    assert {record["float_map"] for record in done} == {expected}
    fitted = []
    original = Cell.hasher
    monkeypatch.setattr(Cell, "hasher", lambda self: fitted.append(self) or original(self))
    monkeypatch.setattr("gannet.evaluation.benchmark.float_map", lambda *given, **more: pytest.fail("computed again"))
    outcomes = list(run_cells(cells, run, json.loads(json.dumps(done))))
    assert [cell for cell, _ in outcomes] == cells
    assert fitted == cells[5:]
    assert [record for _, record in outcomes[:5]] == done


@pytest.mark.parametrize("change", [{"backbone": "other"}, {"split": "other"}, {"settings": {"n_iterations": 1}}])
def test_records_of_something_else_are_not_taken(change):
    run, cells = make_run(), make_cells(["itq"], [8], 1)
    [(_, record)] = run_cells(cells, run)
    [(_, again)] = run_cells(cells, run, [{**record, **change, "map": -1.0}])
    assert again["map"] == record["map"]


def test_a_cell_that_cannot_be_had_leaves_the_others():
    outcomes = [outcome for _, outcome in run_cells(make_cells(["itq", "lsh"], [71], 1), make_run())]
    assert isinstance(outcomes[0], GannetError)
    assert outcomes[1]["method"] == "lsh"


def test_results_folder_survives_a_killed_run(tmp_path):
    run = make_run()
    records = [record for _, record in run_cells(make_cells(["itq"], [8], 3), run)]
    with ResultsFolder(tmp_path / "new" / "results", "small") as folder:
        for record in records:
            folder.add(record)
    lines = tmp_path / "new" / "results" / "results.jsonl"
    with ResultsFolder(lines.parent, "small") as folder:
        assert folder.records == records
    lines.write_bytes(lines.read_bytes()[:-20])
    with ResultsFolder(lines.parent, "small") as again:
        assert again.records == records[:2]
        again.add(records[2])
    assert [json.loads(line) for line in lines.read_text().splitlines()] == records
    with pytest.raises(GannetError, match="holds results of small"):
        ResultsFolder(lines.parent, "digits")
    lines.write_text('{"map": 1}\n')
    with pytest.raises(GannetError, match="line 1: not a result"):
        ResultsFolder(lines.parent, "small")


def test_a_folder_in_use_is_refused_until_its_run_has_ended(tmp_path):
    with ResultsFolder(tmp_path, "small"), pytest.raises(GannetError, match="in use by another run: wait"):
        ResultsFolder(tmp_path, "small")
    with ResultsFolder(tmp_path, "small"):
        pass


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(GannetError, match="holds other files"):
        ResultsFolder(tmp_path, "small")
    with pytest.raises(GannetError, match="is a file"):
        ResultsFolder(tmp_path / "thesis.tex", "small")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def record(method="itq", bits=16, seed=0, value=0.5, settings=None, **more):
    return {
        "method": method, "bits": bits, "seed": seed, "map": value, "fit_seconds": 1.0, "float_map": 0.25,
        "settings": settings or {}, "protocol": "small", "split": "s", "backbone": "none", **more,
    }  # fmt: skip


def test_table_gives_mean_deviation_and_ratio():
    records = [
        record(seed=0, value=0.5), record(seed=1, value=0.7), record("lsh", value=0.3), record("lsh", 32, value=0.1),
        record("itq", 32, settings={"n_iterations": 3}, value=0.2),
    ]  # fmt: skip
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text_table(records).splitlines()]
    assert rows[0] == ["method", "16 bits", "32 bits"]
    assert rows[2] == ["itq", "0.6000 ± 0.1414 ×1.00", "-"]
    assert rows[3] == ["lsh", "0.3000 ×0.50", "0.1000"]
    assert rows[4] == ["itq n_iterations=3", "-", "0.2000"]
    assert rows[5] == ["float cosine", "0.2500", "0.2500"]
    assert variant(record(settings={"n_iterations": 50})) == "itq"


def test_report_says_how_it_was_measured():
    run = make_run()
    records = [outcome for _, outcome in run_cells(make_cells(["itq"], [8], 2), run)]
    other = {**records[0], "split": "other", "bits": 99}
    text = report(run, [*records, other], "gannet bench small")
    for part in (PROTOCOL.reading, PROTOCOL.citation, run.features.split.digest, "`gannet bench small`", "MAP@50"):
        assert part in text
    assert "99 bits" not in text
    assert "AlexNet" not in text
    papers = Run(Protocol("cifar10-uhga", "own", "x", "y", "random", n_queries=30), run.features, "none")
    assert "on features of AlexNet, FC-7" in report(papers, [{**r, **papers.identity()} for r in records], "x")


class Reader:
    """An image hasher that cannot read some of the images."""

    def __init__(self, lost):
        self.lost = lost

    def features(self, source):
        kept = [i for i in range(len(source)) if i not in self.lost]
        values = np.array([[i, 1.0] for i in kept])
        skipped = [type("S", (), {"path": source.paths[i], "reason": "damaged"})() for i in sorted(self.lost)]
        return Features(values, [source.paths[i] for i in kept], (), [*source.skipped, *skipped])


def test_unreadable_images_leave_the_split_or_stop_it(digits_source):
    source = digits_source
    n = len(source)
    parts = {"query": np.arange(10), "database": np.arange(10, n)}
    items = Items(source, source.labels, parts)
    given = Protocol("own", "own", "x", "y", "given")
    features, skipped = split_features(given, items, Reader({3, 12}))
    assert features.query[:, 0].tolist() == [i for i in range(10) if i != 3]
    assert len(features.database) == n - 11
    np.testing.assert_array_equal(features.query_labels, source.labels[[i for i in range(10) if i != 3]])
    np.testing.assert_array_equal(features.database_labels, source.labels[features.database[:, 0].astype(int)])
    assert len(skipped) == 2
    with pytest.raises(GannetError, match=r"2 images cannot be read, the first: .*#all/3: damaged"):
        split_features(find_protocol("digits")[0], items, Reader({3, 12}))


@pytest.fixture
def digits_source():
    return find_protocol("digits")[1].source


class Looking(Reader):
    """An image hasher that makes views and pixels of rows it can name, and tells whose."""

    def __init__(self):
        super().__init__(set())
        self.asked = []

    def views(self, source, n_views, original_first):
        self.asked.append(("views", [int(path.split("/")[-1]) for path in source.paths]))
        rows = np.array(self.asked[-1][1], float)
        values = np.random.default_rng(0).normal(scale=1000, size=(len(rows), n_views, 2)) + rows[:, None, None]
        return Features(values, source.paths, (), ())

    def pixels(self, source, side):
        self.asked.append(("pixels", [int(path.split("/")[-1]) for path in source.paths]))
        values = np.stack([np.resize(source.read(i), (side, side, 3)) for i in range(len(source))])
        return Features(values, source.paths, (), ())


def test_methods_are_given_what_they_take_when_they_ask(digits_source):
    protocol, items = find_protocol("digits")
    reader = Looking()
    features, _ = split_features(protocol, items, reader)
    run, split = Run(protocol, features, "none"), features.split
    [(_, lsh)] = run_cells(make_cells(["lsh"], [1], 1), run)
    assert reader.asked == [] and lsh["method"] == "lsh"
    cells = make_cells(["cibhash"], [12, 16], 1, {"n_steps": "2", "n_views": "2", "hidden": "64"})
    records = [record for _, record in run_cells(cells, run)]
    assert reader.asked == [("views", split.train.tolist())]
    assert not set(split.train) & set(split.query)
    cells = make_cells(["hashgan"], [8], 2, {"n_epochs": "1", "width": "2", "batch_size": "500"})
    records += [record for _, record in run_cells(cells, run)]
    assert reader.asked[1:] == [("pixels", rows.tolist()) for rows in (split.query, split.database, split.train)]
    assert [record["bits"] for record in records] == [12, 16, 8, 8]
    assert all(record["n_train"] == len(split.train) and json.loads(json.dumps(record)) for record in records)
    assert list(run_cells(cells, run, json.loads(json.dumps(records)))) == list(zip(cells, records[2:], strict=True))


@pytest.mark.parametrize("method", ["cibhash", "hashgan"])
def test_without_images_a_method_that_learns_from_them_is_left_out(method):
    [(_, outcome)] = run_cells(make_cells([method], [8], 1), make_run())
    assert isinstance(outcome, GannetError) and "learns from images" in str(outcome)
