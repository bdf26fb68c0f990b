import numpy as np
import pytest

from gannet.errors import GannetError
from gannet.hashers.uhga_graph import UHGAGraph, UHGAGraphPlain

torch = pytest.importorskip("torch", reason="learning needs torch")

from gannet.training import diffusion  # noqa: E402
from gannet.training.similarity import threshold_of_share  # noqa: E402


def unit(rows):
    return torch.nn.functional.normalize(torch.from_numpy(rows - rows.mean(axis=0)).float())


def rings(n=300, seed=0):
    """Draw two rings, one inside the other: neighbours tell them apart, cosines from the centre do not."""
    random = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    angle = random.uniform(0, 2 * np.pi, n)
    return np.c_[np.cos(angle), np.sin(angle), 2.0 * labels].astype(np.float32), labels


def walk(graph):
    dense = graph.toarray()
    return dense / dense.sum(axis=1, keepdims=True), dense.sum(axis=1)


@pytest.mark.parametrize("n", [40, 700])
def test_modes_are_eigenvectors_of_the_walk(n):
    graph = diffusion.neighbour_graph(unit(np.random.default_rng(1).normal(size=(n, 6))), 8)
    step, degrees = walk(graph)
    values, modes = diffusion.walk_modes(graph, 9)
    assert (np.diff(values) <= 1e-9).all()
    assert np.allclose(step @ modes, modes * values, atol=1e-5)
    assert np.allclose((modes * degrees[:, None]).T @ modes, np.eye(9), atol=1e-5)
    assert np.allclose(degrees @ modes, 0, atol=1e-5)
    # All modes but the constant one and those to and fro: none that is slower was overlooked.
    slowest = np.sort(np.linalg.eigvals(step).real)[::-1][1:10]
    assert np.allclose(values, slowest, atol=1e-6)


@pytest.mark.parametrize("n_walk_steps", [1, 2, 3])
def test_all_modes_together_are_powers_of_the_dense_walk(n_walk_steps):
    graph = diffusion.neighbour_graph(unit(np.random.default_rng(2).normal(size=(30, 4))), 4)
    step, degrees = walk(graph)
    # A walk that mostly stays has no negative eigenvalues, so that no mode is cut off.
    lazy = graph + 30 * np.diag(degrees)
    step, degrees = walk(type(graph)(lazy))
    values, modes = diffusion.walk_modes(type(graph)(lazy), 29)
    walked = modes * values**n_walk_steps
    expected = np.linalg.matrix_power(step, 2 * n_walk_steps) / degrees - 1 / degrees.sum()
    assert np.allclose(walked @ walked.T, expected, atol=1e-9)


def test_graph_is_the_union_of_nearest_neighbours():
    items = unit(np.random.default_rng(3).normal(size=(25, 5)))
    cosines = (items @ items.T).numpy()
    expected = np.eye(25, dtype=bool)
    for i, row in enumerate(cosines):
        near = [j for j in np.argsort(-row, kind="stable") if j != i][:3]
        expected[i, near] = expected[near, i] = True
    assert np.array_equal(diffusion.neighbour_graph(items, 3).toarray() > 0, expected)


def test_parts_of_a_graph_stay_apart_and_whole():
    random = np.random.default_rng(4)
    labels = np.arange(120) % 4
    items = unit((10 * np.eye(4)[labels] + 0.1 * random.normal(size=(120, 4))).astype(np.float32))
    found = diffusion.diffusion_coordinates(items, 8, 3, 3, torch.Generator().manual_seed(0))
    cosines = (found @ found.T).numpy()
    same = labels[:, None] == labels
    assert cosines[same].min() > 0.99 > 0.5 > cosines[~same].max()
    # A share smaller than the groups does not cut through them.
    threshold = threshold_of_share(found, 0.05)
    assert np.array_equal(cosines > threshold, same)


def test_items_outside_the_graph_take_the_mean_of_their_neighbours_modes(monkeypatch):
    monkeypatch.setattr(diffusion, "MOST_ITEMS", 60)
    items = unit(np.random.default_rng(7).normal(size=(90, 5)))
    found = diffusion.diffusion_coordinates(items, 5, 4, 3, torch.Generator().manual_seed(0)).numpy()
    inside = np.sort(torch.randperm(90, generator=torch.Generator().manual_seed(0))[:60].numpy())
    values, modes = diffusion.walk_modes(diffusion.neighbour_graph(items[inside], 5), 4)
    cosines = (items @ items[inside].T).numpy()
    for item in range(90):
        if item in inside:
            expected = values**3 * modes[np.flatnonzero(inside == item)[0]]
        else:
            expected = values**2 * np.mean([modes[j] for j in np.argsort(-cosines[item])[:5]], axis=0)
        assert np.allclose(found[item], expected / np.linalg.norm(expected), atol=1e-4)


@pytest.mark.parametrize("share", [0.02, 0.1, 0.4])
def test_threshold_leaves_the_share(share):
    items = unit(np.random.default_rng(5).normal(size=(400, 8)))
    cosines = (items @ items.T).numpy()[np.triu_indices(400, 1)]
    assert (cosines > threshold_of_share(items, share)).mean() == pytest.approx(share, abs=1e-3)


def test_codes_follow_groups_that_cosines_miss():
    random = np.random.default_rng(6)
    features, labels = rings(400)
    features = np.c_[features, 0.05 * random.normal(size=(400, 5))].astype(np.float32)
    values = UHGAGraphPlain(16, n_neighbours=12, n_steps=300, n_coordinates=1, similar_share=0.5).fit(features)
    signs = np.where(values.decision_function(features) >= 0, 1, -1)
    agreement = signs @ signs.T / 16
    same = labels[:, None] == labels
    assert agreement[same].mean() > agreement[~same].mean() + 0.3


@pytest.mark.parametrize("setting", ["n_neighbours", "n_coordinates", "n_walk_steps", "similar_share"])
def test_settings_out_of_range_are_refused(setting):
    with pytest.raises(GannetError, match=setting):
        UHGAGraph(4, **{setting: 0}).fit(rings(40)[0])
