"""The benchmark on small planted features: cells, records, continuing, tables."""

import json
from dataclasses import replace

import numpy as np
import pytest

from gannet.codes import unpack
from gannet.data.base import ArraySource
from gannet.errors import GannetError
from gannet.evaluation import evaluate, float_map
from gannet.evaluation.benchmark import Cell, Run, learn, make_cells, run_cells
from gannet.evaluation.items import Items, find_protocol
from gannet.evaluation.protocols import Protocol
from gannet.evaluation.record import Record
from gannet.evaluation.results import ResultsFolder, asymmetric_table, report, text_table
from gannet.evaluation.split_data import SplitData, read_split
from gannet.evaluation.summary import variant
from gannet.feature_reader import Features
from gannet.hashers.takes import FEATURES, FromPixels, FromViews
from gannet.methods.itq import ITQ
from made_records import make_record

PROTOCOL = Protocol("small", "own", "a citation", "A reading.", "random", n_queries=30, n_train=100, map_at=50)


def planted(n=240, classes=6, dimensions=70, multi_label=False, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    features = (rng.standard_normal((classes, dimensions))[labels] + rng.standard_normal((n, dimensions))).astype("f4")
    return features, np.eye(classes, dtype=bool)[labels] if multi_label else labels


def make_run(protocol=PROTOCOL, **planting):
    values, labels = planted(**planting)
    source = ArraySource("planted", np.zeros((len(labels), 2, 2), np.uint8), {"all": len(labels)}, labels, ())
    return Run(protocol, SplitData(values, labels, protocol.split(labels), source), "none")


def only_record(cells, run):
    [(_, record)] = run_cells(cells, run)
    assert isinstance(record, Record), record
    return record


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("bits", [1, 7, 24, 63, 65])
def test_a_cell_is_fit_transform_evaluate(bits, multi_label):
    run = make_run(multi_label=multi_label)
    record = only_record(make_cells(["itq"], [bits], 1), run)
    data = run.data
    hasher = ITQ(bits, random_state=0).fit(data.features.train)
    codes = [hasher.transform(part) for part in (data.features.query, data.features.database)]
    expected = evaluate(*codes, data.query_labels, data.database_labels, bits, top=50)
    assert record.map == expected.map
    values = hasher.decision_function(data.features.query)
    by_score = evaluate(*codes, data.query_labels, data.database_labels, bits, top=50, query_values=values)
    assert record.map_asymmetric == by_score.map_asymmetric
    assert record.map_at == 50
    assert record.map_worst <= record.map <= record.map_best
    assert record.precision_at[10] == expected.precision_at[10]
    assert record.fit_seconds >= 0
    assert record.n_train == 100
    assert record.protocol == "small"
    assert record.split == data.split.digest
    on = unpack(codes[1], bits).mean(axis=0)
    assert record.bits_on == (on.min(), on.max())
    entropy = -sum(p * np.log2(p, where=p > 0, out=np.zeros_like(p)) for p in (on, 1 - on))
    assert record.bit_entropy == pytest.approx(entropy.mean(), abs=1e-12)
    assert record.distinct_codes == len({bytes(code) for code in codes[1]})
    assert Record.from_json(json.loads(json.dumps(record.to_json()))) == record


@pytest.mark.parametrize("multi_label", [False, True])
def test_examples_are_the_nearest_of_a_few_queries(multi_label):
    run = make_run(multi_label=multi_label)
    data = run.data
    record = only_record(make_cells(["itq"], [24], 1), run)
    hasher = ITQ(24, random_state=0).fit(data.features.train)
    query, database = (unpack(hasher.transform(part), 24) for part in data.features[:2])
    assert [example.query for example in record.examples] == [0, 7, 15, 22]
    for example in record.examples:
        q, found = example.query, example.found
        distances = (query[q] != database).sum(axis=1)
        assert [row for row, _, _ in found] == np.argsort(distances, kind="stable")[:8].tolist()
        assert [distance for _, distance, _ in found] == np.sort(distances)[:8].tolist()
        same = np.atleast_2d((data.query_labels[q] == data.database_labels).T).T.all(axis=1)
        assert [bool(relevant) for _, _, relevant in found] == same[[row for row, _, _ in found]].tolist()


def test_a_cell_with_a_training_curve_has_the_same_codes_and_map_at_its_last_step():
    pytest.importorskip("torch")
    run = make_run()
    cells = make_cells(["uhga-plain"], [8], 1, {"n_steps": "120", "batch_size": "8"})
    alone, record = only_record(cells, run), only_record(cells, replace(run, curves=True))
    assert record.map == alone.map
    assert alone.training is None and "training" not in alone.to_json()
    scored = [point for point in record.training if point.map is not None]
    assert [point.step for point in scored] == [1, 2, 3, 5, 10, 20, 30, 50, 75, 100]
    assert Record.from_json(json.loads(json.dumps(record.to_json()))) == record
    last = only_record(make_cells(["uhga-plain"], [8], 1, {"n_steps": "100", "batch_size": "8"}), run)
    assert scored[-1].map == last.map


def test_fit_is_given_training_features_and_nothing_else(monkeypatch):
    seen = []
    original = ITQ.fit
    monkeypatch.setattr(ITQ, "fit", lambda self, *given, **more: seen.append((given, more)) or original(self, *given))
    run = make_run()
    only_record(make_cells(["itq"], [8], 1), run)
    [((features,), more)] = seen
    assert features is run.data.features.train
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
        ((["itq"], [16], 10**12), "1,000,000,000,000 runs are too many"),
        ((["itq", "lsh"], [16, 32], 25_001), "100,004 runs are too many"),
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
    features = run.data.features
    expected = float_map(features.query, features.database, run.data.query_labels, run.data.database_labels, top=50)
    assert {record.float_map for record in done} == {expected}
    done = [replace(record, float_map=-1.0) for record in done]
    fitted = []
    original = Cell.hasher
    monkeypatch.setattr(Cell, "hasher", lambda self: fitted.append(self) or original(self))
    stored = json.loads(json.dumps([record.to_json() for record in done]))
    outcomes = list(run_cells(cells, run, [Record.from_json(values) for values in stored]))
    assert [cell for cell, _ in outcomes] == cells
    assert fitted == cells[5:]
    assert [record for _, record in outcomes[:5]] == done
    assert {record.float_map for _, record in outcomes} == {-1.0}, "it was computed again"


@pytest.mark.parametrize("change", [{"backbone": "other"}, {"split": "other"}, {"settings": {"n_iterations": 1}}])
def test_records_of_something_else_are_not_taken(change):
    run, cells = make_run(), make_cells(["itq"], [8], 1)
    [(_, record)] = run_cells(cells, run)
    [(_, again)] = run_cells(cells, run, [replace(record, **change, map=-1.0)])
    assert again.map == record.map


def test_a_cell_that_cannot_be_had_leaves_the_others():
    outcomes = [outcome for _, outcome in run_cells(make_cells(["itq", "lsh"], [71], 1), make_run())]
    assert isinstance(outcomes[0], GannetError)
    assert outcomes[1].method == "lsh"


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
    assert [json.loads(line) for line in lines.read_text().splitlines()] == [record.to_json() for record in records]
    with pytest.raises(GannetError, match="holds results of small"):
        ResultsFolder(lines.parent, "digits")
    lines.write_text('{"map": 1}\n')
    with pytest.raises(GannetError, match=r"line 1: not a result .*lacks method, bits"):
        ResultsFolder(lines.parent, "small")
    for line in (
        "{",
        "[]",
        "[" * 100_000,
        '{"settings": ' * 100_000,
        json.dumps({**records[0].to_json(), "map": "high"}),
    ):
        lines.write_text(f"{json.dumps(records[0].to_json())}\n{line}\n")
        with pytest.raises(GannetError, match="line 2: not a result") as error:
            ResultsFolder(lines.parent, "small")
        assert "\n" not in str(error.value)
    assert "map must be a number, not 'high'" in str(error.value)


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


def test_table_gives_mean_deviation_and_ratio():
    records = [
        make_record(seed=0, value=0.5),
        make_record(seed=1, value=0.7),
        make_record("lsh", value=0.3),
        make_record("lsh", 32, value=0.1),
        make_record("itq", 32, settings={"n_iterations": 3}, value=0.2),
    ]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text_table(records).splitlines()]
    assert rows[0] == ["method", "16 bits", "32 bits"]
    assert rows[2] == ["itq", "0.6000 ± 0.1414 ×1.00", "-"]
    assert rows[3] == ["lsh", "0.3000 ×0.50", "0.1000"]
    assert rows[4] == ["itq n_iterations=3", "-", "0.2000"]
    assert rows[5] == ["float cosine", "0.2500", "0.2500"]
    assert variant(make_record(settings={"n_iterations": 50})) == "itq"


