"""The page in a real browser: pytest tests/view/test_browser.py

Debian's Chromium, driven by Playwright; skipped where either is absent.
"""

import base64
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ginr_cli.main import main

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS = 60_000
SHARP = "#canvas[data-state=sharp]"

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is not installed")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """Starts `ginr view` with arguments; returns its address."""
    started = []

    def start(*arguments: str | Path) -> str:
        command = [sys.executable, "-m", "ginr_cli", "view", "--no-browser", *map(str, arguments)]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env=os.environ | {"GINR_CONFIG": ""}
        )
        started.append(process)
        assert process.stdout is not None
        return process.stdout.readline().strip()

    yield start
    for process in started:
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 143
        process.stdout.close()


@pytest.fixture(scope="module")
def address(serve: Callable[..., str]) -> str:
    return serve()


@pytest.fixture
def new_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens a page; whatever it complains about fails the test, but for refusals."""
    contexts, complaints = [], list[str]()

    def open_page(address: str, **options: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}} | options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request",
            lambda request: (
                complaints.append(request.url)
                if not request.url.startswith((address, "blob:", "data:"))
                else None
            ),
        )
        page.goto(address)
        until(page, "document.querySelector('#format').options.length")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def drop(page: Any, name: str, content: bytes) -> None:
    """Drop a file on the page, as from another window."""
    page.evaluate(
        """([name, text]) => {
            const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0));
            const data = new DataTransfer();
            data.items.add(new File([bytes], name));
            for (const kind of ["dragover", "drop"])
                document.querySelector("#stage").dispatchEvent(
                    new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true }));
        }""",
        [name, base64.b64encode(content).decode()],
    )


def until(page: Any, expression: str) -> None:
    """Wait until an expression of JavaScript is true; the page's own policy forbids Playwright to."""
    end = time.monotonic() + PATIENCE_MS / 1000
    while not page.evaluate(expression):
        assert time.monotonic() < end, expression
        page.wait_for_timeout(20)


def settled(page: Any) -> None:
    """Wait until the screen has all its pixels."""
    page.wait_for_timeout(60)
    page.wait_for_selector(SHARP)


def zoom(page: Any) -> float:
    return float(page.inner_text("#zoom")[1:])


def canvas(page: Any, left: int, top: int, width: int, height: int) -> np.ndarray:
    """Pixels (h, w, 3) of the stage."""
    data = page.evaluate(
        "box => Array.from(document.querySelector('#canvas').getContext('2d').getImageData(...box).data)",
        [left, top, width, height],
    )
    return np.array(data, np.uint8).reshape(height, width, 4)[..., :3]


def test_a_dropped_picture_is_zoomed_and_its_pixels_are_those_of_upscale(
    new_page: Callable[..., Any], address: str, sample_images: Path, tmp_path: Path
) -> None:
    page = new_page(address)
    source = sample_images / "photo_osprey.png"
    drop(page, "osprey.png", source.read_bytes())
    settled(page)
    page.focus("#stage")
    page.keyboard.press("1")
    for _ in range(2):
        page.keyboard.press("PageUp")  # x2, x4
    settled(page)
    assert zoom(page) == 4
    width, height = page.evaluate("[canvas.width, canvas.height]")
    # The middle of the picture is that of the screen: 336x252 pixels, whole at x4 1344x1008.
    left, top = 1344 // 2 - round(width / 2), 1008 // 2 - round(height / 2)
    part = tmp_path / "part.png"
    with pytest.raises(SystemExit) as end:
        main(["upscale", str(source), str(part), "--scale", "4", "--box", "180,80,60,40"])
    assert end.value.code == 0
    expected = np.asarray(Image.open(part))
    pixels = canvas(page, 4 * 180 - left, 4 * 80 - top, 240, 160)
    assert np.abs(pixels.astype(int) - expected).max() <= 1
    # Left of the line there is bicubic interpolation, which differs.
    whole = Image.open(source).resize((1344, 1008), Image.Resampling.BICUBIC)
    plain = np.asarray(whole)[320:480, 400:600]
    pixels = canvas(page, 400 - left, 320 - top, 200, 160)
    assert np.abs(pixels.astype(int) - plain).max() <= 1


