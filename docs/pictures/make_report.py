"""Make the picture of the benchmark's page, docs/pictures/report.png, from scikit-learn's digits.

    python docs/pictures/make_report.py

Needs `pip install 'gannet-hash[dev]'` and Chromium.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

BENCH = ["bench", "digits", "--methods", "itq,uhga-plain,uhga", "--bits", "16,32", "--seeds", "1", "--curves"]


def photograph(page_file: Path) -> bytes:
    """Return the top of a page as PNG, down to the end of its first section."""
    with (
        sync_playwright() as driver,
        contextlib.closing(
            driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        ) as browser,
    ):
        page = browser.new_page(viewport={"width": 1120, "height": 800})
        page.goto(page_file.as_uri())
        first = page.locator("section").first.bounding_box()
        clip = {"x": 0, "y": 0, "width": 1120, "height": first["y"] + first["height"] + 24}
        return page.screenshot(clip=clip, full_page=True)


def main() -> None:
    """Run the benchmark, or take the folder of a finished one, and photograph its page."""
    with tempfile.TemporaryDirectory() as folder:
        results = Path(sys.argv[1] if len(sys.argv) > 1 else folder)
        gannet = [sys.executable, "-c", "from gannet.cli import main; main()"]
        subprocess.run([*gannet, *BENCH, "-o", results], check=True)
        shot = photograph(results / "report.html")
    image = Image.open(io.BytesIO(shot)).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    image.save(Path(__file__).with_name("report.png"), optimize=True)


if __name__ == "__main__":
    main()
