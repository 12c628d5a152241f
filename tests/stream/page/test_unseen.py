"""A thing that the weights never saw is shown by clicking, and the stream looks for it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import cv2
import numpy as np
import pytest
import yaml
from playwright.sync_api import Page, expect

from tests.stream.page.test_prompts import Hand, alike, frozen
from tests.stream.spot import repeat
from xpose_stream.engines import DEFAULT, load
from xpose_stream.engines.prompts.bank import bank_for, find_skeletons
from xpose_stream.engines.prompts.prompt import Prompt
from xpose_stream.stream.client import Subscriber
from xpose_stream.stream.sinks.messages import TracksMessage
from xpose_stream.training.world.body import Body, Placed
from xpose_stream.training.world.clip import film
from xpose_stream.training.world.scene import Scene
from xpose_stream.training.world.vehicle import car

ROOT = Path(__file__).parents[3]
FRAMES, RATE, TIMES = 30, 30, 800
CAR = find_skeletons(["car"])[0]


@dataclass
class Turntable:
    """A small car that turns."""

    body: Body
    pose: np.ndarray

    def at(self, time: float) -> Placed:
        """See Actor."""
        return self.body.put(self.pose, np.array([1.0, 0.0]), 0.5 + time, above=0.5)


class Clip(NamedTuple):
    """`path` shows the `pictures` [h, w, 3], red first, again and again; where the car's keypoints are on them."""

    path: Path
    pictures: list[np.ndarray]
    cars: list[dict[str, Any]]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    """Rendered here: a category, body and colours of which no training had any."""
    folder = tmp_path_factory.mktemp("car")
    shots = list(film(Scene(slices=16), 5, np.arange(FRAMES) / RATE, lambda draw: [Turntable(*_small(*car(draw)))]))
    with av.open(str(folder / "once.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"preset": "veryfast", "crf": "18", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 640, 480, "yuv420p"
        for number, (rgb, _) in enumerate(shots):
            frame = av.VideoFrame.from_ndarray(rgb, "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    path = repeat(folder / "once.mp4", folder / "car.mp4", TIMES)
    with av.open(str(folder / "once.mp4")) as container:
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return Clip(path, pictures, [next(row for row in rows if row["category"] == "car") for _, rows in shots])


def _small(body: Body, pose: np.ndarray) -> tuple[Body, np.ndarray]:
    return body.scaled(0.22), pose


class Heard:
    """What a subscriber of the stream received."""

    def __init__(self, endpoint: str) -> None:
        self.messages: list[TracksMessage] = []
        self._subscriber = Subscriber(endpoint, quiet=60)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        for message in self._subscriber:
            self.messages.append(message)

    def wait_for(self, version: int, count: int) -> None:
        """Until so many messages of a version have come."""
        for _ in range(15000):  # an engine is built for it, beside a stream that takes all it can get
            if sum(message.prompt.version == version for message in self.messages) >= count:
                return
            threading.Event().wait(0.05)
        raise AssertionError(f"no messages of version {version}")


@pytest.fixture
def running(clip: Clip, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """`run` of the clip with the default weights, in a folder of its own."""
    command = [sys.executable, str(ROOT / "run_stream.py"), "run", str(clip.path), "--page", "127.0.0.1:0"]
    command += ["--publish", f"ipc://{tmp_path}/tracks"]
    out = subprocess.PIPE
    with subprocess.Popen(command, cwd=tmp_path, stdout=out, stderr=out, text=True) as running:
        yield running
        running.kill()


def test_a_car_that_is_clicked_is_looked_for_and_its_file_gives_the_same_again(
    page: Page, running: subprocess.Popen[str], clip: Clip, tmp_path: Path
) -> None:
    assert running.stderr
    url = running.stderr.readline().partition("live page: ")[2].strip()
    heard = Heard(f"ipc://{tmp_path}/tracks")
    page.goto(url)
    page.wait_for_selector("canvas[data-frame]", timeout=120_000)
    heard.wait_for(1, 1)
    index, hand = frozen(page) % FRAMES, Hand(page)
    page.locator("#skeleton").select_option("car")
    page.get_by_label("What is it?").fill("toy car")
    x0, y0, x1, y1 = clip.cars[index]["box"]
    box = hand.drag((x0, y0), (x1, y1))
    clicked = {}
    for name, (x, y, visible) in zip(CAR.keypoints, clip.cars[index]["keypoints"], strict=True):
        if visible:
            clicked[name] = hand.click(x, y)
        else:
            page.locator("#frozen").press("x")
    assert len(clicked) >= 4

    page.get_by_role("button", name="Save").click()
    expect(page.locator("#studio-said")).to_contain_text("toy_car.yaml")
    page.get_by_role("button", name="Use").click()
    expect(page.locator("#studio")).to_be_hidden()
    heard.wait_for(2, 60)
    running.send_signal(signal.SIGTERM)
    out, _ = running.communicate(timeout=60)

    kept = yaml.safe_load((tmp_path / "prompts" / "toy_car.yaml").read_text())["examples"][0]
    places = [kept["box"][:2], kept["box"][2:], *(kept["keypoints"][name] for name in clicked)]
    # Within the last digit, which a place between two of them may have either way; looks tell such places apart.
    assert np.allclose(places, [box[:2], box[2:], *clicked.values()], atol=0.011)
    shown = np.asarray(cv2.imread(str(tmp_path / "prompts" / kept["image"])))[..., ::-1]
    assert np.array_equal(shown, clip.pictures[index]), "what was saved is what was frozen"
    cv2.imwrite(str(tmp_path / "by-hand.png"), clip.pictures[index][..., ::-1])
    example = {"image": "by-hand.png", "box": kept["box"], "keypoints": kept["keypoints"]}
    (tmp_path / "by-hand.yaml").write_text(
        yaml.safe_dump(CAR.as_dict() | {"category": "toy car", "words": False, "examples": [example]})
    )
    weights = load(DEFAULT)
    by_hand, saved = (
        bank_for(weights, [Prompt.load(tmp_path / name)]) for name in ("by-hand.yaml", "prompts/toy_car.yaml")
    )
    assert alike(by_hand, saved), "what was saved is what was clicked"

    messages = heard.messages
    told = [(one.prompt.version, [each.name for each in one.categories]) for one in messages]
    versions = [version for version, _ in told]
    assert versions == sorted(versions) and set(versions) == {1, 2}
    assert all(names == (["person"] if version == 1 else ["toy car"]) for version, names in told)
    assert list(messages[-1].categories[0].keypoints) == list(CAR.keypoints)
    sequence = [one.sequence for one in messages]
    assert sequence == list(range(sequence[0], sequence[-1] + 1)), "every message has arrived"
    frames = json.loads(out.splitlines()[-1])["cameras"]["car"]["frames"]
    assert set(frames["dropped"]) <= {"stopped"}, "no frame is lost"
    assert frames["received"] == frames["published"] + sum(frames["dropped"].values())