def test_wheel_drag_pinch_buttons_and_keys_move(
    new_page: Callable[..., Any], address: str, sample_images: Path
) -> None:
    page = new_page(address, has_touch=True)
    page.set_input_files("#file", sample_images / "photo_spices.png")
    settled(page)
    before = zoom(page)
    page.mouse.move(700, 300)
    page.mouse.wheel(0, -2000)
    settled(page)
    assert zoom(page) > 30 > before  # and beyond what files may have
    place = page.evaluate("document.querySelector('#stage').ariaLabel")
    assert "photo_spices.png, 300 by 225 pixels, zoom" in place
    page.click("#fit")
    settled(page)
    assert zoom(page) == before
    page.click("#in")
    assert zoom(page) == pytest.approx(1.25 * before, rel=0.01)
    settled(page)
    picture = canvas(page, 100, 100, 300, 300)
    page.mouse.move(300, 300)
    page.mouse.down()
    page.mouse.move(350, 320, steps=3)
    page.mouse.up()
    settled(page)
    # By 50 and 20 pixels, or one more or less where halves were rounded.
    moved = (canvas(page, 150 + x, 120 + y, 249, 279) for x in (0, 1, -1) for y in (0, 1, -1))
    assert min(np.abs(m.astype(int) - picture[:279, :249]).max() for m in moved) <= 1
    page.focus("#stage")
    for key, change in {"+": 1.25, "-": 0.8, "PageDown": 0.5, "PageUp": 2.0}.items():
        before = zoom(page)
        page.keyboard.press(key)
        assert zoom(page) == pytest.approx(change * before, rel=0.01), key
    page.keyboard.press("[")
    assert page.inner_text("#split-value") == "45% bicubic"
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    before = zoom(page)
    session = page.context.new_cdp_session(page)
    for kind, apart in (("touchStart", 50), ("touchMove", 75), ("touchMove", 100), ("touchEnd", 0)):
        points = [{"x": 700 + k * apart, "y": 400, "id": k + 1} for k in (-1, 1) if apart]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    settled(page)
    assert zoom(page) == pytest.approx(2 * before, rel=0.02)


