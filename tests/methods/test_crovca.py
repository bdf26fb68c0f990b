"""Cross-view code alignment with coding-rate maximization."""

import numpy as np
import pytest

from gannet import CroVCA, GannetError

torch = pytest.importorskip("torch", reason="learning needs torch")

from gannet.training.contrastive import code_alignment, coding_rate  # noqa: E402


def two_views(n, n_bits, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(n, n_bits, generator=generator, requires_grad=True) for _ in range(2))


def views_of_groups(n=240, n_views=4, seed=0):
    """Draw items of four groups in four dimensions, and four more that change from view to view."""
    random = np.random.default_rng(seed)
    groups = 2 * np.eye(4)[np.arange(n) % 4] + 0.3 * random.normal(size=(n, 4))
    shown = [np.c_[groups, 1.5 * random.normal(size=(n, 4))] for _ in range(n_views)]
    return np.stack(shown, axis=1).astype(np.float32)


@pytest.mark.parametrize("n_bits", [1, 7, 65])
def test_alignment_against_a_slow_loop(n_bits):
    first, second = two_views(6, n_bits)
    loss = code_alignment(first, second)
    terms = [
        -np.log(1 / (1 + np.exp(-v if other > 0 else v)))
        for values, others in ((first, second), (second, first))
        for v, other in zip(values.detach().numpy().ravel(), others.detach().numpy().ravel(), strict=True)
    ]
    assert loss.item() == pytest.approx(np.mean(terms), abs=1e-5)
    loss.backward()
    for values, others in ((first, second), (second, first)):
        # Every value moves towards the bit of the other view.
        assert torch.equal(values.grad < 0, others > 0) and torch.isfinite(values.grad).all()


@pytest.mark.parametrize(("n", "n_bits"), [(20, 1), (20, 7), (8, 30)])
def test_the_rate_against_eigenvalues(n, n_bits):
    values, _ = two_views(n, n_bits)
    unit = torch.nn.functional.normalize(values.detach().double(), dim=1)
    spectrum = torch.linalg.eigvalsh(unit.T @ unit).clamp_min(0).numpy()
    expected = np.log1p(n_bits / (n * 0.05) * spectrum).sum() / 2 * (n + n_bits) / (n * n_bits)
    rate = coding_rate(values, 0.05)
    assert rate.item() == pytest.approx(expected, rel=1e-4)
    if n_bits > 1:  # the only direction of a single value is full
        rate.backward()
        assert torch.isfinite(values.grad).all() and values.grad.abs().max() > 1e-4


def test_the_rate_is_highest_for_orthogonal_values_and_lowest_for_equal_ones():
    equal, orthogonal = torch.ones(8, 8), torch.eye(8)
    random, _ = two_views(8, 8)
    rates = [coding_rate(values, 0.05).item() for values in (equal, random, orthogonal)]
    assert rates == sorted(rates) and rates[0] < 0.6 * rates[2]


def test_codes_follow_the_common_part_of_views_and_bits_differ():
    views, groups = views_of_groups(), np.arange(240) % 4

    def figures(**settings):
        hasher = CroVCA(12, hidden=64, batch_size=60, **settings).fit(views[:, :3])
        bits = [hasher.decision_function(views[:, i]) >= 0 for i in (0, 3)]  # the last is a view that training lacks
        codes = np.where(bits[0], 1, -1)
        agreement, same = codes @ codes.T / 12, groups[:, None] == groups
        redundancy = np.abs(np.corrcoef(codes.T)[~np.eye(12, dtype=bool)]).mean()
        return (bits[0] == bits[1]).mean(), agreement[same].mean() - agreement[~same].mean(), redundancy

    stable, apart, redundant = figures(n_steps=150)
    untrained = figures(n_steps=1)
    assert stable > untrained[0] + 0.05 and apart > untrained[1] + 0.1
    without_rate = figures(n_steps=150, rate_weight=0.0)
    assert redundant < without_rate[2]


@pytest.mark.parametrize(
    "setting", [{"hidden": 0}, {"rate_weight": -1.0}, {"epsilon": 0.0}, {"n_views": 1}, {"n_steps": 0}]
)
def test_settings_that_make_no_sense_are_refused(setting):
    with pytest.raises(GannetError):
        hasher = CroVCA(4, **setting)
        hasher.fit(views_of_groups(40)[:, : hasher.n_views])
