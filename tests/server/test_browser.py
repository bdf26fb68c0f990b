"""The page in a real Chromium, used with a mouse, a keyboard and a screen reader."""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import uvicorn
from served_pictures import ENCODER, N_BITS, SIDE, encode, save_picture

from gannet import search
from gannet.codes import hamming
from gannet.collection import Collection
from gannet.data import decode, digest
from gannet.index import DEFAULT_INDEX
from gannet.retrieval.live import LiveCollection
from gannet.retrieval.parts import part_index
from gannet.scoring import asymmetric_scores
from gannet.server import create_app

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium to drive")

Open = Callable[..., "playwright.Page"]
DONE = "#found[aria-busy=false]"
GIVE = """([type, bytes]) => {
  const data = new DataTransfer();
  data.items.add(new File([new Uint8Array(bytes)], "given.png", { type: "image/png" }));
  const init = { bubbles: true, cancelable: true };
  const event = type === "paste" ? new ClipboardEvent(type, { ...init, clipboardData: data })
                                 : new DragEvent(type, { ...init, dataTransfer: data });
  document.body.dispatchEvent(event);
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[playwright.Browser]:
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def open_page(browser: playwright.Browser) -> Iterator[Open]:
    """Serve a collection and open an address of its page; any error on the page fails the test."""
    servers: list[tuple[uvicorn.Server, threading.Thread, LiveCollection]] = []
    contexts: list[playwright.BrowserContext] = []
    errors: list[str] = []

    def open_one(collection: Path, address: str = "/", editable: bool = False, **looks: object) -> playwright.Page:
        live = LiveCollection(collection, editable)
        bound = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(create_app(live), log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        servers.append((server, thread, live))
        contexts.append(browser.new_context(base_url=f"http://127.0.0.1:{bound.getsockname()[1]}", **looks))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda line: errors.append(line.text) if "Content Security Policy" in line.text else None)
        page.goto(address)
        page.wait_for_selector(DONE)
        return page

    yield open_one
    for context in contexts:
        context.close()
    for server, thread, live in servers:
        server.should_exit = True
        thread.join(10)
        live.close()
    assert errors == []


def ids(page: playwright.Page) -> list[int]:
    page.wait_for_selector(DONE)
    return page.eval_on_selector_all("#grid .pick", "links => links.map(link => Number(link.dataset.id))")


def expected(collection: Path, id_: int, k: int) -> list[int]:
    with Collection.open(collection) as store:
        return store.index().search(store.codes([id_]), k)[1][0].tolist()


def by_score(collection: Path, picture: Path, k: int) -> list[int]:
    values = ENCODER.values(decode(picture.read_bytes(), SIDE).reshape(1, -1).astype(np.float32))[0]
    with Collection.open(collection) as store:
        scores = asymmetric_scores(values, store.codes())
        return np.lexsort((store.ids, hamming(encode(picture.read_bytes()), store.codes())[0], -scores))[:k].tolist()


def test_click_share_and_go_back(collection: Path, open_page: Open) -> None:
    page = open_page(collection)
    assert page.inner_text("#status") == "Or start from one of these" and len(ids(page)) == 24
    page.click('.pick[data-id="3"]')
    page.wait_for_selector(".item.self")
    assert page.url.endswith("/?id=3&k=50") and page.inner_text("#title") == "photos/03.png"
    assert ids(page) == expected(collection, 3, 50)
    page.click('.pick[data-id="7"]')
    page.wait_for_selector('.item.self [data-id="7"]')
    shared = open_page(collection, "/?" + page.url.partition("/?")[2])
    assert ids(shared) == ids(page) == expected(collection, 7, 50)
    page.go_back()
    page.wait_for_selector('.item.self [data-id="3"]')
    assert ids(page) == expected(collection, 3, 50)


def test_distances_and_differing_bits(collection: Path, open_page: Open) -> None:
    page = open_page(collection, "/?id=3&k=5")
    with Collection.open(collection) as store:
        codes = np.unpackbits(store.codes(ids(page)) ^ store.codes([3]), axis=1)
    for row, different in zip(page.query_selector_all("#grid .item"), codes, strict=True):
        assert f"{different.sum()} of {N_BITS} bits differ" in " ".join(row.inner_text().split())
        cells = row.query_selector(".cells .fill").get_attribute("d")
        assert cells.count("M") == different.sum()
        for bit in np.flatnonzero(different):
            assert f"M{5 * bit} 0h" in cells


def test_the_limits(collection: Path, open_page: Open) -> None:
    page = open_page(collection, "/?id=3&k=50")
    page.fill("#k", "4")
    page.wait_for_url("**/?id=3&k=4")
    page.wait_for_selector("#grid .item:nth-child(4):last-child")
    assert ids(page) == expected(collection, 3, 4)
    page.fill("#radius", "0")
    page.wait_for_url("**/?id=3&k=4&radius=0")
    page.wait_for_selector("#grid .item:only-child")
    assert page.inner_text("#status") == "1 result, 0 bits away"
    page.focus("#k-slider")
    page.keyboard.press("End")
    page.wait_for_url("**/?id=3&k=1000&radius=0")
    assert page.input_value("#k") == "1000"


@pytest.mark.parametrize("way", ["choose", "paste", "drop"])
def test_an_image_is_given(collection: Path, photos: Path, open_page: Open, way: str) -> None:
    page = open_page(collection, "/?k=6")
    file = photos / "09.png"
    if way == "choose":
        page.set_input_files("#file", file)
    else:
        page.evaluate(GIVE, [way, list(file.read_bytes())])
    code = encode(file.read_bytes()).tobytes().hex()
    page.wait_for_url(f"**/?code={code}&k=6")
    page.wait_for_selector("#grid .item")
    assert ids(page) == by_score(collection, file, 6)
    assert "in the order of their scores" in page.inner_text("#status")
    assert page.locator("#grid .distance", has_text="score 1.000").count() == 1
    assert page.get_attribute("#asked img", "src").startswith("blob:")
    page.reload()
    page.wait_for_selector(DONE)
    assert ids(page) == by_score(collection, file, 6)
    assert page.get_attribute("#asked img", "src").startswith("blob:")
    page.goto(page.url + "&shared")  # as in another browser, which has only the code
    page.wait_for_selector(DONE)
    assert ids(page) == expected(collection, 9, 6) and "score" not in page.inner_text("#status")


def test_texts_and_parts(described: Path, open_page: Open) -> None:
    page = open_page(described, "/?k=5")
    page.fill("#text", "dark red")
    page.keyboard.press("Enter")
    page.wait_for_url("**/?text=dark+red&k=5")
    page.wait_for_selector("#grid .item .distance")

    def found(part: str | None) -> list[int]:
        index = DEFAULT_INDEX if part is None else part_index(described, part)
        with Collection.open(described, index=index) as store:
            return [item["id"] for item in search(store, texts=["dark red"], k=5)[0]["results"]]

    assert ids(page) == found(None) and page.inner_text("#title") == "“dark red”"
    assert "in the order of their scores" in page.inner_text("#status")
    page.select_option("#part", "nearest")
    page.wait_for_url("**/?text=dark+red&k=5&part=nearest")
    assert ids(page) == found("nearest") != found(None)
    assert all(
        "of 12 bits differ" in " ".join(text.split()) for text in page.locator("#grid .distance").all_inner_texts()
    )
    shared = open_page(described, "/?" + page.url.partition("/?")[2])
    assert ids(shared) == ids(page) and shared.input_value("#text") == "dark red"
    page.click("#grid .pick")
    page.wait_for_selector(".item.self")
    assert "text" not in page.url and page.input_value("#text") == "" and page.input_value("#part") == "nearest"
    page.fill("#text", "nothing")
    page.click("text=Search >> nth=-1")
    page.wait_for_selector("#alert:not(:empty)")
    assert "there is no color nothing" in page.inner_text("#alert")


def test_files_that_are_not_images_are_explained(collection: Path, tmp_path: Path, open_page: Open) -> None:
    page = open_page(collection)
    (tmp_path / "x.png").write_text("no image")
    page.set_input_files("#file", tmp_path / "x.png")
    page.wait_for_selector("#alert:not(:empty)")
    assert "not an image" in page.inner_text("#alert")
    page.goto("/?id=4000")
    page.wait_for_selector("#alert:not(:empty)")
    assert page.inner_text("#alert") == "there is no item 4000 in this collection"


def test_removing_asks_first(collection: Path, open_page: Open) -> None:
    page = open_page(collection, "/?id=3&k=10", editable=True)
    second = ids(page)[1]
    page.click(f'.remove[data-id="{second}"]')
    assert (
        page.inner_text("#confirm-name").endswith(".png") and page.evaluate("document.activeElement.value") == "cancel"
    )
    page.keyboard.press("Escape")
    assert second in ids(page)
    page.click(f'.remove[data-id="{second}"]')
    page.click("#confirm .danger")
    page.wait_for_selector(f'.pick[data-id="{second}"]', state="detached")
    with Collection.open(collection) as store:
        assert second not in store.ids and len(store) == 41
    assert "Removed" in page.inner_text("#status")


def test_nothing_can_be_removed_without_edit(collection: Path, open_page: Open) -> None:
    assert open_page(collection, "/?id=3").query_selector_all(".remove") == []


def test_duplicates(collection: Path, open_page: Open) -> None:
    page = open_page(collection, "/?duplicates=0")
    assert page.inner_text("#status") == "1 group"
    assert page.eval_on_selector_all("#groups .pick", "links => links.map(l => Number(l.dataset.id))") == [0, 40]
    page.fill("#same", "3")
    page.wait_for_url("**/?duplicates=3")
    page.wait_for_selector(DONE)
    page.click("#groups .pick >> nth=0")
    page.wait_for_selector(".item.self")
    assert not page.is_visible("#grouping") and page.is_visible("#ask")


def test_by_keyboard_alone(collection: Path, open_page: Open) -> None:
    page = open_page(collection, "/?id=3&k=20", viewport={"width": 1000, "height": 800})
    page.focus("#grid .pick")
    found = ids(page)
    across = page.evaluate("getComputedStyle(document.getElementById('grid')).gridTemplateColumns.split(' ').length")
    at = 0
    for key, step in (("ArrowRight", 1), ("ArrowDown", across), ("ArrowLeft", -1), ("ArrowUp", -across), ("End", 19)):
        page.keyboard.press(key)
        at += step
        assert page.evaluate("Number(document.activeElement.dataset.id)") == found[at]
    page.keyboard.press("Enter")
    page.wait_for_selector(f'.item.self [data-id="{found[19]}"]')
    assert page.evaluate("document.activeElement.id") == "title"


def test_it_can_be_read_aloud(collection: Path, open_page: Open) -> None:
    page = open_page(collection, "/?id=3&k=5", editable=True)
    assert page.get_by_role("heading", level=1).inner_text() == "photos.gannet"
    assert page.get_by_role("status").inner_text().startswith("5 results, 0 to ")
    assert page.get_by_role("slider").count() == 2 and page.get_by_role("spinbutton").count() == 2
    assert page.get_by_role("navigation").get_by_role("link", name="Search").get_attribute("aria-current") == "page"
    assert page.get_by_role("link", name="0 of 24 bits differ. photos/03.png the query itself").count() == 1
    assert page.get_by_role("button", name="Remove photos/03.png").count() == 1
    unnamed = "all => all.filter(e => !(e.labels?.length || e.ariaLabel || e.textContent.trim())).length"
    assert page.eval_on_selector_all("a, button, input", unnamed) == 0


def test_names_of_files_are_text(collection: Path, photos: Path, open_page: Open) -> None:
    raw = (photos / "03.png").read_bytes()
    hostile = ["<img src=x onerror=alert(1)>.png", "\u202egnp.exe", "javascript:alert(1)", "caf\udce9.png"]
    with Collection.open(collection) as store:
        store.add(
            np.repeat(encode(raw), 4, axis=0), hostile, [digest(name.encode("utf-8", "replace")) for name in hostile]
        )
    page = open_page(collection, "/?id=3&radius=0")
    page.wait_for_selector(".frame.missing >> nth=3")  # the files do not exist, so the page shows their names
    labels = page.eval_on_selector_all("#grid bdi", "all => all.map(e => e.textContent)")
    assert labels[1:] == [hostile[0], r"\u202egnp.exe", hostile[2], r"caf\udce9.png"]
    assert page.query_selector("#grid img[src=x]") is None


def test_a_thousand_results(tmp_path: Path, collection: Path, photos: Path, open_page: Open) -> None:
    raw = (photos / "03.png").read_bytes()
    with Collection.open(collection) as store:
        codes = np.random.default_rng(0).integers(0, 256, (1000, 3), dtype=np.uint8)
        store.add(codes, [str(photos / "03.png")] * 1000, [digest(raw)] * 1000)
    page = open_page(collection, "/?id=3&k=1000", viewport={"width": 1200, "height": 800})
    page.wait_for_load_state("networkidle")
    assert len(ids(page)) == 1000
    loaded = "all => all.filter(image => image.complete && image.naturalWidth > 0).length"
    first = page.eval_on_selector_all("#grid img", loaded)
    assert 6 <= first < 500  # images far below the window are loaded later
    page.eval_on_selector("#grid .item:last-child", "last => last.scrollIntoView()")
    assert page.eval_on_selector("#grid .item:last-child", "last => last.getBoundingClientRect().top < innerHeight")


@pytest.mark.parametrize("width", [360, 1280])
def test_light_dark_narrow_and_wide(collection: Path, open_page: Open, width: int) -> None:
    grounds = {}
    for scheme in ("light", "dark"):
        page = open_page(collection, "/?id=3", viewport={"width": width, "height": 800}, color_scheme=scheme)
        grounds[scheme] = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert grounds["light"] != grounds["dark"]


def test_a_changed_file_is_said_and_not_shown(collection: Path, photos: Path, open_page: Open) -> None:
    save_picture(photos / "03.png", 1000)
    (photos / "05.png").unlink()
    page = open_page(collection, "/?id=3&k=42", viewport={"width": 1200, "height": 3000})
    page.wait_for_selector("#grid .changed")
    page.wait_for_load_state("networkidle")
    assert page.eval_on_selector_all("#grid .changed", "all => all.map(e => e.textContent)") == [
        "changed since it was indexed"
    ]
    missing = "links => links.filter(l => l.querySelector('.missing')).map(l => Number(l.dataset.id))"
    assert sorted(page.eval_on_selector_all("#grid .pick", missing)) == [3, 5, 41]
