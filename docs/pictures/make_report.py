"""Make the picture of the benchmark's page, docs/pictures/report.png, from a finished run.

    python docs/pictures/make_report.py out/cifar10-uhga

Needs `pip install 'gannet-hash[dev]'` and Chromium.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

WIDTH, MARGIN = 1120, 24


def photograph(page_file: Path) -> bytes:
    """Return a part of a page as PNG: from the plot of MAP by length to the end of what attention adds."""
    with (
        sync_playwright() as driver,
        contextlib.closing(
            driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        ) as browser,
    ):
        page = browser.new_page(viewport={"width": WIDTH, "height": 800})
        page.goto(page_file.as_uri())
        top = page.get_by_text("MAP against the length of the code").first.bounding_box()["y"] - MARGIN
        last = page.locator("section").nth(1).bounding_box()
        height = last["y"] + last["height"] + MARGIN - top
        return page.screenshot(clip={"x": 0, "y": top, "width": WIDTH, "height": height}, full_page=True)


def main() -> None:
    """Photograph the page in the folder that the command line names."""
    image = Image.open(io.BytesIO(photograph(Path(sys.argv[1], "report.html").resolve())))
    palette = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    palette.save(Path(__file__).with_name("report.png"), optimize=True)


if __name__ == "__main__":
    main()