def test_everything_can_be_done_by_the_keyboard(
    new_page: Callable[..., Any], address: str, sample_images: Path
) -> None:
    page = new_page(address)
    for name in ("photo_osprey.png", "line_art.png"):
        page.set_input_files("#file", sample_images / name)
        until(
            page, f"[...document.querySelectorAll('#entries .name')].some(n => n.title == '{name}')"
        )
    settled(page)
    page.focus("#stage")
    page.keyboard.press("n")
    assert page.get_attribute("#entries li:first-child .name", "aria-current") == "true"
    page.keyboard.press("l")
    page.wait_for_selector("#spot-alike td")
    assert page.locator("#spot-maps canvas").count() == 4
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.ariaLabel"))
    assert {
        "stage",
        "split",
        "auto",
        "lps",
        "size-by",
        "size",
        "format",
        "part",
        "fit",
        "add",
    } <= reached
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, progress, canvas[role], [role=application]")]
            .filter(e => e.checkVisibility() && !(e.ariaLabel || e.labels?.length || e.textContent.trim()))
            .map(e => e.outerHTML)"""
    )
    assert unnamed == []
    until(page, "document.querySelector('#status').textContent.startsWith('sharp at zoom')")


def test_a_picture_is_saved_under_its_name(
    new_page: Callable[..., Any], address: str, sample_images: Path, tmp_path: Path
) -> None:
    page = new_page(address)
    page.set_input_files("#file", sample_images / "photo_osprey.png")
    settled(page)
    page.fill("#size", "31")
    until(page, "document.querySelector('#sizes').textContent.includes('too large')")
    page.fill("#size", "1.5")
    page.select_option("#format", "tif")
    until(page, "document.querySelector('#sizes').textContent == '504 \\u00d7 378 pixels'")
    with page.expect_download() as download:
        page.click("#save button.main")
    assert download.value.suggested_filename == "photo_osprey_x1.5.tif"
    download.value.save_as(tmp_path / "saved.tif")
    with pytest.raises(SystemExit):
        main(
            [
                "upscale",
                str(sample_images / "photo_osprey.png"),
                str(tmp_path / "line.tif"),
                "--scale",
                "1.5",
            ]
        )
    ours, theirs = (np.asarray(Image.open(tmp_path / name)) for name in ("saved.tif", "line.tif"))
    assert np.array_equal(ours, theirs)


def test_a_wrong_file_is_refused_in_a_line(new_page: Callable[..., Any], address: str) -> None:
    page = new_page(address)
    drop(page, "notes.txt", b"no picture")
    page.wait_for_selector("#problems li")
    assert page.inner_text("#problems li").startswith(
        "notes.txt is not a supported picture: use a PNG"
    )
    page.click("#problems button")
    assert page.locator("#problems li").count() == 0
    assert page.is_visible("#welcome") and page.is_disabled("#save button.main")


def test_of_24_megapixels_the_visible_part_goes_first(
    new_page: Callable[..., Any], serve: Callable[..., str], sample_images: Path, tmp_path: Path
) -> None:
    source = tmp_path / "large.png"
    Image.open(sample_images / "photo_spices.png").resize((6000, 4000)).save(
        source, compress_level=1
    )
    page = new_page(serve(source))
    settled(page)
    assert zoom(page) < 1
    page.focus("#stage")
    page.keyboard.press("1")
    for _ in range(3):
        page.keyboard.press("PageUp")
    settled(page)
    share = page.evaluate("document.querySelector('#entries progress').value")
    assert zoom(page) == 8 and share < 0.5
    page.click("#entries .away")
    page.wait_for_selector("#welcome", state="visible")


def test_a_picture_is_encoded_before_somebody_zooms_in(
    new_page: Callable[..., Any], address: str, sample_images: Path
) -> None:
    page = new_page(address, viewport={"width": 400, "height": 300})
    drop(page, "a.png", (sample_images / "photo_spices.png").read_bytes())
    settled(page)
    assert zoom(page) < 1
    until(page, "document.querySelector('#entries progress').value === 1")


def test_two_tabs_do_not_disturb_each_other(
    new_page: Callable[..., Any], address: str, sample_images: Path
) -> None:
    pages = [new_page(address) for _ in range(2)]
    for page, name in zip(pages, ("photo_osprey.png", "line_art.png"), strict=True):
        page.set_input_files("#file", sample_images / name)
    for page, name in zip(pages, ("photo_osprey.png", "line_art.png"), strict=True):
        settled(page)
        assert page.locator("#entries .name").all_inner_texts() == [name]
    pages[0].close()
    pages[1].click("#in")
    settled(pages[1])


def test_a_page_too_many_is_told_why(browser: Any, serve: Callable[..., str]) -> None:
    address = serve()
    contexts = [browser.new_context() for _ in range(5)]
    pages = [context.new_page() for context in contexts]
    for page in pages[:4]:
        page.goto(address)
        until(page, "document.querySelector('#format').options.length")
    pages[4].goto(address)
    pages[4].wait_for_selector("#problems li")
    assert pages[4].inner_text("#problems li").startswith("4 pages are open: close one first")
    for context in contexts:
        context.close()


def test_a_saved_field_is_opened_from_the_command_line(
    new_page: Callable[..., Any], serve: Callable[..., str], sample_images: Path, tmp_path: Path
) -> None:
    field = tmp_path / "osprey.safetensors"
    with pytest.raises(SystemExit) as end:
        main(["reconstruct", str(sample_images / "photo_osprey.png"), "--save-field", str(field)])
    assert end.value.code == 0
    page = new_page(serve(field))
    settled(page)
    assert "saved field" in page.inner_text("#entries")
    assert page.is_disabled("#auto")


def test_restoration_changes_what_is_shown(
    new_page: Callable[..., Any], address: str, sample_images: Path, tmp_path: Path
) -> None:
    Image.open(sample_images / "photo_spices.png").convert("RGB").save(
        tmp_path / "bad.jpg", quality=25
    )
    page = new_page(address)
    page.set_input_files("#file", tmp_path / "bad.jpg")
    settled(page)
    assert "JPEG of quality 25" in page.inner_text("#seen")
    restored = canvas(page, 520, 200, 200, 200)
    page.uncheck("#auto")
    settled(page)
    until(page, "!document.querySelector('#seen').textContent.includes('restored')")
    settled(page)
    assert np.abs(canvas(page, 520, 200, 200, 200).astype(int) - restored).max() > 3


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_both_schemes(
    new_page: Callable[..., Any], address: str, scheme: str
) -> None:
    page = new_page(address, color_scheme=scheme)
    for selector in ("h2", "label[for=split]", ".note", "button.main", "#welcome b"):
        ink, ground = page.evaluate(
            """selector => {
                const element = document.querySelector(selector);
                let under = element;
                while (getComputedStyle(under).backgroundColor === "rgba(0, 0, 0, 0)") under = under.parentElement;
                return [getComputedStyle(element).color, getComputedStyle(under).backgroundColor];
            }""",
            selector,
        )
        assert _contrast(ink, ground) >= 4.5, selector  # WCAG AA


def _contrast(*colours: str) -> float:
    lights = []
    for colour in colours:
        levels = np.array([int(n) for n in re.findall(r"\d+", colour)[:3]]) / 255
        linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
        lights.append(float(linear @ [0.2126, 0.7152, 0.0722]) + 0.05)
    return max(lights) / min(lights)


def test_the_page_says_that_ginr_has_ended(
    new_page: Callable[..., Any], serve: Callable[..., str]
) -> None:
    page = new_page(serve())
    page.route("**/*", lambda route: route.abort())
    page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": b"x"})
    page.wait_for_selector("#problems li")
    assert page.inner_text("#problems li").startswith("ginr cannot be reached")
