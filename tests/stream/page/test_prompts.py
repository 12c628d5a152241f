"""Prompts by words and by clicking, by hand in a browser."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml
from playwright.sync_api import Page, expect

from tests.stream.page.conftest import Live
from xpose_stream.engines import Checkpoint, PromptBank
from xpose_stream.engines.prompts.bank import bank_for
from xpose_stream.engines.prompts.prompt import Prompt
from xpose_stream.stream.sources import open_source

COMPANY = Path(__file__).parents[3] / "configs" / "demo" / "company.mp4"
NAMES = ["head", "middle", "foot"]


@pytest.fixture
def open_page(page: Page) -> Callable[[Live], Page]:
    """The page of a rig, with a frame painted."""

    def opened(running: Live) -> Page:
        page.goto(running.url)
        page.wait_for_selector("canvas[data-frame]", timeout=60_000)
        return page

    return opened


def versions(running: Live) -> list[tuple[int, str]]:
    """Prompts of the messages so far, in order."""
    told = [(one.message.prompt.version, one.message.prompt.name) for one in running.rig.seen["company"]]
    return list(dict.fromkeys(told))


@pytest.fixture
def company(live: Callable) -> Callable[..., Any]:
    """The demo's second clip, at a pace that every machine keeps."""
    return lambda **settings: live({"company": str(COMPANY)}, pause=1 / 25, **settings)


def test_words_are_completed_as_one_types_and_the_stream_follows(company: Callable, open_page: Callable) -> None:
    with company() as running:
        page = open_page(running)
        page.keyboard.press("/")
        field = page.get_by_role("combobox", name="Looking for")
        field.fill("person, cha")
        expect(page.get_by_role("option")).to_have_text(["chair"])
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        expect(field).to_have_value("person, chair")
        page.keyboard.press("Enter")
        expect(page.locator("#asked li[aria-current]")).to_have_text("v2person, chair")
        running.rig.wait(lambda: (2, "person, chair") in versions(running), "the new prompt")
        page.locator("#asked").get_by_role("button", name="person", exact=True).click()
        running.rig.wait(lambda: (3, "person") in versions(running), "the old prompt")
        assert [version for version, _ in versions(running)] == [1, 2, 3]
    ledger = running.rig.camera("company").ledger
    assert ledger.balanced and not ledger.dropped.keys() - {"stopped"}


def test_words_that_nobody_knows_are_told_beside_the_field(company: Callable, open_page: Callable) -> None:
    with company() as running:
        page = open_page(running)
        field = page.get_by_role("combobox", name="Looking for")
        for words, told in (("unicorn", "'unicorn' is unknown to these weights"), ("", "names nothing")):
            field.fill(words)
            field.press("Enter")
            expect(page.locator("#words-error")).to_contain_text(told)
        assert versions(running) == [(1, "person")]


class Hand:
    """A mouse that knows where the frozen picture is; places are px of the picture."""

    def __init__(self, page: Page) -> None:
        self._page, self._canvas = page, page.locator("#frozen")

    def at(self, x: float, y: float) -> tuple[int, int]:
        """On the screen, in whole px as a mouse is."""
        box, data = self._canvas.bounding_box(), self._data()
        assert box
        scale = data["scale"]
        return round(box["x"] + data["x"] + x * scale), round(box["y"] + data["y"] + y * scale)

    def of(self, x: int, y: int) -> list[float]:
        """What the page must make of a place on the screen."""
        box, data = self._canvas.bounding_box(), self._data()
        assert box
        place = (x - box["x"] - data["x"]) / data["scale"], (y - box["y"] - data["y"]) / data["scale"]
        return [round(value, 2) for value in place]

    def click(self, x: float, y: float) -> list[float]:
        """Returns where that is, in px of the picture."""
        place = self.at(x, y)
        self._page.mouse.click(*place)
        return self.of(*place)

    def drag(self, start: Sequence[float], end: Sequence[float]) -> list[float]:
        """Returns both ends."""
        first, last = self.at(*start), self.at(*end)
        self._page.mouse.move(*first)
        self._page.mouse.down()
        self._page.mouse.move(*last, steps=4)
        self._page.mouse.up()
        return [*self.of(*first), *self.of(*last)]

    def _data(self) -> dict[str, float]:
        return {name: float(self._canvas.get_attribute(f"data-{name}") or "nan") for name in ("scale", "x", "y")}


def frozen(page: Page) -> int:
    """Freeze what is shown; the number of the frame."""
    page.keyboard.press("f")
    page.wait_for_selector("#frozen[data-scale]")
    chosen = page.locator("#strip [aria-selected=true]")
    expect(chosen).to_be_visible()
    return int(chosen.get_attribute("data-frame") or -1)


