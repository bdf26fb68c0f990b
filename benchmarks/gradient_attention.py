"""Time a training step with the plain gradient, with gradient attention as published, and as Gannet computes it.

Run: ``python benchmarks/gradient_attention.py`` (``--quick`` for fewer repeats). The published implementation scores
every side of every pair and bit with tensors that hold the hidden layer, and differentiates twice through a shadow copy
of the hash layer to train the attention network. Before anything is timed, both implementations take a few steps from
equal weights and must reach equal weights.

By default the attention network is updated at the first quarter of the steps and then at every fourth, so the time of
the default is the mean over steps with and without an update.

A plain step is timed with everything that a step of a fit does: it picks its batch and computes its similarities.
Memory is what one step allocates in a fresh process, as the system counts it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gannet.methods.uhga import UHGA
from gannet.training.gradient_attention import GradientAttention
from gannet.training.losses import squared_loss
from gannet.training.preprocessing import preprocess
from gannet.training.schedule import batches, single_threaded
from gannet.training.similarity import thresholded_cosine
from gannet.training.trainer import PairwiseTrainer

N_FEATURES, PUBLISHED_HIDDEN = 1280, 100
NEVER = 10**9
MOMENTUM, RATE, ATTENTION_RATE = 0.9, 0.01, 0.05


def weigh_as_published(attention: GradientAttention, a: Tensor, b: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Apply one network to five inputs per side, pair and bit, and a softmax over the two sides."""
    pair_a, pair_b = gradient[:, :, None] * b[None], gradient[:, :, None] * a[:, None]

    def score(codes: Tensor, pair: Tensor, batch: Tensor) -> Tensor:
        columns = [codes.expand_as(pair)[..., None], preprocess(pair), preprocess(batch).expand(*pair.shape, 2)]
        return attention.fc_out(torch.relu(attention.fc_in(torch.cat(columns, dim=-1))))[..., 0]

    scores = score(a[:, None], pair_a, pair_a.sum(1, keepdim=True)), score(b[None], pair_b, pair_b.sum(0, keepdim=True))
    weights = torch.softmax(torch.stack(scores), dim=0)
    return (2 * weights[0] * pair_a).sum(1), (2 * weights[1] * pair_b).sum(0)


class PublishedTrainer:
    """SGD with momentum on a hash layer; the look-ahead loss is differentiated through the step itself."""

    def __init__(self, layer: nn.Linear, attention: GradientAttention) -> None:
        self.layer, self.attention = layer, attention
        self.momentum = [torch.zeros_like(p) for p in layer.parameters()]
        self.attention_optimizer = torch.optim.Adam(attention.parameters(), lr=ATTENTION_RATE)

    def step(self, inputs: Tensor, similarity: Tensor) -> None:
        """Take one step, as `PairwiseTrainer.step` does."""
        n = len(similarity)
        parameters = list(self.layer.parameters())
        codes = torch.tanh(self.layer(inputs))
        a, b = codes[:n].detach(), codes[n:].detach()
        products = (a @ b.T).requires_grad_()
        (gradient,) = torch.autograd.grad(self.loss(products, similarity, codes.shape[1]), products)
        weighted = torch.cat(weigh_as_published(self.attention, a, b, gradient))
        gradients = torch.autograd.grad(codes, parameters, weighted, create_graph=True)
        moves = [MOMENTUM * m + g for m, g in zip(self.momentum, gradients, strict=True)]
        shadow = [p.detach() - RATE * move for p, move in zip(parameters, moves, strict=True)]
        ahead = torch.tanh(nn.functional.linear(inputs, *shadow))
        self.attention_optimizer.zero_grad()
        self.loss(ahead[:n] @ ahead[n:].T, similarity, codes.shape[1]).backward()
        self.attention_optimizer.step()
        self.momentum = [move.detach() for move in moves]
        with torch.no_grad():
            for parameter, after in zip(parameters, shadow, strict=True):
                parameter.copy_(after)

    @staticmethod
    def loss(products: Tensor, similarity: Tensor, n_bits: int) -> Tensor:
        """Return the loss of a batch."""
        return squared_loss(products, similarity, n_bits).sum() / len(products)


def make_trainer(kind: str, n_bits: int, hidden: int, device: str, optimizer: str = "sgd", every: int = 1) -> Any:
    """Return a trainer of ``kind`` "plain", "published" or "ours", from the same weights each time."""
    torch.manual_seed(0)
    layer = nn.Linear(N_FEATURES, n_bits).to(device)
    attention = GradientAttention(hidden).to(device)
    if kind == "published":
        return PublishedTrainer(layer, attention)
    return PairwiseTrainer(
        layer,
        optimizer=optimizer,
        learning_rate=RATE,
        attention=attention if kind == "ours" else None,
        attention_learning_rate=ATTENTION_RATE,
        attention_every=every,
    )


def make_features(n: int) -> tuple[Tensor, Tensor]:
    """Return ``(n, 1280)`` unit vectors in ten groups, and the numbers of their groups ``(n,)``."""
    torch.manual_seed(1)
    classes = torch.randint(0, 10, (n,))
    return nn.functional.normalize(torch.randn(10, N_FEATURES)[classes] + 2 * torch.randn(n, N_FEATURES)), classes


def make_batch(side: int) -> tuple[Tensor, Tensor]:
    """Return inputs ``(2 side, 1280)`` and 0/1 similarities ``(side, side)``, about one pair in ten similar."""
    inputs, classes = make_features(2 * side)
    return inputs, (classes[:side, None] == classes[None, side:]).float()


