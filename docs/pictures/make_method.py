"""Make the figures of docs/method.md: dilemma.png, attention.png and flow.png.

    pip install matplotlib
    python docs/pictures/make_method.py

All numbers in them are computed here: one step on one bit, and an attention network that is trained on scikit-learn's
digits, with a fixed seed.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import FancyBboxPatch
from sklearn.datasets import load_digits
from torch import Tensor

from gannet import GradientAttention
from gannet.hashers.layer import unit_features
from gannet.training.loops import train_on_pairs
from gannet.training.preprocessing import preprocess
from gannet.training.schedule import Schedule, batches
from gannet.training.similarity import thresholded_cosine
from gannet.training.trainer import PairwiseTrainer

FOLDER = Path(__file__).parent
GROUND, INK, QUIET, LINE = "#fbfaf7", "#1c2529", "#566369", "#d5d2c9"
BLUE, BROWN, YELLOW = "#17618f", "#a04a08", "#dca74a"
DIVERGING = LinearSegmentedColormap.from_list("sides", [BROWN, "#f4f1ea", BLUE])
N_BITS, N_STEPS, BATCH = 32, 300, 128


def main() -> None:
    """Draw all figures."""
    mpl.rcParams |= {
        "figure.facecolor": GROUND, "axes.facecolor": GROUND, "savefig.facecolor": GROUND,
        "font.size": 13, "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": LINE,
        "xtick.color": QUIET, "ytick.color": QUIET, "axes.titlesize": 14, "axes.titleweight": "bold",
    }  # fmt: skip
    draw_dilemma()
    draw_attention()
    draw_flow()


def draw_dilemma() -> None:
    """Draw one step on a similar pair of one bit, by the plain gradient and with all weight on one side."""
    a, b, rate = 0.1, -0.1, 1.0
    gradient = 2 * (a * b - 1)  # of (ab - 1)^2 in ab
    plain = a - rate * gradient * b, b - rate * gradient * a
    attentive = a - rate * 2 * gradient * b, b
    figure, axes = plt.subplots(3, 1, figsize=(10, 5.6), sharex=True)
    rows = (
        ("A similar pair differs in this bit", "distance 1", (a, b)),
        ("Plain gradient: both move, both signs flip", "distance 1, as before", plain),
        ("Attention: one moves, the other stays", "distance 0", attentive),
    )
    for axis, (title, distance, (new_a, new_b)) in zip(axes, rows, strict=True):
        axis.axhline(0, color=LINE, linewidth=2, zorder=0)
        axis.axvline(0, color=QUIET, linewidth=1.5, linestyle=(0, (4, 3)), zorder=0)
        for name, old, new, color in (("A", a, new_a, BLUE), ("B", b, new_b, BROWN)):
            if new != old:
                axis.plot(old, 0, "o", markersize=17, markerfacecolor=GROUND, markeredgecolor=color, zorder=2)
                bend = 0.3 if abs(new - old) < 0.3 else 0.16
                arrow = {"arrowstyle": "-|>", "color": color, "linewidth": 2.2, "connectionstyle": f"arc3,rad={bend}",
                         "shrinkA": 10, "shrinkB": 11, "mutation_scale": 18}  # fmt: skip
                axis.annotate("", (new, 0), (old, 0), arrowprops=arrow, zorder=1)
            axis.plot(new, 0, "o", markersize=17, color=color, zorder=3)
            axis.text(new, 0, name, color="white", ha="center", va="center", weight="bold", fontsize=11, zorder=4)
            number = f"{new:+.2f}".replace("-", "−")
            axis.text(new, -0.62, number, color=color, ha="center", va="center", fontsize=12)
        axis.set(xlim=(-0.42, 0.3), ylim=(-1, 1))
        axis.set_title(title, loc="left", pad=8)
        axis.text(0.3, 0.32, distance, ha="right", fontsize=13, color=QUIET)
        axis.axis("off")
    for x, text in ((-0.42, "bit 0"), (0.3, "bit 1")):
        axes[2].text(x, -0.75, text, ha="left" if x < 0 else "right", color=QUIET, fontsize=12)
    figure.subplots_adjust(left=0.03, right=0.97, top=0.93, bottom=0.02, hspace=0.45)
    save(figure, "dilemma")


class Weighed(NamedTuple):
    """Every pair and bit of some batches: both code values, both derivatives, the first side's weight, similarity."""

    a: np.ndarray
    b: np.ndarray
    derivative_a: np.ndarray
    derivative_b: np.ndarray
    weight: np.ndarray
    similar: np.ndarray


