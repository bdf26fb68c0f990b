import numpy as np
import pytest

from gannet.errors import GannetError
from gannet.methods.uhga_graph import UHGAGraph, UHGAGraphPlain

torch = pytest.importorskip("torch", reason="learning needs torch")

from gannet.training import diffusion  # noqa: E402
from gannet.training.similarity import threshold_of_share  # noqa: E402


def unit(rows):
    return torch.nn.functional.normalize(torch.from_numpy(rows - rows.mean(axis=0)).float())


def arcs(n=300, seed=0):
    """Draw two long arcs side by side on the sphere: an item's far kin has a smaller cosine than the other arc."""
    labels = np.arange(n) % 2
    longitude = np.random.default_rng(seed).uniform(0, np.pi, n)
    latitude = 0.25 * (2 * labels - 1)
    flat = np.cos(latitude)
    return np.c_[flat * np.cos(longitude), flat * np.sin(longitude), np.sin(latitude)].astype(np.float32), labels


def walk(graph):
    dense = graph.toarray()
    return dense / dense.sum(axis=1, keepdims=True), dense.sum(axis=1)


@pytest.mark.parametrize("n", [40, 700])
def test_modes_are_eigenvectors_of_the_walk(n):
    graph = diffusion.neighbor_graph(unit(np.random.default_rng(1).normal(size=(n, 6))), 8)
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
    graph = diffusion.neighbor_graph(unit(np.random.default_rng(2).normal(size=(30, 4))), 4)
    step, degrees = walk(graph)
    # A walk that mostly stays has no negative eigenvalues, so that no mode is cut off.
    lazy = graph + 30 * np.diag(degrees)
    step, degrees = walk(type(graph)(lazy))
    values, modes = diffusion.walk_modes(type(graph)(lazy), 29)
    walked = modes * values**n_walk_steps
    expected = np.linalg.matrix_power(step, 2 * n_walk_steps) / degrees - 1 / degrees.sum()
    assert np.allclose(walked @ walked.T, expected, atol=1e-9)


def test_graph_is_the_union_of_nearest_neighbors():
    items = unit(np.random.default_rng(3).normal(size=(25, 5)))
    cosines = (items @ items.T).numpy()
    expected = np.eye(25, dtype=bool)
    for i, row in enumerate(cosines):
        near = [j for j in np.argsort(-row, kind="stable") if j != i][:3]
        expected[i, near] = expected[near, i] = True
    assert np.array_equal(diffusion.neighbor_graph(items, 3).toarray() > 0, expected)


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


def test_items_outside_the_graph_take_the_mean_of_their_neighbors_modes(monkeypatch):
    monkeypatch.setattr(diffusion, "MOST_ITEMS", 60)
    items = unit(np.random.default_rng(7).normal(size=(90, 5)))
    found = diffusion.diffusion_coordinates(items, 5, 4, 3, torch.Generator().manual_seed(0)).numpy()
    inside = np.sort(torch.randperm(90, generator=torch.Generator().manual_seed(0))[:60].numpy())
    values, modes = diffusion.walk_modes(diffusion.neighbor_graph(items[inside], 5), 4)
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


def test_walks_find_the_kin_that_cosines_miss():
    items, labels = arcs(400)
    items, same = torch.from_numpy(items), labels[:, None] == labels
    walked = diffusion.diffusion_coordinates(items, 6, 8, 3, torch.Generator().manual_seed(0))

    def kinship(vectors):
        similar = (vectors @ vectors.T).numpy() > threshold_of_share(vectors, 0.25)
        return same[similar].mean()

    assert kinship(items) < 0.75
    assert kinship(walked) > 0.9


def test_attention_follows_the_name():
    features, _ = arcs(60)
    plain = UHGAGraphPlain(5, n_steps=5).fit(features).decision_function(features)
    off = UHGAGraph(5, n_steps=5, gradient_attention=False).fit(features).decision_function(features)
    on = UHGAGraph(5, n_steps=5).fit(features).decision_function(features)
    assert np.array_equal(plain, off) and not np.array_equal(plain, on)


@pytest.mark.parametrize("setting", ["n_neighbors", "n_components", "n_walk_steps", "similar_share"])
def test_settings_out_of_range_are_refused(setting):
    with pytest.raises(GannetError, match=setting):
        UHGAGraph(4, **{setting: 0}).fit(arcs(40)[0])