def test_figures_by_score_have_their_own_table():
    records = [
        make_record(seed=0, map_asymmetric=0.6),
        make_record(seed=1, map_asymmetric=0.8),
        make_record("lsh", 32),
        make_record("lsh", map_asymmetric=0.4),
    ]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in asymmetric_table(records).splitlines()]
    assert rows[0] == ["method", "16 bits", "32 bits"]
    assert rows[2:] == [["itq", "0.7000 ± 0.1414", "-"], ["lsh", "0.4000", "-"]]
    assert "0.7000" not in text_table(records) and asymmetric_table(records[2:3]) is None
    run = make_run()
    mine = [replace(each, protocol="small", split=run.data.split.digest) for each in records]
    assert "## Measured, ranked by asymmetric score\n\n| method" in report(run, mine, "x")
    older = [replace(each, map_asymmetric=None) for each in mine]
    assert "asymmetric" not in report(run, older, "x")


def test_report_says_how_it_was_measured():
    run = make_run()
    records = [outcome for _, outcome in run_cells(make_cells(["itq"], [8], 2), run)]
    other = replace(records[0], split="other", bits=99)
    text = report(run, [*records, other], "gannet bench small")
    for part in (PROTOCOL.reading, PROTOCOL.citation, run.data.split.digest, "`gannet bench small`", "MAP@50"):
        assert part in text
    assert "99 bits" not in text
    assert "AlexNet" not in text
    papers = Run(Protocol("cifar10-uhga", "own", "x", "y", "random", n_queries=30), run.data, "none")
    text = report(papers, [replace(record, protocol="cifar10-uhga") for record in records], "x")
    assert "on features of AlexNet, FC-7" in text