def train_and_weigh(n_steps: int = N_STEPS, seed: int = 0) -> Weighed:
    """Train a hash layer with attention on the digits, and weigh the pairs of eight more batches."""
    features = np.float32(load_digits().data)
    unit = unit_features(features, "centered-cosine")
    similarity = thresholded_cosine(unit, 0.2, 0.0)
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    layer, attention = torch.nn.Linear(unit.shape[1], N_BITS), GradientAttention()
    schedule = Schedule(n_steps, BATCH, "adam", 1e-3)
    trainer = PairwiseTrainer(layer, attention=attention, attention_every=4, n_steps=n_steps)  # as UHGA does
    train_on_pairs(trainer, schedule, unit, similarity, generator)
    found = []
    for _, batch in zip(range(8), batches(len(unit), 2 * BATCH, generator), strict=False):
        with torch.no_grad():
            codes = torch.tanh(layer(unit[batch]))
            a, b = codes[:BATCH], codes[BATCH:]
            similar = similarity(batch[:BATCH], batch[BATCH:])
            # The derivative of the loss, the mean agreement of the bits less the similarity, squared.
            gradient = 2 * (a @ b.T / N_BITS - similar) / N_BITS / BATCH
            found.append(weigh(attention, a, b, gradient, similar))
    return Weighed(*(np.concatenate(column) for column in zip(*found, strict=True)))


def weigh(attention: GradientAttention, a: Tensor, b: Tensor, gradient: Tensor, similar: Tensor) -> Weighed:
    """Return the weights of all pairs and bits, by their definition."""
    derivative_a, derivative_b = gradient[:, :, None] * b, gradient[:, :, None] * a[:, None]
    code_a, code_b = a[:, None].expand_as(derivative_a), b.expand_as(derivative_b)

    def score(code: Tensor, pair: Tensor, batch: Tensor) -> Tensor:
        inputs = torch.cat([code[..., None], preprocess(pair), preprocess(batch.expand_as(pair))], dim=-1)
        return attention.fc_out(torch.relu(attention.fc_in(inputs)))[..., 0]

    scores = (
        score(code_a, derivative_a, derivative_a.sum(1, keepdim=True)),
        score(code_b, derivative_b, derivative_b.sum(0, keepdim=True)),
    )
    weight = torch.softmax(torch.stack(scores), dim=0)[0]
    columns = code_a, code_b, derivative_a, derivative_b, weight, similar[:, :, None].expand_as(weight)
    return Weighed(*(column.reshape(-1).numpy() for column in columns))


def draw_attention() -> None:
    """Draw what a trained attention network weighs: by both code values, by derivative, and how one-sidedly."""
    weighed = train_and_weigh()
    similar, differing = weighed.similar > 0, weighed.a * weighed.b < 0
    figure, axes = plt.subplots(1, 3, figsize=(11.6, 4.7))
    codes = np.linspace(-1, 1, 17)
    draw_map(axes[0], weighed.a[similar], weighed.b[similar], weighed.weight[similar], codes, codes)
    axes[0].set(title="Similar pairs", xlabel="code value of A", ylabel="code value of B")
    limit = float(np.quantile(np.abs(weighed.derivative_a), 0.99))
    scaled = weighed.derivative_a / limit
    image = draw_map(axes[1], weighed.a, scaled, weighed.weight, codes, codes)
    axes[1].set(title="All pairs", xlabel="code value of A", ylabel="pair derivative for A, scaled")
    shares, edges = np.histogram(weighed.weight[similar & differing], bins=20, range=(0, 1))
    axes[2].bar(edges[:-1], shares / shares.sum(), width=np.diff(edges), align="edge", color=BLUE, edgecolor=GROUND)
    axes[2].set(title="Similar pairs that differ", xlabel="weight of A", ylabel="share of pairs and bits", xlim=(0, 1))
    axes[2].set_box_aspect(1)
    axes[2].spines[["top", "right"]].set_visible(False)
    figure.subplots_adjust(left=0.075, right=0.985, top=0.92, bottom=0.29, wspace=0.38)
    place = figure.add_axes((0.2, 0.1, 0.3, 0.035))
    bar = figure.colorbar(image, cax=place, orientation="horizontal", ticks=[0, 0.5, 1])
    bar.ax.set_xticklabels(["0: B takes all", "½: plain gradient", "1: A takes all"], color=INK)
    bar.outline.set_visible(False)
    figure.text(0.185, 0.118, "mean weight of A", ha="right", va="center")
    save(figure, "attention")
    sure = np.maximum(weighed.weight, 1 - weighed.weight)[similar & differing]
    near = np.where(np.abs(weighed.a) < np.abs(weighed.b), weighed.weight, 1 - weighed.weight)[similar & ~differing]
    print(f"similar pairs that differ: {(sure > 0.9).mean():.0%} have a weight above 0.9 on one side")
    print(f"similar pairs that agree: the code nearer to 0 has a mean weight of {near.mean():.2f}")


