"""Networks, losses and training of `HashGAN` (Ghasedi Dizaji et al. 2018), on images of 32 x 32 pixels."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import affine_grid, grid_sample, logsigmoid, softplus

from gannet.support.progress import progress
from gannet.training.health import check_finite_values, check_health, health_sample, is_check_due, suggest_smaller_batch
from gannet.training.schedule import batches, single_threaded

_SLOPE = 0.2
ROTATION, SHIFT = math.radians(10), 0.2
"""Largest rotation, 10 degrees, and largest shift in half sides, 3.2 pixels."""


class Generator(nn.Module):
    """Map random inputs ``(n, n_inputs)`` to images ``(n, 3, 32, 32)`` in [-1, 1], like DCGAN."""

    def __init__(self, n_inputs: int, width: int) -> None:
        super().__init__()
        sizes = 4 * width, 2 * width, width
        self.layers = nn.Sequential(
            nn.Linear(n_inputs, 16 * sizes[0]), nn.Unflatten(1, (sizes[0], 4, 4)), nn.BatchNorm2d(sizes[0]), nn.ReLU()
        )
        for n_in, n_out in itertools.pairwise(sizes):
            self.layers.extend([nn.ConvTranspose2d(n_in, n_out, 4, 2, 1), nn.BatchNorm2d(n_out), nn.ReLU()])
        self.layers.extend([nn.ConvTranspose2d(width, 3, 4, 2, 1), nn.Tanh()])

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the images."""
        images: Tensor = self.layers(inputs)
        return images


class Judged(NamedTuple):
    """Outputs for n images: features ``(n, d)``, logits of being real ``(n,)``, and logits of bits ``(n, k)``."""

    features: Tensor
    realness: Tensor
    bits: Tensor


class Discriminator(nn.Module):
    """Discriminator and encoder of images ``(n, 3, 32, 32)`` in [-1, 1]; they share all layers but the last."""

    def __init__(self, n_bits: int, width: int) -> None:
        super().__init__()
        self.shared = nn.Sequential(nn.Conv2d(3, width, 4, 2, 1), nn.LeakyReLU(_SLOPE))
        for n_in in (width, 2 * width, 4 * width):
            self.shared.extend([nn.Conv2d(n_in, 2 * n_in, 4, 2, 1), nn.BatchNorm2d(2 * n_in), nn.LeakyReLU(_SLOPE)])
        self.shared.append(nn.Flatten())
        self.discriminate = nn.Linear(32 * width, 1)
        self.encode = nn.Linear(32 * width, n_bits)

    def forward(self, images: Tensor) -> Judged:
        """Return features, and the logits of images being real and of bits being 1."""
        features = self.shared(images)
        return Judged(features, self.discriminate(features)[:, 0], self.encode(features))


@dataclass(frozen=True)
class Weights:
    """Weights of the losses beside the adversarial loss, whose weight is 1."""

    entropy: float
    balance: float
    consistency: float
    independence: float
    collaboration: float


class Losses(NamedTuple):
    """The losses of one step, unweighted."""

    adversarial: Tensor
    matching: Tensor
    entropy: Tensor
    balance: Tensor
    consistency: Tensor
    independence: Tensor
    collaboration: Tensor