def test_tables_show_records_of_a_method_that_is_not_installed():
    records = [make_record("theirs", settings={"power": power}, value=power / 10) for power in (2, 4)]
    assert [variant(record) for record in records] == ["theirs power=2", "theirs power=4"]
    for row in ("| theirs power=2 | 0.2000  |", "| theirs power=4 | 0.4000  |"):
        assert row in text_table(records)


class Reader:
    """A feature reader that cannot read some of the images."""

    def __init__(self, lost):
        self.lost = lost

    def read(self, source, takes=FEATURES):
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
    data, skipped = read_split(given, items, Reader({3, 12}))
    assert data.features.query[:, 0].tolist() == [i for i in range(10) if i != 3]
    assert len(data.features.database) == n - 11
    np.testing.assert_array_equal(data.query_labels, source.labels[[i for i in range(10) if i != 3]])
    np.testing.assert_array_equal(data.database_labels, source.labels[data.features.database[:, 0].astype(int)])
    assert len(skipped) == 2
    with pytest.raises(GannetError, match=r"2 images cannot be read, the first: .*#all/3: damaged"):
        read_split(find_protocol("digits")[0], items, Reader({3, 12}))


@pytest.fixture
def digits_source():
    return find_protocol("digits")[1].source


class RecordingReader(Reader):
    """A feature reader that notes which views and pixels of which rows it is asked for."""

    def __init__(self):
        super().__init__(set())
        self.asked = []

    def read(self, source, takes=FEATURES):
        if takes == FEATURES:
            return super().read(source)
        rows = [int(path.split("/")[-1]) for path in source.paths]
        self.asked.append((takes, rows))
        if isinstance(takes, FromViews):
            random = np.random.default_rng(0).normal(scale=1000, size=(len(rows), takes.n_views, 2))
            values = random + np.array(rows, float)[:, None, None]
        else:
            values = np.stack([np.resize(source.read(i), (takes.side, takes.side, 3)) for i in range(len(source))])
        return Features(values, source.paths, (), ())


def test_methods_get_the_data_that_they_take(digits_source):
    protocol, items = find_protocol("digits")
    reader = RecordingReader()
    data, _ = read_split(protocol, items, reader)
    run, split = Run(protocol, data, "none"), data.split
    [(_, lsh)] = run_cells(make_cells(["lsh"], [1], 1), run)
    assert reader.asked == [] and lsh.method == "lsh"
    cells = make_cells(["cibhash"], [12, 16], 1, {"n_steps": "2", "n_views": "2", "hidden": "64"})
    records = [record for _, record in run_cells(cells, run)]
    assert reader.asked == [(FromViews(2), split.train.tolist())]
    assert not set(split.train) & set(split.query)
    cells = make_cells(["hashgan"], [8], 2, {"n_epochs": "1", "width": "2", "batch_size": "500"})
    records += [record for _, record in run_cells(cells, run)]
    sides = {takes for takes, _ in reader.asked[1:]}
    assert len(sides) == 1 and isinstance(sides.pop(), FromPixels)
    assert [rows for _, rows in reader.asked[1:]] == [
        rows.tolist() for rows in (split.query, split.database, split.train)
    ]
    assert [record.bits for record in records] == [12, 16, 8, 8]
    assert all(record.n_train == len(split.train) for record in records)
    stored = json.loads(json.dumps([record.to_json() for record in records]))
    again = run_cells(cells, run, [Record.from_json(values) for values in stored])
    assert list(again) == list(zip(cells, records[2:], strict=True))


def test_an_image_that_disappears_is_named(digits_source):
    protocol, items = find_protocol("digits")
    reader = Reader(set())
    data, _ = read_split(protocol, items, reader)
    reader.lost = {0}
    [(_, outcome)] = run_cells(make_cells(["cibhash"], [8], 1), Run(protocol, data, "none"))
    assert "can no longer be read: damaged" in str(outcome)


@pytest.mark.parametrize("method", ["cibhash", "hashgan"])
def test_without_images_a_method_that_learns_from_them_is_left_out(method):
    [(_, outcome)] = run_cells(make_cells([method], [8], 1), make_run())
    assert isinstance(outcome, GannetError) and "learns from images" in str(outcome)
