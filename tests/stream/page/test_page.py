"""What a person meets: at once, by keyboard, on a phone, and when the server goes and comes."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.stream.page.conftest import Live
from tests.stream.spot import write_spot_clip
from xpose_stream.stream.fleet.front import Front
from xpose_stream.stream.sinks.directory import Entry
from xpose_stream.stream.site import PageSite

ROOT = Path(__file__).parents[3]
AXE = Path(__file__).parent / "axe" / "axe.min.js"
COMPANY = ROOT / "configs" / "demo" / "company.mp4"


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("clips")
    return {name: str(write_spot_clip(folder / f"{name}.mp4", 120, size=(320, 240))) for name in ("door", "yard")}


def opened(page: Page, running: Live) -> None:
    page.goto(running.url)
    page.wait_for_selector("canvas[data-frame]", timeout=60_000)


def test_a_newcomer_opens_the_printed_address_and_sees_the_stream(page: Page, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "run_stream.py"), "run", str(COMPANY), "--realtime", "--page", "127.0.0.1:0"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr
        printed = running.stderr.readline()
        assert printed.startswith("live page: http://127.0.0.1:"), printed
        page.goto(printed.partition(": ")[2].strip())
        expect(page.locator("#tracks li").first).to_contain_text("person", timeout=300_000)
        first = page.locator("canvas[data-frame]").get_attribute("data-frame")
        expect(page.locator("canvas[data-frame]")).not_to_have_attribute("data-frame", first or "")
        running.terminate()
        out, _ = running.communicate(timeout=60)
    ended = json.loads(out.splitlines()[-1])
    assert ended["event"] == "end" and ended["cameras"]["company"]["frames"]["published"] > 0
    expect(page.locator("#gone")).to_contain_text("The stream is not there")
    expect(page.locator(".tile.stale .away")).to_contain_text("last frame at")


def test_without_a_page_nothing_is_served_nor_printed(tmp_path: Path) -> None:
    clip = write_spot_clip(tmp_path / "clip.mp4", 1)
    command = [sys.executable, str(ROOT / "run_stream.py"), "run", str(clip)]
    done = subprocess.run([*command, "--no-page"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "live page" not in done.stderr
    done = subprocess.run([*command, "--no-page", "--page", "127.0.0.1:0"], capture_output=True, text=True)
    assert done.returncode == 1 and "makes no sense" in done.stderr


def test_a_page_says_that_the_server_is_gone_and_comes_back_by_itself(
    page: Page, live: Callable, clips: dict[str, str]
) -> None:
    with live(clips, pause=1 / 60) as first:
        opened(page, first)
        port = first.server.port
    expect(page.locator("#gone")).to_contain_text("The stream is not there. Trying again by itself")
    expect(page.locator("#connection")).to_have_text("no connection")
    expect(page.locator(".tile.stale")).to_have_count(2)
    expect(page.locator(".tile.large .away")).to_contain_text("last frame at")
    with live(clips, pause=1 / 60, address=f"127.0.0.1:{port}"):
        expect(page.locator("#gone")).to_be_hidden()
        expect(page.locator(".tile.stale")).to_have_count(0)
        expect(page.locator("#connection")).to_have_text("connected")


def test_a_camera_that_is_lost_is_grey_with_the_reason(
    page: Page, live: Callable, clips: dict[str, str], rtsp_server: Callable
) -> None:
    with rtsp_server(Path(clips["yard"])) as server, live({"door": server.url}, pause=1 / 60) as running:
        opened(page, running)
        server.kill()
        away = page.locator(".tile.stale .away")
        expect(away).to_contain_text("lost", ignore_case=True)
        expect(away).to_contain_text("last frame at")


def test_nobody_who_looks_costs_nothing(page: Page, live: Callable, clips: dict[str, str]) -> None:
    with live(clips, pause=1 / 60) as running:
        hub = running.server.hub
        running.rig.wait_for_more("door", 10)
        assert not hub.latest and not hub.ring.bytes
        opened(page, running)
        assert hub.latest and hub.ring.bytes
        page.goto("about:blank")
        running.rig.wait(lambda: not hub.latest and not hub.ring.bytes, "forgetting")


def test_pictures_for_dashboards_and_scripts(live: Callable, clips: dict[str, str]) -> None:
    with live(clips, pause=1 / 60) as running:
        running.rig.wait_for_more("door", 10)  # it plays, and has a track
        answer = urllib.request.urlopen(running.url + "cameras")
        cameras = json.loads(answer.read())
        assert [camera["camera"] for camera in cameras] == ["door", "yard"] and cameras[0]["state"] == "playing"
        assert urllib.request.urlopen(running.url + "healthz").read() == b"ok\n"
        plain, drawn = (jpeg(running.url + f"cameras/door.jpg?overlay={overlay}") for overlay in (0, 1))
        assert plain.shape == drawn.shape == (240, 320, 3)
        assert saturation(drawn) > saturation(plain) + 20, "the spot is grey, its track is coloured"
        with urllib.request.urlopen(running.url + "cameras/door.mjpeg") as stream:
            assert stream.headers["content-type"] == "multipart/x-mixed-replace; boundary=frame"
            parts = [part(stream) for _ in range(5)]
        assert all(picture.shape == (240, 320, 3) for picture in parts)


def jpeg(url: str) -> np.ndarray:
    return np.asarray(cv2.imdecode(np.frombuffer(urllib.request.urlopen(url).read(), np.uint8), cv2.IMREAD_COLOR))


def part(stream: Any) -> np.ndarray:
    """The next picture of an MJPEG stream."""
    assert stream.readline() == b"--frame\r\n" and b"image/jpeg" in stream.readline()
    length = int(stream.readline().partition(b":")[2])
    assert stream.readline() == b"\r\n"
    data = stream.read(length)
    stream.readline()
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))


def saturation(picture: np.ndarray) -> float:
    return float((picture.max(2).astype(int) - picture.min(2)).max())


def violations(page: Page) -> list[str]:
    """What axe-core finds that is serious."""
    page.evaluate(AXE.read_text())  # in the page's world, past its policy, as a developer's tools are
    found = page.evaluate("async () => (await axe.run()).violations")
    return [
        f"{one['id']}: {node['html'][:120]} {node['failureSummary']}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["dark", "light"])
@pytest.mark.parametrize("size", [(1280, 800), (390, 844)])
def test_it_can_be_reached_by_all(
    page: Page, live: Callable, clips: dict[str, str], scheme: Any, size: tuple[int, int]
) -> None:
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page.set_viewport_size({"width": size[0], "height": size[1]})
    with live(clips, pause=1 / 60) as running:
        opened(page, running)
        expect(page.locator("#tracks li").first).to_be_visible()
        assert not violations(page)
        width = "() => document.documentElement.scrollWidth"
        assert page.evaluate(width) <= size[0], "nothing lies beside the screen"
        page.keyboard.press("f")
        expect(page.locator("#strip [aria-selected=true]")).to_be_visible()
        assert not violations(page) and page.evaluate(width) <= size[0]
        for name in ("Try", "Use", "Save", "Edges"):
            page.get_by_role("button", name=name, exact=True).scroll_into_view_if_needed()
            expect(page.get_by_role("button", name=name, exact=True)).to_be_in_viewport()


def test_a_fleet_s_page_leads_to_a_camera_on_the_page_of_another_machine(
    page: Page, live: Callable, clips: dict[str, str]
) -> None:
    token = "correct-horse-battery-staple"
    site = PageSite(address="127.0.0.1:0", token=token)
    with live(clips, pause=1 / 60, token=token) as running, Front(site) as front:
        there = f"http://localhost:{running.server.port}/"  # to a browser another site
        front.tell([Entry(name, "serving", page=there) for name in clips])
        page.goto(front.url)
        page.get_by_role("link", name="yard").click()
        expect(page.get_by_role("button", name="Camera yard")).to_have_attribute("aria-pressed", "true")
        assert page.url == f"{there}?camera=yard"


def test_every_layer_and_camera_has_a_key(page: Page, live: Callable, clips: dict[str, str]) -> None:
    with live(clips, pause=1 / 60) as running:
        opened(page, running)
        for button in page.locator("#layers button").all():
            before, key = button.get_attribute("aria-pressed"), button.get_attribute("aria-keyshortcuts")
            page.keyboard.press(key or "")
            expect(button).not_to_have_attribute("aria-pressed", before or "")
        page.keyboard.press("2")
        expect(page.get_by_role("button", name="Camera yard")).to_have_attribute("aria-pressed", "true")
        page.keyboard.press("g")
        expect(page.locator(".grid.even")).to_be_visible()
        page.keyboard.press("?")
        expect(page.get_by_role("dialog")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_be_hidden()