class HashGANTrainer:
    """Train a generator of ``n_noise + k`` inputs against a discriminator that is also the encoder of k bits.

    The learning rate of both Adams falls linearly to a third.
    """

    def __init__(
        self, generator: Generator, discriminator: Discriminator, weights: Weights, learning_rate: float, n_noise: int
    ) -> None:
        self.generator, self.discriminator = generator, discriminator
        self.weights, self.n_noise = weights, n_noise
        self.optimizers = [
            torch.optim.Adam(network.parameters(), learning_rate, betas=(0.5, 0.999))
            for network in (generator, discriminator)
        ]

    def fit(self, images: Tensor, n_epochs: int, batch_size: int, random: torch.Generator) -> None:
        """Pass ``n_epochs`` times over ``images (N, 32, 32, 3)``, uint8, then set the encoder for use.

        The encoder normalizes with the mean batch statistics of the training images. A `GannetError` is raised when
        memory runs out, a loss is not a number or the codes collapse.
        """
        n = min(batch_size, len(images))
        n_steps = n_epochs * (len(images) // n)
        falling = [
            torch.optim.lr_scheduler.LinearLR(optimizer, 1, 1 / 3, max(1, n_steps - 1)) for optimizer in self.optimizers
        ]
        order = batches(len(images), n, random)
        with (
            progress(n_steps, "training", "step") as bar,
            single_threaded(),
            suggest_smaller_batch(batch_size),
        ):
            for step in range(1, n_steps + 1):
                losses = self.step(scaled(images[next(order)]), random)
                if is_check_due(step, n_steps):
                    check_finite_values(torch.stack(list(losses)), step)
                for schedule in falling:
                    schedule.step()
                bar.update(1)
            settle(self.discriminator, images, n)
            with torch.no_grad():
                check_health(self.discriminator(scaled(health_sample(images))).bits, n_steps)

    def step(self, real: Tensor, random: torch.Generator) -> Losses:
        """Take one step of both networks on images ``real (n, 3, 32, 32)``, and return its losses."""
        n, n_bits = len(real), self.discriminator.encode.out_features
        bits = torch.randint(2, (n, n_bits), generator=random).float()
        fake = self.generator(torch.cat([torch.randn(n, self.n_noise, generator=random), bits], dim=1))
        of_real, of_fake = self.discriminator(real), self.discriminator(fake)
        of_moved = self.discriminator(moved(real, random))
        losses = Losses(
            adversarial_loss(of_real.realness, of_fake.realness),
            matching_loss(of_real.features.detach(), of_fake.features),
            bit_entropy(of_real.bits),
            -mean_bit_entropy(of_real.bits),
            (of_real.bits.sigmoid() - of_moved.bits.sigmoid()).square().mean(),
            independence_loss(self.discriminator.encode.weight),
            (of_fake.bits.sigmoid() - bits).square().mean(),
        )
        weights = self.weights
        judging = losses.adversarial + weights.collaboration * losses.collaboration
        for weight, loss in (
            (weights.entropy, losses.entropy),
            (weights.balance, losses.balance),
            (weights.consistency, losses.consistency),
            (weights.independence, losses.independence),
        ):
            judging = judging + weight * loss
        making = losses.matching + weights.collaboration * losses.collaboration
        # Both gradients are computed before either network moves.
        totals = ((self.generator, making), (self.discriminator, judging))
        gradients = [
            torch.autograd.grad(loss, list(network.parameters()), retain_graph=True) for network, loss in totals
        ]
        for (network, _), of_network, optimizer in zip(totals, gradients, self.optimizers, strict=True):
            for parameter, gradient in zip(network.parameters(), of_network, strict=True):
                parameter.grad = gradient
            optimizer.step()
        return Losses(*(loss.detach() for loss in losses))


def scaled(images: Tensor) -> Tensor:
    """Return uint8 images ``(n, h, w, 3)`` as ``(n, 3, h, w)`` in [-1, 1]."""
    return (images / 127.5 - 1).permute(0, 3, 1, 2)


def moved(images: Tensor, random: torch.Generator) -> Tensor:
    """Return images ``(n, 3, h, w)`` rotated by up to 10 degrees and shifted by up to a tenth of their side."""
    angle, right, down = (2 * torch.rand(3, len(images), generator=random) - 1) * torch.tensor(
        [[ROTATION], [SHIFT], [SHIFT]]
    )
    rows = torch.stack([angle.cos(), -angle.sin(), right, angle.sin(), angle.cos(), down], dim=1).view(-1, 2, 3)
    grid = affine_grid(rows, list(images.shape), align_corners=False)
    return grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def adversarial_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Return ``-mean log D(x) - mean log(1 - D(G(z)))`` for logits ``(n,)`` and ``(n,)``."""
    return softplus(-real).mean() + softplus(fake).mean()


def matching_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Return the mean squared difference of the mean features of two batches ``(n, d)`` (Salimans et al. 2016)."""
    return (real.mean(dim=0) - fake.mean(dim=0)).square().mean()


def bit_entropy(logits: Tensor) -> Tensor:
    """Return the mean entropy, in nats, of bits that are 1 with probability ``sigmoid(logits)``."""
    on, off = logsigmoid(logits), logsigmoid(-logits)
    return -(on.exp() * on + off.exp() * off).mean()


def mean_bit_entropy(logits: Tensor) -> Tensor:
    """Return the mean over bits of the entropy, in nats, of a bit's mean probability over items ``(n, k)``."""
    on = logits.sigmoid().mean(dim=0)
    return -(torch.xlogy(on, on) + torch.xlogy(1 - on, 1 - on)).mean()


def independence_loss(weight: Tensor) -> Tensor:
    """Return ``||W W' - I||^2 / k`` for the weights ``(k, d)`` of the last layer; 0 for orthonormal rows."""
    products = weight @ weight.T
    return (products - torch.eye(len(weight))).square().sum() / len(weight)


@torch.no_grad()
def settle(discriminator: Discriminator, images: Tensor, batch_size: int) -> None:
    """Set the network for use: normalize with the mean statistics of batches of ``images``."""
    for layer in discriminator.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None  # a plain mean over the batches
            layer.reset_running_stats()
    discriminator.train()
    for start in range(0, len(images) - batch_size + 1, batch_size):
        discriminator.shared(scaled(images[start : start + batch_size]))
    discriminator.eval()


def folded_convolutions(discriminator: Discriminator) -> list[tuple[Tensor, Tensor]]:
    """Return weights ``(n_out, n_in, 4, 4)`` and biases ``(n_out,)`` of the four convolutions of a settled network.

    They include its normalizations.
    """
    folded: list[tuple[Tensor, Tensor]] = []
    for layer in discriminator.shared:
        if isinstance(layer, nn.Conv2d):
            assert layer.bias is not None
            folded.append((layer.weight.detach(), layer.bias.detach()))
        elif isinstance(layer, nn.BatchNorm2d):
            assert layer.running_mean is not None and layer.running_var is not None
            weight, bias = folded.pop()
            scale = (layer.weight / (layer.running_var + layer.eps).sqrt()).detach()
            shift = layer.bias.detach() - scale * layer.running_mean
            folded.append((scale[:, None, None, None] * weight, scale * bias + shift))
    return folded