def picture_of(index: int) -> np.ndarray:
    """A frame of the clip, decoded anew: uint8 [h, w, 3], red first."""
    with open_source(COMPANY) as frames:
        return next(frame.to_rgb() for frame in frames if frame.index == index)


def prompt_file(folder: Path, rgb: np.ndarray, box: list[float], points: dict[str, list[float]], edges: Any) -> Path:
    """A prompt file with one example, as a user would write it."""
    cv2.imwrite(str(folder / "by-hand.png"), rgb[..., ::-1])
    values = {"category": "lamp thing", "keypoints": NAMES, "edges": edges, "left_right": [], "sigmas": [0.06] * 3}
    values |= {"words": False, "examples": [{"image": "by-hand.png", "box": box, "keypoints": points}]}
    path = folder / "by-hand.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def alike(one: PromptBank, other: PromptBank) -> bool:
    """Whether two prompts ask for the same."""
    assert [vars(skeleton) for skeleton in one.skeletons] == [vars(skeleton) for skeleton in other.skeletons]
    close = torch.allclose(one.instances, other.instances, atol=1e-5, rtol=0)
    known = one.keypoint_mask.equal(other.keypoint_mask)
    return close and known and torch.allclose(one.keypoints, other.keypoints, atol=1e-5, rtol=0)


def test_a_prompt_made_by_clicking_is_that_of_a_prompt_file_and_the_stream_follows_it(
    company: Callable, open_page: Callable, nano: Checkpoint, tmp_path: Path
) -> None:
    with company() as running:
        page = open_page(running)
        index, hand = frozen(page), Hand(page)
        box = hand.drag((420, 230), (620, 470))
        hand.click(300, 200)  # a mistake
        page.locator("#undo").click()
        points = {}
        for name, place in zip(NAMES, [(440, 245), (520, 350), (600, 460)], strict=True):
            points[name] = hand.click(*place)
            page.keyboard.type(name)  # the name of the new keypoint has the focus
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Edges").click()
        hand.drag(points["head"], points["middle"])
        page.get_by_role("button", name="Keypoints", exact=True).click()
        moved = hand.at(590, 440)
        hand.drag(points["foot"], (590, 440))
        page.get_by_label("What is it?").fill("lamp thing")

        page.get_by_role("button", name="Save").click()
        expect(page.locator("#studio-said")).to_contain_text("lamp_thing.yaml")
        saved = tmp_path / "prompts" / "lamp_thing.yaml"
        written = yaml.safe_load(saved.read_text())
        points["foot"] = written["examples"][0]["keypoints"]["foot"]
        assert np.allclose(points["foot"], hand.of(*moved), atol=1.0), "where it was dragged to"
        assert np.allclose(written["examples"][0]["box"], box, atol=0.011)

        by_hand = prompt_file(tmp_path, picture_of(index), written["examples"][0]["box"], points, [["head", "middle"]])
        for name in ("head", "middle"):
            assert np.allclose(written["examples"][0]["keypoints"][name], points[name], atol=0.011), name
        wanted = bank_for(nano, [Prompt.load(by_hand)])
        assert alike(bank_for(nano, [Prompt.load(saved)]), wanted), "the saved file"

        page.get_by_role("button", name="Use").click()
        running.rig.wait(lambda: (2, "lamp thing") in versions(running), "the clicked prompt")
        assert alike(running.rig.pipeline.detector.prompts, wanted), "what the stream looks for"
        seen = running.rig.seen["company"]
        assert [one.message.sequence for one in seen] == list(range(len(seen)))
        assert list(seen[-1].message.categories[0].keypoints) == NAMES
        assert list(seen[-1].message.categories[0].edges) == [(0, 1)]
    ledger = running.rig.camera("company").ledger
    assert ledger.balanced and not ledger.dropped.keys() - {"stopped"}, "no frame is lost"


def test_keypoints_of_a_skeleton_are_placed_in_order_skipped_and_undone(company: Callable, open_page: Callable) -> None:
    with company() as running:
        page = open_page(running)
        frozen(page)
        hand = Hand(page)
        page.locator("#skeleton").select_option("chair")
        expect(page.get_by_label("What is it?")).to_have_value("chair")
        hand.drag((420, 230), (620, 470))
        states = page.locator("#points li")
        for place in ((440, 250), (560, 250)):
            hand.click(*place)
        page.locator("#frozen").press("x")
        hand.click(450, 450)
        page.locator("#frozen").press("u")
        kinds = states.evaluate_all("(items) => items.map((item) => item.dataset.state)")
        assert kinds[:4] == ["set", "set", "skipped", "todo"] and set(kinds[4:]) == {"todo"}
        expect(page.locator("#points li[aria-current]")).to_have_count(1)
        page.locator("#another").click()
        assert set(states.evaluate_all("(items) => items.map((item) => item.dataset.state)")) == {"todo"}


