"""The pictures of docs/page.md and the README, made anew.

python -m benchmarks.pictures [--people]        # --people: only that of real people
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer
import yaml
from playwright.sync_api import Page, sync_playwright

from benchmarks.page import ARGUMENTS, ROOT, Run, looking, transcode
from xpose_stream.stream.session import Session
from xpose_stream.stream.site import Site

PARK = ROOT / "configs" / "demo" / "park.mp4"
MOMENTS = (78, 110, 140)  # frames of it
WIDE = 560  # px of each
COMPANY = ROOT / "configs" / "demo" / "company.mp4"
WORDS = "person, quadruped, robot arm, chair"
KEEP = """() => document.addEventListener("painted", 
  ({detail}) => ((window.kept ??= {})[detail.message.frame] = detail.message))"""
# Of a chair's keypoints these, by their numbers in its skeleton.
NAMES = {0: "front left", 1: "front right", 2: "rear left", 3: "rear right", 8: "top left", 9: "top right"}
EDGES = [(0, 1), (1, 3), (3, 2), (2, 0), (2, 8), (3, 9), (8, 9)]


def people(path: Path) -> None:
    """Moments of the clip of real people, side by side, as the overlay shows them."""
    with tempfile.TemporaryDirectory() as folder:
        overlay = Path(folder, "park.mp4")
        Session(Site.of(str(PARK), overlay=str(overlay))).run()
        reader = cv2.VideoCapture(str(overlay))
        frames = [reader.read()[1] for _ in range(max(MOMENTS) + 1)]
    shown = [frames[i] for i in MOMENTS]
    tall = round(WIDE * shown[0].shape[0] / shown[0].shape[1])
    small = [cv2.resize(frame, (WIDE, tall), interpolation=cv2.INTER_AREA) for frame in shown]
    cv2.imwrite(str(path), np.hstack(small), [cv2.IMWRITE_JPEG_QUALITY, 88])


def shot(page: Page, path: Path) -> None:
    """What the page shows, as JPEG."""
    png = path.with_suffix(".png")
    page.screenshot(path=png)
    cv2.imwrite(str(path), np.asarray(cv2.imread(str(png))), [cv2.IMWRITE_JPEG_QUALITY, 88])
    png.unlink()


def click_together(page: Page, message: dict[str, Any]) -> None:
    """A box, keypoints and edges where the chair was found."""
    chair = next(one["id"] for one in message["categories"] if one["name"] == "chair")
    track = next(track for track in message["tracks"] if track["category"] == chair)
    canvas = page.locator("#frozen")
    box = canvas.bounding_box()
    assert box
    scale, x, y = (float(canvas.get_attribute(f"data-{name}") or 0) for name in ("scale", "x", "y"))

    def at(place: Any) -> tuple[float, float]:
        return box["x"] + x + place[0] * scale, box["y"] + y + place[1] * scale

    def drag(start: Any, end: Any) -> None:
        page.mouse.move(*at(start))
        page.mouse.down()
        page.mouse.move(*at(end), steps=5)
        page.mouse.up()

    x0, y0, x1, y1 = track["box"]
    drag((x0 - 8, y0 - 8), (min(x1 + 8, message["width"]), min(y1 + 8, message["height"])))
    points = track["keypoints"]
    for number, name in NAMES.items():
        page.mouse.click(*at(points[number]))
        page.keyboard.type(name)
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Edges", exact=True).click()
    for one, other in EDGES:
        drag(points[one], points[other])
    page.get_by_role("button", name="Keypoints", exact=True).click()
    page.get_by_label("What is it?").fill("armchair")
    page.mouse.move(*at(points[9]))


def look_back(page: Page) -> None:
    """Open the recording, in the middle, with two keypoints of the person plotted."""
    page.keyboard.press("l")
    page.locator("#shelf button").first.click()
    page.locator("#lane-list button", has_text="person").first.click()
    for name in ("left wrist", "right ankle"):
        page.locator("#plotted button", has_text=name).click()
    page.locator("#plotted button", has_text="nose").click()  # which was shown at first
    for _ in range(3):
        page.keyboard.press("Shift+ArrowRight")
    page.locator("#curves canvas").nth(1).wait_for()
    page.wait_for_timeout(2000)


def main(only_people: Annotated[bool, typer.Option("--people")] = False) -> None:
    """Take them."""
    people(ROOT / "docs" / "people.jpg")
    if not only_people:
        pages()


def pages() -> None:
    """Those of the live page."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        clip, site = Path(folder, "company.mp4"), Path(folder, "site.yaml")
        transcode(COMPANY, clip)  # ten times in a row: time enough on every machine
        outputs = {"page": {"address": "127.0.0.1:0", "recordings": f"{folder}/recordings"}}
        site.write_text(yaml.safe_dump({"cameras": [{"source": str(clip)}], "prompt": WORDS, "outputs": outputs}))
        run = Run(site)
        run.wait_for_page()
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1280, "height": 760}, color_scheme="dark")
        looking(page, run)
        page.evaluate(KEEP)
        page.keyboard.press("o")
        page.wait_for_timeout(12_000)
        page.keyboard.press("o")
        page.locator("#take-said", has_text="Recorded").wait_for(timeout=60_000)
        page.locator("#tracks li").nth(3).wait_for(timeout=60_000)
        shot(page, ROOT / "docs" / "page.jpg")
        page.keyboard.press("f")
        page.locator("#strip [aria-selected=true]").wait_for(timeout=30_000)
        page.wait_for_timeout(1500)
        frozen = page.locator("#strip [aria-selected=true]").get_attribute("data-frame")
        click_together(page, page.evaluate("(frame) => kept[frame]", frozen))
        page.wait_for_timeout(500)
        shot(page, ROOT / "docs" / "page-clicking.jpg")
        page.keyboard.press("Escape")
        look_back(page)
        shot(page, ROOT / "docs" / "page-recording.jpg")
        browser.close()
        run.lines()


if __name__ == "__main__":
    typer.run(main)
