"""The viewer and the report in a real browser; skipped where there is no Chromium."""

import io
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from synth.report.page import write_report
from synth.shards.manifest import Manifest
from synth.view.server import serve

sys.path.insert(0, str(Path(__file__).parents[1] / "shards"))
from shard_factory import make_shard

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SLOW = 240_000
"""Patience with a busy machine [ms]."""
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    for seed in (0, 1):
        Manifest(folder).record(make_shard(folder, frames=4, views=2, dressed=True, size=128, seed=seed))
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api")
    options = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.append("--no-sandbox")
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=options, timeout=SLOW)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    page = browser.new_page(viewport={"width": 1000, "height": 640})
    page.set_default_timeout(SLOW)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    yield page
    page.close()
    assert problems == []


@pytest.fixture
def viewer(page: Any, folder: Path) -> Iterator[Any]:
    server = serve(folder)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    page.goto(f"http://127.0.0.1:{server.server_port}/")
    page.wait_for_selector("body[data-ready=yes]")
    yield page
    server.shutdown()
    server.server_close()


def look(page: Any, selector: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(page.locator(selector).first.screenshot())).convert("RGB")).astype(int)


def changed(before: np.ndarray, after: np.ndarray) -> int:
    """Number of pixels that differ clearly."""
    return int((np.abs(before - after).max(axis=2) > 24).sum())


def test_scrubbing_changes_pictures_and_scene(viewer: Any) -> None:
    picture, scene = look(viewer, "figure"), look(viewer, "#scene")
    assert len(np.unique(scene.reshape(-1, 3), axis=0)) > 50  # a lit body, not an empty canvas
    viewer.fill("#frame", "3")
    viewer.wait_for_selector('body[data-frame="3"][data-ready=yes]')
    assert changed(picture, look(viewer, "figure")) > 100
    assert changed(scene, look(viewer, "#scene")) > 100
    assert viewer.inner_text("#number") == "3 / 3"
    viewer.keyboard.press("Escape")
    viewer.locator("header").click()
    viewer.keyboard.press("ArrowLeft")
    viewer.wait_for_selector('body[data-frame="2"][data-ready=yes]')


def test_each_toggle_changes_what_it_names(viewer: Any) -> None:
    for name in ("joints", "box", "parts", "garments", "depth", "normal", "flow"):
        before = look(viewer, "figure")
        viewer.click(f"#layers-{name}")
        viewer.wait_for_selector("body[data-ready=yes]")
        assert changed(before, look(viewer, "figure")) > 20, name
    for name in ("joints", "garments", "body"):
        before = look(viewer, "#scene")
        viewer.click(f"#things-{name}")
        assert changed(before, look(viewer, "#scene")) > 20, name


def test_looking_through_a_camera_shows_the_person_where_the_picture_does(viewer: Any) -> None:
    # catches a transposed or inverted camera pose and an axis flipped on the way to WebGL
    mask = np.asarray(
        viewer.evaluate(
            """async () => {
        const picture = await createImageBitmap(await (await fetch(
            document.querySelector('figure .rgb').src.replace('rgb', 'depth'))).blob());
        const pen = new OffscreenCanvas(picture.width, picture.height).getContext('2d');
        pen.drawImage(picture, 0, 0);
        return [...pen.getImageData(0, 0, picture.width, picture.height).data].filter((_, i) => i % 4 == 3);
    }"""
        )
    ).reshape(128, 128)
    for name in ("joints", "cameras"):
        viewer.click(f"#things-{name}")
    viewer.locator("figure").first.dblclick()
    scene = look(viewer, "#scene")
    height, width = scene.shape[:2]
    colourful = (scene.max(axis=2) - scene.min(axis=2)) > 30  # skin and cloth, not the grey floor
    rows, columns = np.nonzero(mask)
    found = np.nonzero(colourful)
    scale = height / 128
    assert found[0].min() == pytest.approx(rows.min() * scale, abs=3 * scale)
    assert found[0].max() == pytest.approx(rows.max() * scale, abs=3 * scale)
    middle = (columns.mean() + 0.5 - 64) * scale + width / 2
    assert found[1].mean() == pytest.approx(middle, abs=3 * scale)


def test_another_clip_can_be_chosen_and_played(viewer: Any) -> None:
    first = viewer.locator("figure .rgb").first.get_attribute("src")
    viewer.select_option("#clip", index=1)
    viewer.wait_for_function("first => document.querySelector('figure .rgb').getAttribute('src') !== first", arg=first)
    viewer.wait_for_selector("body[data-ready=yes]")
    viewer.click("#play")
    viewer.wait_for_selector('body:not([data-frame="0"])', state="attached")
    viewer.click("#play")


def test_the_report_shows_all_its_pictures(page: Any, folder: Path, tmp_path: Path) -> None:
    # catches damaged data addresses and charts that the browser refuses
    write_report(folder, tmp_path / "report.html", clips=2, views=1)
    page.goto((tmp_path / "report.html").as_uri())
    page.wait_for_load_state("load")
    widths = page.eval_on_selector_all("img", "images => images.map(image => image.complete && image.naturalWidth)")
    assert len(widths) == 4
    assert min(widths) >= 2 * 128
    bars = page.eval_on_selector_all("svg rect", "bars => bars.filter(bar => bar.getBBox().height > 0).length")
    assert bars > 40
