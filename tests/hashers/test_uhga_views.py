import numpy as np
import pytest

from gannet.hashers.uhga_graph import UHGAGraphPlain
from gannet.hashers.uhga_views import UHGAViews, UHGAViewsPlain

torch = pytest.importorskip("torch", reason="learning needs torch")

from gannet.training.loop import random_view  # noqa: E402


def views_of_groups(n=240, n_views=4, seed=0):
    """Draw items of four groups in four dimensions, and four more that change from view to view."""
    random = np.random.default_rng(seed)
    groups = 2 * np.eye(4)[np.arange(n) % 4] + 0.3 * random.normal(size=(n, 4))
    shown = [np.c_[groups, random.normal(size=(n, 4))] for _ in range(n_views)]
    return np.stack(shown, axis=1).astype(np.float32)


def test_codes_follow_what_views_have_in_common():
    views = views_of_groups()
    settings = {"n_neighbours": 10, "similar_share": 0.2, "n_steps": 300}
    seeing = UHGAViews(12, n_views=4, **settings).fit(views[:, :3])
    blind = UHGAGraphPlain(12, **settings).fit(views[:, 0])

    def agreement(hasher):
        first, other = (hasher.decision_function(views[:, i]) > 0 for i in (0, 3))  # of a view that none has seen
        return (first == other).mean()

    assert 1 - agreement(seeing) < 0.8 * (1 - agreement(blind))


def test_similarities_are_those_of_the_first_view():
    views = views_of_groups(80)
    changed = np.concatenate([views[:, :1], views[::-1, 1:]], axis=1)
    items = torch.arange(80)
    expected = UHGAViews(4).pair_similarity(views[:, 0])(items, items)
    seen = []
    for given in (views, changed):
        hasher = UHGAViews(4, n_steps=1)
        original = hasher.pair_similarity

        def keep(features, original=original):
            seen.append(original(features)(items, items))
            return original(features)

        hasher.pair_similarity = keep
        hasher.fit(given)
    assert torch.equal(seen[0], expected) and torch.equal(seen[1], expected)


def test_attention_is_what_the_name_says():
    views = views_of_groups(60)
    plain, off, on = (
        hasher.fit(views).decision_function(views[:, 0])
        for hasher in (
            UHGAViewsPlain(5, n_steps=5),
            UHGAViews(5, n_steps=5, gradient_attention=False),
            UHGAViews(5, n_steps=5),
        )
    )
    assert np.array_equal(plain, off) and not np.array_equal(plain, on)


def test_a_batch_has_a_random_view_of_each_item():
    views = torch.arange(12).view(4, 3, 1)
    batch, generator = torch.tensor([2, 0]), torch.Generator().manual_seed(0)
    drawn = torch.cat([random_view(views, batch, generator) for _ in range(50)], dim=1)
    assert [sorted(set(row.tolist())) for row in drawn] == [[6, 7, 8], [0, 1, 2]]
    before = generator.get_state()
    assert random_view(views[:, :1], batch, generator).flatten().tolist() == [6, 0]
    assert torch.equal(generator.get_state(), before)
