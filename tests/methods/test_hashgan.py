"""HashGAN: each loss against a loop, gradients, training on planted images, and the encoder against torch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from gannet.codes import hamming
from gannet.errors import GannetError
from gannet.methods import _hashgan_networks as hashgan
from gannet.methods._hashgan_networks import Discriminator, Generator, HashGANTrainer, Weights
from gannet.methods.hashgan import HashGAN, StridedConvolutions
from gannet.training.schedule import single_threaded

EQUAL = Weights(1, 1, 1, 1, 1)


def planted_images(n: int = 200, seed: int = 0) -> np.ndarray:
    """Images of large patches, from few palettes."""
    random = np.random.default_rng(seed)
    patches = random.integers(0, 200, (4, 4, 4, 3))[random.integers(4, size=n)] + random.integers(0, 50, (n, 4, 4, 3))
    return patches.astype(np.uint8).repeat(8, axis=1).repeat(8, axis=2)


def trainer(n_bits: int = 6, width: int = 4, weights: Weights = EQUAL) -> HashGANTrainer:
    torch.manual_seed(0)
    return HashGANTrainer(Generator(10 + n_bits, width), Discriminator(n_bits, width), weights, 1e-3, 10)


def logits(*shape: int) -> torch.Tensor:
    return 2 * torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def entropy(p: float) -> float:
    return -p * math.log(p) - (1 - p) * math.log(1 - p)


@pytest.mark.parametrize(("n", "n_bits"), [(1, 1), (5, 7), (3, 24)])
def test_entropies_against_loops(n: int, n_bits: int) -> None:
    values = logits(n, n_bits)
    probabilities = [[sigmoid(x) for x in row] for row in values.tolist()]
    alone = sum(entropy(p) for row in probabilities for p in row) / (n * n_bits)
    means = [sum(row[b] for row in probabilities) / n for b in range(n_bits)]
    assert float(hashgan.bit_entropy(values)) == pytest.approx(alone, rel=1e-4)
    assert float(hashgan.mean_bit_entropy(values)) == pytest.approx(sum(map(entropy, means)) / n_bits, rel=1e-4)


def test_entropies_at_their_ends() -> None:
    sure = torch.tensor([[200.0], [-200.0]], requires_grad=True)
    assert float(hashgan.bit_entropy(sure.detach())) == 0
    assert float(hashgan.mean_bit_entropy(sure.detach())) == pytest.approx(math.log(2))
    (hashgan.bit_entropy(sure) + hashgan.mean_bit_entropy(sure)).backward()
    assert torch.isfinite(sure.grad).all()


def test_adversarial_and_matching_loss_against_loops() -> None:
    real, fake = logits(7), logits(9)[2:]
    expected = -sum(math.log(sigmoid(x)) for x in real.tolist()) / 7
    expected -= sum(math.log(1 - sigmoid(x)) for x in fake.tolist()) / 7
    assert float(hashgan.adversarial_loss(real, fake)) == pytest.approx(expected, rel=1e-4)
    a, b = logits(4, 3), logits(5, 3)
    total = sum((sum(row[d] for row in a.tolist()) / 4 - sum(row[d] for row in b.tolist()) / 5) ** 2 for d in range(3))
    assert float(hashgan.matching_loss(a, b)) == pytest.approx(total / 3, rel=1e-4)


def test_independent_rows_cost_nothing() -> None:
    orthonormal = torch.linalg.qr(logits(9, 5)).Q.T
    assert float(hashgan.independence_loss(orthonormal)) == pytest.approx(0, abs=1e-9)
    weight = logits(3, 4)
    total = 0.0
    for i, a in enumerate(weight.tolist()):
        for j, b in enumerate(weight.tolist()):
            total += (sum(x * y for x, y in zip(a, b, strict=True)) - (i == j)) ** 2
    assert float(hashgan.independence_loss(weight)) == pytest.approx(total / 3, rel=1e-4)


def test_moved_images_stay_near(monkeypatch: pytest.MonkeyPatch) -> None:
    images = hashgan.scaled(torch.from_numpy(planted_images(20)))
    moved = hashgan.moved(images, torch.Generator().manual_seed(0))
    assert moved.shape == images.shape and moved.abs().max() <= 1
    near, far = (moved - images).square().mean(), (moved - images.roll(1, dims=0)).square().mean()
    assert 0 < near < far / 2
    monkeypatch.setattr(hashgan, "ROTATION", 0.0)
    monkeypatch.setattr(hashgan, "SHIFT", 0.0)
    torch.testing.assert_close(hashgan.moved(images, torch.Generator()), images, atol=1e-4, rtol=0)


def test_a_step_moves_both_networks_along_their_own_losses() -> None:
    gan = trainer()
    real = hashgan.scaled(torch.from_numpy(planted_images(16)))
    before = [parameter.clone() for network in (gan.generator, gan.discriminator) for parameter in network.parameters()]
    losses = gan.step(real, torch.Generator().manual_seed(0))
    assert all(math.isfinite(loss) for loss in losses)
    after = [*gan.generator.parameters(), *gan.discriminator.parameters()]
    for old, new in zip(before, after, strict=True):
        assert torch.isfinite(new.grad).all() and not torch.equal(old, new)
        assert new.grad.abs().max() > 0


@pytest.mark.parametrize(
    ("weights", "which"),
    [
        (Weights(1, 0, 0, 0, 0), "entropy"),
        (Weights(0, 1, 0, 0, 0), "balance"),
        (Weights(0, 0, 1, 0, 0), "consistency"),
        (Weights(0, 0, 0, 1, 0), "independence"),
        (Weights(0, 0, 0, 0, 1), "collaboration"),
    ],
)
def test_each_weight_trains_the_last_layer_of_the_encoder(weights: Weights, which: str) -> None:
    none, one = (trainer(weights=w) for w in (Weights(0, 0, 0, 0, 0), weights))
    real = hashgan.scaled(torch.from_numpy(planted_images(16)))
    for gan in (none, one):
        gan.step(real, torch.Generator().manual_seed(0))
    assert not none.discriminator.encode.weight.grad.any()
    assert one.discriminator.encode.weight.grad.abs().max() > 0
    assert which in hashgan.Losses._fields


def trained(weights: Weights) -> tuple[dict[str, float], dict[str, float]]:
    """Return the mean losses of the first and the last of 60 steps."""
    gan = trainer(weights=weights)
    images = torch.from_numpy(planted_images())
    random = torch.Generator().manual_seed(0)
    with single_threaded():
        steps = [gan.step(hashgan.scaled(images[20 * (i % 10) : 20 * (i % 10) + 20]), random) for i in range(60)]
    means = (torch.tensor(part).mean(dim=0).tolist() for part in (steps[:5], steps[-5:]))
    early, late = (dict(zip(hashgan.Losses._fields, of, strict=True)) for of in means)
    return early, late


def test_losses_fall() -> None:
    early, late = trained(EQUAL)
    for name in ("adversarial", "entropy", "independence", "collaboration"):
        assert late[name] < early[name], name
    # The mean bit has an entropy of at most log 2 = 0.69.
    assert late["balance"] < -0.5
    # Bits that say nothing are the same for any image, so consistency can only be compared with training without it.
    assert late["consistency"] < trained(Weights(1, 1, 0, 1, 1))[1]["consistency"]


def test_the_encoder_is_the_settled_network() -> None:
    images = planted_images(60)
    gan = trainer(n_bits=7)
    gan.fit(torch.from_numpy(images), 1, 20, torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = gan.discriminator(hashgan.scaled(torch.from_numpy(images))).bits.numpy()
    arrays = []
    for weight, bias in hashgan.folded_convolutions(gan.discriminator):
        arrays += [weight.permute(2, 3, 1, 0).reshape(-1, len(weight)).numpy(), bias.numpy()]
    last = gan.discriminator.encode
    flat = last.weight.detach().view(7, -1, 2, 2).permute(2, 3, 1, 0).reshape(-1, 7).numpy()
    encoder = StridedConvolutions(*arrays, flat, last.bias.detach().numpy())
    np.testing.assert_allclose(encoder.values(images), expected, atol=1e-3)
    assert encoder.values(images[:0]).shape == (0, 7)


def test_the_encoder_equals_the_trained_network() -> None:
    images = planted_images(60)
    hasher = HashGAN(7, width=4, n_noise=10, n_epochs=1, batch_size=20, learning_rate=1e-3, random_state=3).fit(images)
    seed = int(np.random.RandomState(3).randint(2**31))
    torch.manual_seed(seed)
    gan = HashGANTrainer(Generator(17, 4), Discriminator(7, 4), EQUAL, 1e-3, 10)
    gan.fit(torch.from_numpy(images), 1, 20, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        expected = gan.discriminator(hashgan.scaled(torch.from_numpy(images))).bits.numpy()
    np.testing.assert_allclose(hasher.decision_function(images), expected, atol=1e-3)


def test_images_of_one_palette_have_similar_codes() -> None:
    images = planted_images(100)
    palette = np.random.default_rng(0)
    palette.integers(0, 200, (4, 4, 4, 3))
    group = palette.integers(4, size=100)
    codes = HashGAN(24, width=4, n_epochs=12, batch_size=20).fit(images).transform(images)
    distances, same = hamming(codes, codes), group[:, None] == group
    assert distances[same].mean() < distances[~same].mean() / 2


@pytest.mark.parametrize(
    "setting",
    [{"width": 0}, {"n_noise": 0}, {"n_epochs": 0}, {"batch_size": 1}, {"learning_rate": 0.0}, {"balance": -1.0}],
)
def test_settings_out_of_range_are_refused(setting: dict[str, float]) -> None:
    with pytest.raises(GannetError, match=next(iter(setting))):
        HashGAN(4, **setting).fit(planted_images(20))


def test_images_of_another_size_are_refused() -> None:
    with pytest.raises(GannetError, match=r"reads images of \(32, 32, 3\), not of \(16, 16, 3\): resize them"):
        HashGAN(4).fit(planted_images(20)[:, :16, :16])
