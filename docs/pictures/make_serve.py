"""Make the picture of the page, docs/pictures/serve.png, from drawings made here: no photograph is needed.

    python docs/pictures/make_serve.py

Needs `pip install 'gannet-hash[dev]'` and Chromium.
"""

from __future__ import annotations

import contextlib
import io
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from playwright.sync_api import sync_playwright

SIDE = 256
N_PICTURES = 600
QUERY = 36
COLORS = {
    "red": "#d1495b", "orange": "#ee8434", "yellow": "#edae49", "green": "#4f9d69", "teal": "#1b998b",
    "blue": "#30638e", "violet": "#7b4b94", "pink": "#f4a5ae", "white": "#f7f3e9", "night": "#1d2f3f",
}  # fmt: skip
SHAPES = ("disc", "ring", "square", "triangle", "star", "stripes", "waves", "dots", "flower", "boat")
GANNET = [sys.executable, "-c", "from gannet.cli import main; main()"]


def draw_picture(shape: str, ground: str, color: str, random: np.random.Generator) -> Image.Image:
    """Draw one shape in a color on a ground, of random size, place and turn, at four times the size."""
    image = Image.new("RGB", (4 * SIDE, 4 * SIDE), ground)
    draw = ImageDraw.Draw(image)
    middle = 2 * SIDE + random.uniform(-0.4, 0.4, 2) * SIDE
    radius = random.uniform(0.9, 1.5) * SIDE
    turn = random.uniform(0, 2 * np.pi)

    def around(n: int, far: float, near: float) -> list[tuple[float, float]]:
        angles = turn + np.linspace(0, 2 * np.pi, n, endpoint=False)
        away = radius * np.where(np.arange(n) % 2 == 0, far, near)
        return [
            (float(x), float(y)) for x, y in middle[:, None].T + away[:, None] * np.c_[np.cos(angles), np.sin(angles)]
        ]

    def disc(center: tuple[float, float], size: float) -> None:
        draw.ellipse([center[0] - size, center[1] - size, center[0] + size, center[1] + size], fill=color)

    x, y = map(float, middle)
    if shape == "disc":
        disc((x, y), radius)
    elif shape == "ring":
        draw.ellipse([x - radius, y - radius, x + radius, y + radius], outline=color, width=int(0.35 * radius))
    elif shape == "square":
        draw.polygon(around(4, 1, 1), fill=color)
    elif shape == "triangle":
        draw.polygon(around(3, 1.1, 1.1), fill=color)
    elif shape == "star":
        draw.polygon(around(10, 1.1, 0.45), fill=color)
    elif shape == "flower":
        for center in around(6, 0.6, 0.6):
            disc(center, 0.4 * radius)
    elif shape == "dots":
        step = 0.45 * radius
        for i in np.arange(0, 4 * SIDE + step, step):
            for j in np.arange(0, 4 * SIDE + step, step):
                disc((float(i), float(j)), 0.3 * step)
    elif shape == "boat":
        draw.polygon(
            [
                (x - radius, y),
                (x + radius, y),
                (x + 0.6 * radius, y + 0.5 * radius),
                (x - 0.6 * radius, y + 0.5 * radius),
            ],
            fill=color,
        )
        draw.polygon([(x, y - 1.2 * radius), (x, y - 0.1 * radius), (x + 0.8 * radius, y - 0.1 * radius)], fill=color)
    else:
        bend = 0.25 * radius if shape == "waves" else 0.0
        across = np.linspace(0, 4 * SIDE, 80)
        for height in np.arange(-radius, 5 * SIDE, 0.7 * radius):
            line = height + bend * np.sin(8 * across / radius)
            draw.line(
                [(float(a), float(b)) for a, b in zip(across, line, strict=True)], fill=color, width=int(0.25 * radius)
            )
    return image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def make_drawings(folder: Path) -> None:
    """Write the drawings, a folder a shape."""
    random = np.random.default_rng(7)
    names = list(COLORS)
    for i in range(N_PICTURES):
        shape = SHAPES[i % len(SHAPES)]
        ground, color = random.choice(len(names), 2, replace=False)
        picture = draw_picture(shape, COLORS[names[ground]], COLORS[names[color]], random)
        (folder / shape).mkdir(parents=True, exist_ok=True)
        picture.save(folder / shape / f"{names[color]}-{i:03}.jpg", quality=92)


def photograph(address: str, folder: str) -> bytes:
    """Return the page of one query as PNG; of the picture's path what is behind ``folder`` is shown."""
    with (
        sync_playwright() as driver,
        contextlib.closing(
            driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        ) as browser,
    ):
        page = browser.new_page(viewport={"width": 1180, "height": 860})
        page.goto(f"{address}?id={QUERY}&k=50")
        page.wait_for_selector("#found[aria-busy=false]")
        page.wait_for_load_state("networkidle")
        page.evaluate("(folder) => { path.textContent = path.textContent.replace(folder, '~'); }", folder)
        return page.screenshot()


def main() -> None:
    """Draw, index, serve and photograph."""
    with tempfile.TemporaryDirectory() as folder:
        drawings = Path(folder, "drawings")
        make_drawings(drawings)
        collection = Path(folder, "drawings.gannet")
        model = Path(folder, "drawings.model")
        subprocess.run([*GANNET, "fit", drawings, "-o", model, "--method", "itq", "--bits", "64"], check=True)
        subprocess.run([*GANNET, "index", drawings, "-m", model, "-o", collection], check=True)
        serve = [*GANNET, "serve", str(collection), "--port", "0"]
        with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True) as server:
            try:
                shot = photograph(re.search(r"http://\S+", server.stdout.readline())[0], folder)
            finally:
                server.terminate()
    # A palette halves the file, and nobody sees it.
    image = Image.open(io.BytesIO(shot)).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    image.save(Path(__file__).with_name("serve.png"), optimize=True)


if __name__ == "__main__":
    main()