def draw_map(axis: Axes, x: np.ndarray, y: np.ndarray, weight: np.ndarray, *edges: np.ndarray) -> mpl.cm.ScalarMappable:
    """Draw the mean weight by two quantities; places with fewer than 30 pairs and bits are left empty."""
    counts = np.histogram2d(x, y, bins=edges)[0]
    sums = np.histogram2d(x, y, bins=edges, weights=weight)[0]
    means = np.where(counts >= 30, sums / np.maximum(counts, 1), np.nan)
    axis.set_box_aspect(1)
    axis.set(xticks=[-1, 0, 1], yticks=[-1, 0, 1])
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    axis.axhline(0, color=INK, linewidth=1)
    axis.axvline(0, color=INK, linewidth=1)
    return axis.pcolormesh(*edges, means.T, cmap=DIVERGING, vmin=0, vmax=1, zorder=0)


def draw_flow() -> None:
    """Draw what becomes of a batch in one step."""
    figure, axis = plt.subplots(figsize=(10.2, 5.4))
    axis.set(xlim=(0, 102), ylim=(0, 54))
    axis.axis("off")

    def box(x: float, y: float, text: str, color: str = INK, width: float = 22) -> None:
        patch = FancyBboxPatch((x - width / 2, y - 4.5), width, 9, boxstyle="round,pad=0,rounding_size=1.5",
                               facecolor="white", edgecolor=color, linewidth=1.8, mutation_aspect=1)  # fmt: skip
        axis.add_patch(patch)
        axis.text(x, y, text, ha="center", va="center", color=color, fontsize=12, linespacing=1.35)

    def arrow(start: tuple[float, float], end: tuple[float, float], text: str = "", where: tuple[float, float] = (0, 0),
              color: str = QUIET) -> None:  # fmt: skip
        style = {"arrowstyle": "-|>", "color": color, "linewidth": 1.8, "mutation_scale": 16,
                 "shrinkA": 0, "shrinkB": 0}  # fmt: skip
        axis.annotate("", end, start, arrowprops=style)
        middle = (start[0] + end[0]) / 2 + where[0], (start[1] + end[1]) / 2 + where[1]
        axis.text(*middle, text, ha="center", va="center", color=color, fontsize=11)

    box(13, 46, "features\nof A and B")
    box(48, 46, "similarity S\ncosine over 0.2?")
    box(13, 27, "hash layer W\nu = tanh(W f)", BLUE)
    box(48, 27, "products P\nof all pairs")
    box(83, 36.5, "loss\n(P/k − S)²")
    box(83, 8, "attention φ\nweights α, 1 − α", BROWN)
    box(13, 8, "one step of W", BLUE)
    arrow((24, 46), (37, 46))
    arrow((13, 41.5), (13, 31.5))
    arrow((24, 27), (37, 27), "codes u", (0, 2))
    arrow((59, 46), (72, 39))
    arrow((59, 27), (72, 34))
    arrow((83, 32), (83, 12.5), "derivative of\neach pair and bit", (10.5, 0))
    arrow((72, 5.5), (24, 5.5), "weighted derivatives 2αg, summed over pairs", (0, -2.2))
    arrow((13, 12.5), (13, 22.5), "back-\npropagation", (-8.5, 0), BLUE)
    arrow((24, 10.5), (72, 10.5), "look ahead: the loss of the same\nbatch after the step trains φ", (0, 3.4), BROWN)
    figure.subplots_adjust(left=0.02, right=0.98, top=0.98, bottom=0.02)
    save(figure, "flow")


def save(figure: plt.Figure, name: str) -> None:
    """Write a figure, sharp at twice the size it is shown at."""
    figure.savefig(FOLDER / f"{name}.png", dpi=1600 / figure.get_size_inches()[0], metadata={"Software": None})
    plt.close(figure)


if __name__ == "__main__":
    main()
