import numpy as np
import pytest

from gannet.errors import GannetError
from gannet.methods.uhga_graph import UHGAGraphPlain
from gannet.methods.uhga_views import UHGAViews, UHGAViewsPlain

torch = pytest.importorskip("torch", reason="learning needs torch")

from gannet.training import diffusion  # noqa: E402
from gannet.training.loops import random_view  # noqa: E402


def views_of_groups(n=240, n_views=4, seed=0):
    """Draw items of four groups in four dimensions, and four more that change from view to view."""
    random = np.random.default_rng(seed)
    groups = 2 * np.eye(4)[np.arange(n) % 4] + 0.3 * random.normal(size=(n, 4))
    shown = [np.c_[groups, 1.5 * random.normal(size=(n, 4))] for _ in range(n_views)]
    return np.stack(shown, axis=1).astype(np.float32)


@pytest.mark.parametrize("n_contrast_steps", [0, 200])
def test_codes_follow_the_common_part_of_views(n_contrast_steps):
    views = views_of_groups()
    settings = {"similar_share": 0.2, "n_steps": 300}
    seeing = UHGAViews(12, n_contrast_steps=n_contrast_steps, **settings).fit(views[:, :3])
    blind = UHGAGraphPlain(12, **settings).fit(views[:, 0])

    def disagreement(hasher):
        first, other = (hasher.decision_function(views[:, i]) > 0 for i in (0, 3))  # of a view that none has seen
        return (first != other).mean()

    assert disagreement(seeing) < 0.8 * disagreement(blind)


def test_without_contrast_similarities_are_those_of_the_graph_of_the_first_views():
    views = views_of_groups(80)
    items = torch.arange(80)
    found = UHGAViews(4, n_contrast_steps=0, similar_share=0.04).pair_similarity(views)(items, items)
    expected = UHGAGraphPlain(4).pair_similarity(views[:, 0])(items, items)
    assert torch.equal(found, expected) and 0 < expected.mean() < 1


def test_contrast_finds_the_groups_that_views_keep():
    views, groups = views_of_groups(), np.arange(240) % 4
    views[:, :, 4:] *= 2  # which cosines of one view go by
    same, items = groups[:, None] == groups, torch.arange(240)

    def kinship(n_contrast_steps):
        hasher = UHGAViews(4, n_contrast_steps=n_contrast_steps, similar_share=0.1)
        similar = hasher.pair_similarity(views)(items, items).numpy() > 0
        return same[similar].mean()

    assert kinship(0) < 0.5 < 0.9 < kinship(300)


def test_attention_and_the_plain_gradient_have_the_same_similarities(monkeypatch):
    seen = []

    def keep(space, *_, **__):
        seen.append(space)
        return lambda a, b: torch.eye(len(a))

    monkeypatch.setattr(diffusion, "walk_similarity", keep)
    for method in (UHGAViews, UHGAViewsPlain):
        method(5, n_steps=2, n_contrast_steps=2).fit(views_of_groups(60))
    assert torch.equal(*seen)


def test_attention_follows_the_name():
    views = views_of_groups(60)
    plain, off, on = (
        hasher.fit(views).decision_function(views[:, 0])
        for hasher in (
            UHGAViewsPlain(5, n_steps=5, n_contrast_steps=5),
            UHGAViews(5, n_steps=5, n_contrast_steps=5, gradient_attention=False),
            UHGAViews(5, n_steps=5, n_contrast_steps=5),
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


@pytest.mark.parametrize("setting", ["temperature", "similar_share", "n_views"])
def test_settings_out_of_range_are_refused(setting):
    with pytest.raises(GannetError, match="at least 2 of each" if setting == "n_views" else setting):
        hasher = UHGAViews(4, **{setting: 0})
        hasher.fit(views_of_groups(40)[:, : max(1, hasher.n_views)])