def test_keypoints_that_lie_close_together_are_both_placed(
    company: Callable, open_page: Callable, tmp_path: Path
) -> None:
    with company() as running:
        page = open_page(running)
        frozen(page)
        hand = Hand(page)
        page.locator("#skeleton").select_option("chair")
        box = hand.drag((420, 230), (620, 470))
        first, second = hand.click(440, 250), hand.click(446, 253)
        assert np.hypot(*np.subtract(hand.at(440, 250), hand.at(446, 253))) < 11, "px of the screen"
        hand.drag(second, (446, 290))  # dragged, it is moved
        page.get_by_role("button", name="Save").click()
        expect(page.locator("#studio-said")).to_contain_text("chair.yaml")
    kept = yaml.safe_load((tmp_path / "prompts" / "chair.yaml").read_text())
    keypoints = kept["examples"][0]["keypoints"]
    assert np.allclose(kept["examples"][0]["box"], box, atol=0.011)
    assert list(keypoints) == kept["keypoints"][:2]
    assert np.allclose(list(keypoints.values()), [first, [446, 290]], atol=1.5)


def test_keypoints_of_ones_own_may_lie_close_together_but_a_double_click_makes_one(
    company: Callable, open_page: Callable
) -> None:
    with company() as running:
        page = open_page(running)
        frozen(page)
        hand = Hand(page)
        hand.drag((420, 230), (620, 470))
        for _ in range(2):
            hand.click(440, 250)
        expect(page.locator("#points li")).to_have_count(1)
        hand.click(446, 253)
        expect(page.locator("#points li")).to_have_count(2)


def test_try_shows_what_is_found_on_the_strip_and_changes_nothing(company: Callable, open_page: Callable) -> None:
    with company() as running:
        page = open_page(running)
        running.rig.wait_for_more("company", 40)
        frozen(page)
        hand = Hand(page)
        hand.drag((420, 230), (620, 470))
        hand.click(440, 250)
        page.get_by_label("What is it?").fill("fork")
        page.get_by_role("button", name="Try").click()
        expect(page.locator("#studio-said")).to_contain_text("found on", timeout=60_000)
        expect(page.locator("#strip button span").first).to_contain_text("found")
        assert versions(running) == [(1, "person")]


def test_what_is_missing_is_said_before_anything_is_done(company: Callable, open_page: Callable) -> None:
    with company() as running:
        page = open_page(running)
        frozen(page)
        hand, said = Hand(page), page.locator("#studio-error")
        page.get_by_role("button", name="Use").click()
        expect(said).to_have_text("Say what it is.")
        page.get_by_label("What is it?").fill("a, b")
        page.get_by_role("button", name="Use").click()
        expect(said).to_have_text("Click at least one keypoint.")
        page.get_by_role("button", name="Keypoints", exact=True).click()
        hand.click(440, 250)
        page.get_by_role("button", name="Use").click()
        expect(said).to_have_text("Draw a box around example 1.")
        page.get_by_role("button", name="Box", exact=True).click()
        hand.drag((420, 230), (620, 470))
        page.get_by_role("button", name="Use").click()
        expect(said).to_contain_text("must be one name without a comma")
        assert versions(running) == [(1, "person")]


def test_the_keyboard_alone_makes_a_prompt(company: Callable, open_page: Callable) -> None:
    with company() as running:
        page = open_page(running)
        frozen(page)
        canvas = page.locator("#frozen")
        expect(canvas).to_be_focused()
        keys = ["Enter", *["Shift+ArrowRight"] * 6, *["Shift+ArrowDown"] * 6, "Enter"]  # a box from the middle on
        keys += [*["Shift+ArrowLeft"] * 2, "Enter"]  # a keypoint; its name has the focus then
        for key in keys:
            canvas.press(key)
        page.keyboard.type("corner")
        page.keyboard.press("Enter")
        expect(canvas).to_be_focused()
        expect(page.locator("#points li")).to_have_attribute("data-state", "set")
        page.get_by_label("What is it?").focus()
        page.keyboard.type("gadget")
        for _ in range(30):
            page.keyboard.press("Tab")
            if page.evaluate("() => document.activeElement.id") == "use":
                break
        page.keyboard.press("Enter")
        running.rig.wait(lambda: (2, "gadget") in versions(running), "the prompt")