def largest_difference(n_bits: int, side: int, hidden: int, n_steps: int = 3) -> float:
    """Return the largest difference of the two implementations' weights after some steps, relative to their moves."""
    ends = []
    for kind in ("published", "ours"):
        trainer = make_trainer(kind, n_bits, hidden, "cpu")
        network = trainer.layer if kind == "published" else trainer.network
        modules = [network.double(), trainer.attention.double()]
        if kind == "published":
            trainer.momentum = [m.double() for m in trainer.momentum]
        start = [p.detach().clone() for module in modules for p in module.parameters()]
        batch = [part.double() for part in make_batch(side)]
        for _ in range(n_steps):
            trainer.step(*batch)
        ends.append([p.detach() - s for p, s in zip((p for m in modules for p in m.parameters()), start, strict=True)])
    moved = [(ours - theirs, theirs) for theirs, ours in zip(*ends, strict=True)]
    return max(float(gap.abs().max() / theirs.abs().max().clamp_min(1e-12)) for gap, theirs in moved[:-1])


def milliseconds(steps: dict[str, Callable[[], None]], rounds: int, device: str) -> dict[str, float]:
    """Return the median time of each step in milliseconds; the steps take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds + 1):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            if device != "cpu":
                torch.cuda.synchronize()
            seconds[name].append(time.perf_counter() - start)
    return {name: 1e3 * statistics.median(times[1:]) for name, times in seconds.items()}


def timed_steps(n_bits: int, side: int, device: str) -> dict[str, Callable[[], None]]:
    """Return the compared steps: as published with all threads and with one, and ours with one, as in `fit`."""
    inputs = make_features(10_000)[0].to(device)
    similarity = thresholded_cosine(inputs, 0.1, 0.0)

    def step_of(trainer: Any) -> Callable[[], None]:
        order = batches(len(inputs), 2 * side, torch.Generator().manual_seed(0))

        def step() -> None:
            batch = next(order)
            trainer.step(inputs[batch], similarity(batch[:side], batch[side:]))

        return step

    def alone(step: Callable[[], None]) -> Callable[[], None]:
        def single() -> None:
            with single_threaded():
                step()

        return single

    published = [step_of(make_trainer("published", n_bits, PUBLISHED_HIDDEN, device)) for _ in range(2)]
    return {
        "plain": alone(step_of(make_trainer("plain", n_bits, 1, device, "adam"))),
        "published": published[0],
        "published, 1 thread": alone(published[1]),
        "same": alone(step_of(make_trainer("ours", n_bits, PUBLISHED_HIDDEN, device))),
        "looking ahead": alone(step_of(make_trainer("ours", n_bits, UHGA().attention_hidden, device, "adam"))),
        "weighing": alone(step_of(make_trainer("ours", n_bits, UHGA().attention_hidden, device, "adam", NEVER))),
    }


def _memory(kind: str, hidden: int, side: int, n_bits: int) -> float:
    trainer = make_trainer(kind, n_bits, hidden, "cpu")
    if kind == "ours":
        make_trainer("ours", 8, hidden, "cpu").step(*make_batch(4))  # load the kernels before counting
    batch = make_batch(side)
    before = _peak_kib()
    trainer.step(*batch)
    return (_peak_kib() - before) / 1024


def _peak_kib() -> int:
    # Not getrusage: a new process starts with its parent's peak there.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def memory(kind: str, hidden: int, side: int, n_bits: int) -> float:
    """Return the MiB that a step allocates in a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_memory, (kind, hidden, side, n_bits))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="fewer repeats")
    rounds = 3 if parser.parse_args(arguments).quick else 15
    gap = largest_difference(32, 24, PUBLISHED_HIDDEN)
    print(f"weights after 3 steps of both implementations: at most {gap:.1e} of their move apart (float64)\n")
    if not gap < 1e-5:
        raise SystemExit("the two implementations do not agree")
    for device in ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]:
        print(f"milliseconds per step, {device}, linear layer on {N_FEATURES} features")
        print("batch    bits  plain  published(100)  ours(100)     ours(default)  published/ours(100)  default/plain")
        for side in (64, 128):
            for n_bits in (32, 64):
                ms = milliseconds(timed_steps(n_bits, side, device), rounds, device)
                # The attention network is updated at a quarter of the steps, and then at every n-th.
                share = 1 / 4 + 3 / 4 / UHGA().attention_every
                ms["default"] = share * ms["looking ahead"] + (1 - share) * ms["weighing"]
                published = min(ms["published"], ms["published, 1 thread"])
                print(
                    f"{side:>3}+{side:<3} {n_bits:>5} {ms['plain']:>6.1f} {published:>15.1f} {ms['same']:>10.1f} "
                    f"{ms['default']:>17.1f} {published / ms['same']:>19.1f}x {ms['default'] / ms['plain']:>13.1f}x"
                )
    print("\nMiB of one step, 128+128, 64 bits; pairs x bits x 4 bytes are 4 MiB")
    for kind, hidden in (("published", 100), ("ours", UHGA().attention_hidden), ("ours", 100), ("ours", 400)):
        print(f"{kind:>9} ({hidden:>3} hidden) {memory(kind, hidden, 128, 64):>8.0f}")


if __name__ == "__main__":
    main()
